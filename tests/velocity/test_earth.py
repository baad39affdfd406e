import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity import draw_earth
from seistomo.velocity.extent import Extent


@pytest.mark.parametrize("family", ["folds", "faults", "salt", "mixture"])
def test_a_finer_grid_shows_the_same_earth(family):
    config = VelocityConfig(families={family: 1})
    for index in range(3):
        _, earth, _ = draw_earth(config, 0, index)
        coarse, coarse_mask = earth.sample((100, 100), 15.0)
        fine, fine_mask = earth.sample((300, 300), 5.0)
        difference = np.abs(fine[::3, ::3] - coarse)
        # Only cells on contacts differ: a coarse one averages what lies within it.
        assert np.median(difference) < 10
        assert (difference > 250).mean() < 0.05
        assert (fine_mask[::3, ::3] != coarse_mask).mean() < 0.02


def test_the_same_draw_on_a_finer_grid_is_the_same_earth():
    coarse = VelocityConfig(families={"mixture": 1})
    fine = VelocityConfig(families={"mixture": 1}, shape=(200, 200), spacing=7.5)
    for index in range(3):
        first, second = (draw_earth(config, 0, index)[1] for config in (coarse, fine))
        one, _ = first.sample((200, 200), 7.5)
        two, _ = second.sample((200, 200), 7.5)
        assert (np.abs(one - two) > 50).mean() < 0.03


def test_horizons_are_continuous_away_from_faults():
    config = VelocityConfig(families={"folds": 1}, unconformity_probability=0)
    for index in range(5):
        _, earth, _ = draw_earth(config, 1, index)
        x, z = Extent.of((100, 100), 15.0).points(600, 300)
        layer = earth.layer_index(x, z)
        assert np.diff(layer, axis=0).min() >= 0
        for horizon in range(1, layer.max() + 1):
            depth = (layer < horizon).sum(axis=0) * 2.5
            shown = (depth > 50) & (depth < 1450)
            steps = np.abs(np.diff(depth))[shown[1:] & shown[:-1]]
            assert steps.size == 0 or steps.max() <= 12.5  # slope 2 at 5 m, and one row


def test_water_lies_flat_on_top():
    config = VelocityConfig(families={"layers": 1}, water_probability=1, water_depth=(0.1, 0.2))
    _, earth, parameters = draw_earth(config, 0, 0)
    velocity, _ = earth.sample((100, 100), 15.0)
    assert np.allclose(velocity[:3], parameters["water"]["velocity_m_s"], rtol=1e-5)
    assert velocity[25:].min() > 1500


def test_there_is_no_water_on_land():
    config = VelocityConfig(families={"layers": 1}, water_probability=0)
    for index in range(5):
        _, earth, parameters = draw_earth(config, 0, index)
        velocity, _ = earth.sample((100, 100), 15.0)
        assert parameters["water"] is None
        assert np.abs(velocity[0] - velocity[1]).max() < 25
