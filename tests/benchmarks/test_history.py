import math

import pytest

from seistomo.benchmarks.history import EpochEntry, Milestone, RunResult


def entry(epoch, seconds, accuracy, loss=0.5):
    return EpochEntry(epoch, 60 * epoch, seconds, 1.0, loss, accuracy, 0.1, 60.0 * epoch, 0.0)


def result(*ends, **kept):
    return RunResult(tuple(entry(n, *end) for n, end in enumerate(ends, start=1)), **kept)


def test_times_are_of_epochs_not_of_their_sums():
    run = result((60.0, 0.3), (66.0, 0.6), (84.0, 0.9))
    # 1, 0.1 and 0.3 s an iteration.
    assert run.seconds_per_iteration() == {"mean": pytest.approx(84 / 180), "median": 0.3}


def test_time_to_an_accuracy_counts_attempts_given_up():
    run = result((1.0, 0.5), (2.0, 0.97), (3.0, 0.96), lost_seconds=10.0)
    assert run.seconds_to(0.97) == 12.0
    assert run.seconds_to(0.5) == 11.0
    assert run.seconds_to(0.98) == math.inf


def test_what_is_seen_within_an_epoch_counts_too():
    seen = (Milestone(20, 0.4, 0.2), Milestone(80, 1.3, 0.97), Milestone(140, 2.5, 0.98))
    run = result((1.0, 0.5), (2.0, 0.96), (3.0, 0.99), milestones=seen)
    assert run.seconds_to(0.97) == 1.3
    assert run.curve()["seconds"] == [0.4, 1.0, 1.3, 2.0, 2.5, 3.0]
    assert run.curve()["test_accuracy"] == [0.2, 0.5, 0.97, 0.96, 0.98, 0.99]
    assert run.first_epochs(2).milestones == seen[:2]


def test_stuck_is_no_better_than_guessing_or_not_finite():
    assert result((1.0, 0.1135, 2.31)).stuck
    assert not result((1.0, 0.21, 2.31)).stuck
    # Slow, not stuck: its loss has a long way to go yet, or is below that of guessing.
    assert not result((1.0, 0.19, 9.1)).stuck
    assert not result((1.0, 0.19, 2.1)).stuck
    assert result((1.0, 0.9), diverged="nan").stuck


def test_a_longer_run_gives_the_shorter_one():
    run = result((1.0, 0.5), (2.0, 0.6), (3.0, 0.7), restarts=1, lost_seconds=4.0)
    cut = run.first_epochs(2)
    assert cut == result((1.0, 0.5), (2.0, 0.6), restarts=1, lost_seconds=4.0)
    assert run.first_epochs(3) is run
    assert cut.columns()["test_accuracy"] == [0.5, 0.6]
