from collections import Counter

import pytest

from seistomo.benchmarks.tomography.sizes import size_config
from seistomo.benchmarks.tomography.studies.race_trials import (
    CHOICES,
    KNOWN,
    Problem,
    most_trials,
    optimizers_for,
    trials_for,
)

PROBLEM = Problem(1089, 800, 100)


@pytest.mark.parametrize("optimizer", KNOWN)
def test_every_trial_can_be_built_and_more_of_them_begin_alike(optimizer):
    base = size_config("small")
    trials = trials_for(optimizer, most_trials(PROBLEM), PROBLEM, 3)
    assert len(trials) == 24
    assert trials_for(optimizer, 8, PROBLEM, 3) == trials[:8]
    assert len({trial.text for trial in trials}) == 24
    for trial in trials:
        # Refuses what the optimizer does not take.
        config = trial.config(base, 7)
        assert (config.training.epochs, config.training.schedule) == (7, trial.schedule)
        assert config.training.batch_size == trial.batch_size
        interval = config.optimizer.options.get("full_gradient_interval")
        if isinstance(interval, int):
            assert (PROBLEM.samples // trial.batch_size) % interval == 0
        assert config.training.batch_doublings == trial.doublings
        assert config.training.averaging == trial.averaging
        samples = config.optimizer.options.get("curvature_samples", trial.batch_size)
        assert samples == pytest.approx(trial.row.curvature_share * trial.batch_size, abs=0.5)


def test_adams_first_eight_are_the_grid():
    trials = trials_for("adam", 8, PROBLEM, 0)
    assert {(trial.row.learning_rate, trial.schedule) for trial in trials} == {
        (rate, schedule) for rate in (1e-2, 3e-3, 1e-3, 3e-4) for schedule in ("constant", "cosine")
    }
    assert {trial.batch_size for trial in trials} == {100}
    assert {trial.batch_size for trial in trials_for("adam", 24, PROBLEM, 0)} == {100, 50, 25}
    assert {(trial.doublings, trial.averaging) for trial in trials} == {(0, "none")}


@pytest.mark.parametrize("optimizer", ["sqgn", "sgn"])
def test_values_are_tried_equally_often(optimizer):
    trials = trials_for(optimizer, 12, PROBLEM, 1)
    for key, values in CHOICES[optimizer].items():
        if key in ("learning_rate", "curvature_share"):
            seen = Counter(getattr(trial.row, key) for trial in trials)
            assert set(seen) == set(values)
            assert set(seen.values()) == {12 // len(values)}
    sizes = {"sqgn": {25: 6, 50: 6}, "sgn": {100: 3, 50: 3, 200: 3, 25: 3}}
    assert Counter(trial.batch_size for trial in trials) == sizes[optimizer]
    assert Counter(trial.schedule for trial in trials) == {"constant": 6, "cosine": 6}
    assert Counter(trial.doublings for trial in trials) == {0: 6, 2: 6}
    assert Counter(trial.averaging for trial in trials) == {"none": 6, "ema": 6}
    assert trials_for(optimizer, 12, PROBLEM, 2) != trials


def test_damping_follows_the_number_of_pixels():
    small, large = (
        [trial.row.options["damping"] for trial in trials_for("sqgn", 8, problem, 0)]
        for problem in (Problem(1000, 800, 100), Problem(10_000, 800, 100))
    )
    assert large == pytest.approx([10 * one for one in small])


def test_batches_are_never_larger_than_the_training_split():
    trials = trials_for("sgn", 12, Problem(10, 150, 100), 0)
    assert {trial.batch_size for trial in trials} == {150, 100, 50, 25}


def test_an_epoch_of_odd_batches_is_not_halved():
    intervals = {
        trial.row.options["full_gradient_interval"]
        for trial in trials_for("svrg", 12, Problem(10, 700, 100), 0)
        if trial.batch_size == 100
    }
    assert intervals == {"epoch"}


def test_names_are_taken_once():
    assert optimizers_for("sgn, adam,sgn") == ["sgn", "adam"]
