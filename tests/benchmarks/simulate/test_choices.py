"""What the choices cost and what they are worth, on models that take milliseconds."""

import numpy as np
import pytest

from seistomo.benchmarks.simulate.bench import changed
from seistomo.benchmarks.simulate.choices import (
    best_settings,
    compare_accuracy,
    compare_models_a_call,
    compare_receivers,
    compare_storage,
    dispersion_verdict,
    far_enough,
    offsets,
    relative_error,
    some_sources,
)
from seistomo.benchmarks.simulate.turns import Choice, Timing
from seistomo.config import load_config
from seistomo.simulation import Survey
from seistomo.simulation.bare import BareSettings

SETTINGS = BareSettings(1, 1, 8)


def facts(choice, name):
    return {timing.label: timing.facts.get(name) for timing in choice.timings}


def test_relative_error_is_a_ratio_of_norms():
    reference = np.array([[3.0, 4.0]], np.float32)
    assert relative_error(reference + np.array([[0.0, 0.5]]), reference) == pytest.approx(0.1)


def test_higher_orders_and_finer_grids_err_less(bench):
    choice = compare_accuracy(bench)
    errors = facts(choice, "error")
    assert list(errors) == ["2", "4", "6", "8", "4 on a grid of 10 m"]
    assert errors["2"] > 2 * errors["4"] > 2 * errors["6"] > 0
    assert errors["4 on a grid of 10 m"] < errors["4"] < 0.1
    # 12.1 cells in the shortest wavelength.
    verdicts = facts(choice, "checks")
    assert verdicts["2"] == "refused"
    assert verdicts["4"] == verdicts["6"] == verdicts["8"] == "good"
    assert choice.reference.label == "4"
    assert all(len(timing.seconds) == bench.repeats for timing in choice.timings)


def test_the_verdict_is_that_of_the_checks(tiny):
    slower = tiny.velocity.model_copy(update={"minimum": 1200.0})
    assert dispersion_verdict(tiny.model_copy(update={"velocity": slower})) == "poor"
    finer = changed(tiny, simulation={"accuracy": 2, "grid_spacing": 5.0})
    assert dispersion_verdict(finer) == "good"


def test_traces_near_the_source_do_not_count(tiny):
    survey = Survey.draw(tiny, 0, 0)
    distance = offsets(survey)
    assert distance.shape == (4, 11)
    assert distance[0, 0] == pytest.approx(20.0)
    assert far_enough(tiny) == pytest.approx(min(1450 / 6, distance.max() / 2))
    deeper = changed(tiny, survey={"receiver_depth": 30.0})
    assert offsets(Survey.draw(deeper, 0, 0))[0, 0] == pytest.approx(np.hypot(20, 30))


def test_some_sources_hold_the_outermost():
    config = load_config("", ["survey.sources=31", "survey.source_x=[30.0, 1230.0]"])
    assert some_sources(config) == {"sources": 3, "source_x": (30.0, 630.0, 1230.0)}
    places = ", ".join(str(float(x)) for x in range(0, 500, 100))
    listed = load_config("", ["survey.sources=5", f"survey.source_x=[{places}]"])
    assert some_sources(listed)["source_x"] == (0.0, 200.0, 400.0)
    assert some_sources(load_config("", ["survey.sources=2"])) == {}


def test_our_interpolation_is_deepwaves(bench):
    choice = compare_receivers(bench, SETTINGS)
    difference = facts(choice, "difference")
    ours = difference.pop("between nodes, a row of them and a matrix")
    assert 0 < ours < 1e-5
    assert difference["on the nearest nodes"] > 0.01
    assert difference["the same, weights kept"] == 0
    assert difference["between nodes, deepwave's own"] is None
    assert choice.timings[0].label == choice.reference.label == "on the nearest nodes"


def test_weights_are_not_kept_where_receivers_move(bench):
    jittered = changed(bench.config, survey={"receiver_jitter": 5.0})
    bench = type(bench)(jittered, "cpu", 1, bench.folder)
    labels = [timing.label for timing in compare_receivers(bench, SETTINGS).timings]
    assert len(labels) == 3
    assert "the same, weights kept" not in labels


def test_models_a_call_hold_the_configured_number(bench):
    config = changed(bench.config, simulation={"models_per_call": 3})
    bench = type(bench)(config, "cpu", 1, bench.folder)
    choice = compare_models_a_call(bench)
    assert [timing.label for timing in choice.timings] == ["1", "2", "3"]
    assert choice.reference.label == "3"


def test_storage_says_sizes_and_rounding(bench):
    choice = compare_storage(bench)
    size, rounding = facts(choice, "MB/model"), facts(choice, "rounding")
    gathers = 4 * 11 * 42 * 2 / 1e6
    assert gathers < size["float16"] < size["float32"] - 0.9 * gathers
    # Eleven bits: an error of at most 2^-11, on average a third to a half of that.
    assert 2**-11 / 10 < rounding["float16"] < 2**-11
    assert rounding["float32"] is None


def a_choice(name, seconds, **columns):
    timings = [Timing(label, list(times)) for label, times in seconds.items()]
    for key, values in columns.items():
        for timing, value in zip(timings, values, strict=True):
            timing.facts[key] = value
    return Choice(name, name, timings, timings[0], {})


def test_best_settings_follow_from_the_numbers():
    choices = {
        "accuracy": a_choice(
            "accuracy",
            {"2": [1.0], "4": [2.0], "6": [3.0], "4 on a grid": [0.1]},
            checks=["refused", "good", "good", "good"],
            error=[0.3, 0.02, 0.01, 0.001],
        ),
        "models_per_call": a_choice(
            "models_per_call", {"1": [1.1, 1.2], "2": [1.01, 1.01], "4": [1.0, 1.0]}
        ),
        "storage": a_choice("storage", {"float16": [1.0]}, rounding=[0.0002]),
    }
    assert best_settings(choices) == {
        "simulation.accuracy": 4,
        "simulation.models_per_call": 2,
        "dataset.storage": "float16",
    }
    choices["storage"].timings[0].facts["rounding"] = 0.003
    for timing in choices["accuracy"].timings:
        timing.facts["checks"] = "poor"
    best = best_settings(choices)
    assert (best["simulation.accuracy"], best["dataset.storage"]) == (6, "float32")
