from dataclasses import replace

import pytest
import torch

from seistomo.benchmarks.studies.race_trials import (
    BATCH_SIZES,
    OWN_OPTIONS,
    RATES,
    RaceSettings,
    draw_trials,
)
from seistomo.errors import InputError
from seistomo.optim import make_optimizer

RACE = RaceSettings(optimizers=tuple(RATES), trials=12)


def place(settings):
    """Return what all optimizers share in a trial."""
    return settings.batch_size, settings.pixels, settings.schedule, settings.epochs


@pytest.mark.parametrize("optimizer", RATES)
def test_every_trial_can_be_built_within_its_range(optimizer):
    trials = draw_trials(optimizer, RACE, 0, 50_000)
    low, high = RATES[optimizer]
    for trial in trials:
        weights = [torch.nn.Parameter(torch.zeros(3))]
        make_optimizer(optimizer, weights, trial.learning_rate, trial.options)
        assert low * 0.99 <= trial.learning_rate <= high * 1.01
        assert trial.stop_accuracy == RACE.target
    assert len({trial.key("d", "cpu") for trial in trials}) > 9
    assert set(OWN_OPTIONS) == set(RATES)


def test_trials_are_the_same_again_and_more_of_them_begin_alike():
    first = draw_trials("sqgn", RACE, 3, 50_000)
    assert draw_trials("sqgn", RACE, 3, 50_000) == first
    assert draw_trials("sqgn", replace(RACE, trials=20), 3, 50_000)[:12] == first
    assert draw_trials("sqgn", RACE, 4, 50_000) != first


def test_all_optimizers_try_the_same_batches_pixels_and_schedules():
    adam, sqgn = (draw_trials(name, RACE, 0, 50_000) for name in ("adam", "sqgn"))
    assert list(map(place, adam)) == list(map(place, sqgn))
    assert {trial.pixels for trial in adam} == {"raw", "unit"}
    assert {trial.schedule for trial in adam} == {"constant", "cosine"}


def test_curvature_samples_are_a_part_of_the_batch():
    drawn = draw_trials("sgn", replace(RACE, trials=40), 0, 50_000)
    fractions = {trial.options.get("curvature_samples", 0) / trial.batch_size for trial in drawn}
    assert fractions == {0, 0.25, 0.1}


def test_given_options_are_not_drawn():
    race = replace(RACE, options={"sqgn.full_gradient_interval": "never", "adam.eps": 1e-7})
    drawn = draw_trials("sqgn", race, 0, 50_000)
    assert {trial.options["full_gradient_interval"] for trial in drawn} == {"never"}
    assert all("eps" not in trial.options for trial in drawn)


def test_batches_fit_into_the_data():
    drawn = draw_trials("adam", RACE, 0, 3334)
    assert {trial.batch_size for trial in drawn} <= {100, 200}
    assert max(BATCH_SIZES) * 10 <= 50_000
    with pytest.raises(InputError, match="200 training samples are too few"):
        draw_trials("adam", RACE, 0, 200)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trials": 0}, "--trials 0"),
        ({"target": 97}, "--target 97: must lie between 0 and 1"),
        ({"trial_seconds": 0}, "--trial-seconds 0"),
        ({"optimizers": ("adam", "lion")}, "--optimizer lion: the race knows adam"),
        ({"options": {"history": 3}}, "--set history: the race takes OPTIMIZER.OPTION"),
        ({"optimizers": ("adam",), "options": {"sqgn.history": 3}}, "--set sqgn.history"),
    ],
)
def test_bad_races_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        replace(RACE, **changes)
