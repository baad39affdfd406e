"""The bare deepwave loop shoots the same shots as the simulator."""

import numpy as np
import pytest
import torch

from seistomo.config import load_config
from seistomo.simulation import Simulator
from seistomo.simulation.bare import BareLoop, BareSettings

SIZES = (
    *("velocity.shape=[24, 30]", "velocity.spacing=15", "velocity.minimum=1450"),
    *("survey.sources=3", "survey.source_x=[45.0, 375.0]", "survey.time_samples=60"),
    *("survey.receivers=30", "survey.time_step=0.006"),
)
ONE = BareSettings(threads=1, inner_threads=1, shots=9)


def small_config(*settings):
    return load_config("", [*SIZES, *settings])


@pytest.fixture(scope="module")
def models():
    random = np.random.default_rng(0)
    layers = np.sort(random.uniform(1500, 4500, (3, 24)), axis=1)
    return np.repeat(layers[:, :, None], 30, axis=2).astype(np.float32)


def peak_difference(gathers, reference):
    return np.abs(gathers - reference).max() / np.abs(reference).max()


def test_on_nodes_it_records_what_the_simulator_does(models):
    config = small_config()
    loop = BareLoop(config, models, range(3), "cpu")
    assert loop.shots == 9
    expected = Simulator(config, "cpu")(models, range(3))
    assert peak_difference(loop.gathers(ONE), expected) < 1e-6


def test_between_nodes_deepwave_interpolates(models):
    config = small_config("survey.source_depth=50", "survey.receiver_depth=68.5")
    expected = Simulator(config, "cpu")(models[:1], [0])
    between = BareLoop(config, models[:1], [0], "cpu", "between").gathers(ONE)
    assert peak_difference(between, expected) < 3e-6
    nearest = BareLoop(config, models[:1], [0], "cpu").gathers(ONE)
    assert peak_difference(nearest, expected) > 0.01


@pytest.mark.parametrize(
    "settings", [BareSettings(2, 1, 2), BareSettings(1, 2, 4), BareSettings(1, 1, 100)], ids=str
)
def test_settings_change_no_record(models, settings):
    loop = BareLoop(small_config(), models, range(3), "cpu")
    threads = torch.get_num_threads()
    np.testing.assert_array_equal(loop.gathers(settings), loop.gathers(ONE))
    assert torch.get_num_threads() == threads


def test_receivers_that_share_a_node_are_recorded_once(models):
    # At thirds of a cell: the nearest node of three at a time.
    config = small_config("survey.receivers=88")
    loop = BareLoop(config, models[:1], [0], "cpu")
    points = []
    loop.run(ONE, lambda call, records: points.append(records.shape[1]))
    assert points == [30]
    on_nodes = BareLoop(small_config(), models[:1], [0], "cpu").gathers(ONE)
    nearest = np.rint(np.arange(88) / 3).astype(int)
    np.testing.assert_array_equal(loop.gathers(ONE), on_nodes[:, :, nearest])


def test_each_sample_has_positions_of_its_own(models):
    config = small_config("survey.receiver_jitter=40", "survey.source_jitter=30")
    both = BareLoop(config, models[1:], [1, 2], "cpu").gathers(ONE)
    alone = BareLoop(config, models[2:], [2], "cpu").gathers(ONE)
    np.testing.assert_array_equal(both[1:], alone)
    elsewhere = BareLoop(config, models[2:], [1], "cpu").gathers(ONE)
    assert peak_difference(elsewhere, alone) > 0.1
    between = BareLoop(config, models[2:], [2], "cpu", "between").gathers(ONE)
    expected = Simulator(config, "cpu")(models[2:], [2])
    assert peak_difference(between, expected) < 3e-6


def test_settings_in_words():
    assert str(BareSettings(2, 1, 8)) == "8 shots a call, calls divided among 2 threads"
    assert str(BareSettings(1, 4, 31)) == "31 shots a call, 4 threads inside deepwave"
    assert str(BareSettings(1, 1, 31)) == "31 shots a call, one thread"


@pytest.mark.parametrize(
    "settings",
    [
        ("simulation.density=gardner",),
        ("simulation.free_surface=true",),
        ("simulation.free_surface=true", "simulation.density=gardner"),
    ],
    ids=str,
)
def test_other_equations_and_surfaces(models, settings):
    config = small_config("survey.source_depth=35", "survey.receiver_depth=22.5", *settings)
    expected = Simulator(config, "cpu")(models[:2], [0, 1])
    between = BareLoop(config, models[:2], [0, 1], "cpu", "between").gathers(ONE)
    assert peak_difference(between, expected) < 1e-5
    on_nodes = small_config("survey.source_depth=30", "survey.receiver_depth=15", *settings)
    expected = Simulator(on_nodes, "cpu")(models[:2], [0, 1])
    assert peak_difference(BareLoop(on_nodes, models[:2], [0, 1], "cpu").gathers(ONE), expected) < (
        1e-5
    )


def test_weights_that_are_kept_record_the_same(models):
    config = small_config("survey.receiver_depth=68.5")
    each = BareLoop(config, models, range(3), "cpu", "between").gathers(ONE)
    loop = BareLoop(config, models, range(3), "cpu", "between, kept")
    np.testing.assert_array_equal(loop.gathers(BareSettings(1, 1, 4)), each)
    np.testing.assert_array_equal(loop.gathers(BareSettings(2, 1, 4)), each)
    jittered = small_config("survey.receiver_jitter=5")
    with pytest.raises(ValueError, match="cannot be kept"):
        BareLoop(jittered, models, range(3), "cpu", "between, kept")
