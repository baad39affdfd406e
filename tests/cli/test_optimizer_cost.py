"""``seistomo benchmark optimizer-cost``."""

import pytest
from typer.testing import CliRunner

from seistomo.benchmarks.cost_problems import ProblemChoice, mnist_problem
from seistomo.cli import app


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the command on a problem that takes no time."""
    tiny = mnist_problem(batch_size=2, batches=10)
    monkeypatch.setattr(ProblemChoice, "build", lambda *_: tiny)
    return lambda *words: CliRunner().invoke(app, ["benchmark", "optimizer-cost", *words])


def test_it_prints_the_table_and_writes_it(run, tmp_path):
    done = run("--problem", "mnist", "--repeats", "1", "--device", "cpu", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    page = (tmp_path / "optimizer-cost.md").read_text()
    assert page in done.output
    assert "| SQGN " in page
    again = run("--problem", "mnist", "--out", str(tmp_path))
    assert again.exit_code == 2
    assert "give --overwrite" in again.output


def test_bad_options_end_with_one_line(run, tmp_path):
    done = run("--repeats", "0", "--out", str(tmp_path))
    assert done.exit_code == 2
    assert done.output.strip() == "error: --repeats 0: must be at least 1"
