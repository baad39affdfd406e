"""Runs of a race that nobody ran."""

from pathlib import Path

import pytest

from seistomo.benchmarks.tomography import runs
from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.studies.race_result import Finish, Tried
from seistomo.benchmarks.tomography.studies.race_trials import Problem, trials_for
from seistomo.training import EpochRow

PROBLEM = Problem(1089, 800, 100)


def history(losses, pace=1.0, start=0.0):
    return [
        EpochRow(n, 8 * n, start + pace * n, loss, loss, loss / 100, 0.5 + n / 100, 0.1, 8.0, 0.0)
        for n, loss in enumerate(losses, start=1)
    ]


def run(losses, pace=1.0, seed=0, diverged=""):
    scores = {"last": {"loss": 1e8, "rmse": 300.0, "ssim": 0.6, "salt_iou": None}}
    found = history(losses, pace)
    return Outcome("name", seed, Path("run"), found, scores=scores, diverged=diverged)


def tried(optimizer, *given):
    trials = trials_for(optimizer, len(given), PROBLEM, 0)
    return [Tried(trial, 5, one) for trial, one in zip(trials, given, strict=True)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Let no run tidy up memory before it begins: that takes longer than the run."""
    monkeypatch.setattr(runs, "_begin_measuring", lambda job: None)


@pytest.fixture(name="history")
def _history():
    return history


@pytest.fixture(name="run")
def _run():
    return run


@pytest.fixture(name="tried")
def _tried():
    return tried


@pytest.fixture
def finishes():
    """Adam arrives with one of two runs, SQGN with two of three (one diverges), SGN with none."""
    trials = {name: tried(name, run([5.0, 2.0])) for name in ("adam", "sqgn", "sgn")}
    outcomes = {
        "adam": [run([5e8, 2e8], 4.0), run([5e8, 3e8], 4.0)],
        "sqgn": [
            *(run([2e8], 5.0), run([3e8, 1e8], 7.0)),
            run([4e8], 5.0, seed=3, diverged="training diverged in epoch 2"),
        ],
        "sgn": [run([6e8, 5e8])],
    }
    return [Finish(name, trials[name], trials[name][0], outcomes[name]) for name in trials]
