"""What the parts of the benchmark share."""

import numpy as np
import pytest

from seistomo.benchmarks.simulate.bench import Bench, changed
from seistomo.dataset import open_dataset
from seistomo.velocity import draw_model


@pytest.mark.parametrize(("seconds", "models"), [(0.1, 16), (0.4, 4), (5.0, 1), (1e-9, 256)])
def test_turns_are_about_as_long_whatever_a_model_takes(tiny, tmp_path, seconds, models):
    bench = Bench(tiny, "cpu", 1, tmp_path)
    vars(bench)["simulator_seconds"] = seconds
    assert bench.models_for() == models


def test_the_models_are_those_of_the_data_set(bench, capsys):
    seconds, summary = bench.making(bench.config, bench.folder / "data.h5")
    assert summary.simulated == 7
    assert seconds > 0
    with open_dataset(bench.folder / "data.h5") as data:
        np.testing.assert_array_equal(data.read_velocity([0, 1, 2]), bench.velocity(3))
    drawn = draw_model(bench.config.velocity, 0, 2).velocity
    np.testing.assert_array_equal(bench.velocity(3)[2], drawn)
    assert capsys.readouterr().err == ""
    # Made anew, not refused.
    assert bench.making(bench.config, bench.folder / "data.h5")[1].simulated == 7


def test_changed_changes_what_it_is_told(tiny):
    new = changed(tiny, simulation={"accuracy": 8}, dataset={"samples": 3})
    assert (new.simulation.accuracy, new.dataset.samples) == (8, 3)
    assert (new.survey, new.velocity) == (tiny.survey, tiny.velocity)
    assert new.dataset.shard_samples == tiny.dataset.shard_samples


def test_shooting_goes_in_calls_of_models_per_call(bench, monkeypatch):
    calls = []

    class Simulator:
        def __init__(self, config, device):
            assert (config.simulation.models_per_call, device) == (2, "cpu")

        def __call__(self, velocity, indices):
            calls.append((len(velocity), list(indices)))

    monkeypatch.setattr("seistomo.benchmarks.simulate.bench.Simulator", Simulator)
    config = changed(bench.config, simulation={"models_per_call": 2})
    variant = bench.shooting("two", config, 5)
    assert variant.run() >= 0
    assert calls == [(2, [0, 1]), (2, [2, 3]), (1, [4])]
    assert variant.models == 5
