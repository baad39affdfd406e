"""Peak memory of an optimizer's steps."""

import pytest
import torch

from seistomo.benchmarks import step_memory
from seistomo.benchmarks.contestant import Contestant
from seistomo.benchmarks.cost_problems import ProblemChoice, TomographySize, tomography_problem

CPU = torch.device("cpu")


@pytest.fixture
def problem():
    return tomography_problem(TomographySize((3, 8, 20), (12, 14), 4, micro_batch=2), CPU)


def test_a_history_is_filled_by_single_samples(problem, monkeypatch):
    taken = []
    run = Contestant.run

    def watch(self, iterations, timed=False, batch_size=None):
        taken.append((iterations, batch_size))
        return run(self, iterations, timed, batch_size)

    monkeypatch.setattr(Contestant, "run", watch)
    monkeypatch.setattr(ProblemChoice, "build", lambda *_: problem)
    choice = ProblemChoice("tomography")
    peak = step_memory._measured(choice, "SQGN", "cpu", 1)
    # 20 pairs, in epochs of 8 steps.
    assert taken == [(24, 1), (2, None)]
    assert peak > 2**26
    taken.clear()
    step_memory._measured(choice, "Adam", "cpu", 1)
    assert taken == [(0, 1), (2, None)]


def test_single_samples_take_as_many_steps_an_epoch(problem):
    contestant = Contestant(problem.candidates[2], problem, problem.inputs, problem.targets)
    contestant.run(8, batch_size=1)
    # SVRG: a full gradient of 8 batches for 8 steps.
    assert contestant.counts()[0] == pytest.approx(1 - 1 / 8 + 1)


def test_it_is_that_of_another_process():
    """What this process holds is no part of it."""
    held = torch.ones(2**27)
    choice = ProblemChoice("tomography", batch_size=2)
    peak = step_memory.peak_memory(choice, "Adam", "cpu", 1)
    assert 2**26 < peak < 4 * held.numel() + 2**28
