import json
from dataclasses import replace

import torch

from seistomo.benchmarks.mnist import MnistRun
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import SQGN_BASELINE
from seistomo.benchmarks.studies import stuck
from seistomo.benchmarks.studies.stuck import run_stuck


def test_counts_runs_that_are_stuck_both_ways(tmp_path, mnist_folder, monkeypatch):
    monkeypatch.setattr(stuck, "SQGN_BASELINE", replace(SQGN_BASELINE, batch_size=40))
    # The code's first step is made to fail with every other seed, the safe one never.
    seen = []

    def judged(run):
        first, seed = run.settings.options["first_step"], run.settings.seed
        seen.append((first, seed, run.settings.restarts))
        return (2.3, 0.1) if first == "code" and seed % 2 else (0.3, 0.9)

    monkeypatch.setattr(MnistRun, "_judge", judged)
    monkeypatch.setattr(MnistRun, "_steps", lambda run: (torch.zeros(2), 0.0))
    options = BenchmarkOptions(
        tmp_path / "out", str(mnist_folder), epochs=2, repeats=4, device="cpu", threads=1
    )
    line = run_stuck(options, {"full_gradient_interval": 3})
    assert line.endswith("stuck with first step code 2 of 4, safe 0 of 4")
    assert set(seen) == {(first, seed, 0) for first in ("code", "safe") for seed in range(4)}
    summary = json.loads((options.out / "study-stuck.json").read_text())
    assert summary["stuck"] == {"code": 2, "safe": 0}
    assert summary["stuck_seeds"] == {"code": [1, 3], "safe": []}
    assert summary["test_accuracy"]["safe"] == [0.9] * 4
    assert "below 20%" in (options.out / "study-stuck.md").read_text()
    assert (options.out / "study-stuck.png").stat().st_size > 10_000
