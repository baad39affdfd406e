"""The example of docs/optimizers.md does what the page says."""

from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "optimizers.md"


def test_the_example_learns(capsys):
    code = PAGE.read_text().split("```python\n")[1].split("```")[0]
    with torch.random.fork_rng():
        exec(compile(code, str(PAGE), "exec"), {})
    assert float(capsys.readouterr().out) < 0.01
