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
    *("survey.receivers=30", "survey.time_step=0.006", "survey.source_depth=30"),
    "survey.receiver_depth=15",
)


@pytest.fixture(scope="module")
def models():
    random = np.random.default_rng(0)
    layers = np.sort(random.uniform(1500, 4500, (3, 24)), axis=1)
    return np.repeat(layers[:, :, None], 30, axis=2).astype(np.float32)


@pytest.mark.parametrize(
    "settings",
    [(), ("simulation.density=gardner",), ("simulation.free_surface=true",)],
    ids=str,
)
def test_on_nodes_it_records_what_the_simulator_does(models, settings):
    config = load_config("", [*SIZES, *settings])
    simulator = Simulator(config, "cpu")
    expected = simulator(models, range(3)).reshape(9, 30, 60)
    loop, threads = BareLoop(config, models, range(3), "cpu"), torch.get_num_threads()
    for how in (BareSettings(1, 1, 9), BareSettings(2, 1, 2), BareSettings(1, 2, 4)):
        found = np.empty_like(expected)

        def keep(call, records, found=found):
            found[call.start : call.stop] = records[..., :: simulator.grid.inner_steps].numpy()

        loop.run(how, keep)
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
        assert torch.get_num_threads() == threads


def test_receivers_that_share_a_node_are_recorded_once(models):
    # At thirds of a cell: the nearest node of three at a time.
    loop = BareLoop(load_config("", [*SIZES, "survey.receivers=88"]), models[:1], [0], "cpu")
    points = []
    loop.run(BareSettings(1, 1, 9), lambda call, records: points.append(records.shape[1]))
    assert points == [30]
