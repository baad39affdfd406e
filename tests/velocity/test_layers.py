import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity.extent import Extent
from seistomo.velocity.layers import LayerStack, SeaFloor
from seistomo.velocity.speeds import LEAST_CONTRAST

DEPTH = 1500.0


def draw(seed=0, depth=DEPTH, **values):
    config = VelocityConfig(**values)
    extent = Extent.of(config.shape, config.spacing)
    rng = np.random.default_rng(seed)
    return LayerStack.draw(rng, config, extent, depth, spare=depth, floor=1500.0)


@pytest.mark.parametrize("seed", range(20))
def test_thickness_and_number_keep_to_the_config(seed):
    stack = draw(seed)
    shown = stack.tops[stack.tops < DEPTH - 1e-4]
    thickness = np.diff([*shown, DEPTH])
    assert 5 <= len(shown) <= 12
    assert thickness.min() >= 50 - 1e-4
    assert thickness.max() <= 300 + 1e-4
    assert stack.tops[-1] > 1.9 * DEPTH


def test_thickness_wins_where_the_number_cannot_hold():
    tops = draw(depth=3000.0, layers=(5, 5), layer_thickness=(100, 200)).tops
    assert (tops < 3000 - 1e-4).sum() == 15
    tops = draw(depth=300.0, layers=(12, 12), layer_thickness=(100, 200)).tops
    assert (tops < 300 - 1e-4).sum() == 3


@pytest.mark.parametrize("seed", range(10))
def test_horizons_never_cross(seed):
    stack = draw(seed, layer_waviness=(0.8, 0.8), layer_dip=(20, 20))
    depth = np.stack([horizon.values for horizon in stack.horizons])
    assert np.diff(depth, axis=0).min() > 0


def test_index_counts_the_horizons_above():
    stack = draw(layer_waviness=(0, 0), layer_dip=(0, 0))
    middle = (stack.tops[:-1] + stack.tops[1:]) / 2
    index = stack.index(np.array([[10.0, 900.0]]), middle[:, None])
    assert np.array_equal(index, np.arange(len(middle))[:, None].repeat(2, axis=1))


def test_speed_is_trend_plus_jitter_in_the_middle_of_a_layer():
    stack = draw(seed=4, velocity_cap=4000)
    middle = (stack.tops[:-1] + stack.tops[1:]) / 2
    index = np.arange(len(middle))
    expected = stack.trend[0] + stack.trend[1] * middle + stack.jitter[:-1]
    assert stack.speed(index, middle) == pytest.approx(np.clip(expected, 1500, 4000), rel=1e-5)


def test_layers_without_gradient_are_constant():
    stack = draw(layer_gradient=(0, 0))
    assert np.ptp(stack.speed(np.full(5, 2), np.linspace(0, 900, 5))) == 0


@pytest.mark.parametrize("seed", range(20))
def test_jitter_keeps_to_its_size_and_no_layer_falls_far_below_those_above(seed):
    stack = draw(seed, layer_gradient=(0, 0))
    assert np.abs(stack.jitter).max() <= stack.largest_jitter
    assert 100 <= stack.largest_jitter <= 400
    speed = stack.intercept
    fall = np.maximum.accumulate(speed) - speed
    assert fall.max() <= stack.largest_jitter + 0.01


@pytest.mark.parametrize("seed", range(10))
def test_rising_layers_are_constant_and_each_faster_than_the_one_above(seed):
    stack = draw(seed, layer_speeds="rising", surface_velocity=(2000, 2300), velocity_cap=4000)
    shown = np.count_nonzero(stack.tops < DEPTH - 1e-4)
    speed = stack.intercept
    assert stack.slope == 0
    assert np.diff(speed).min() >= 0
    assert np.diff(speed[:shown]).min() >= LEAST_CONTRAST - 0.01
    assert speed[0] >= 2000
    assert speed[-1] <= 4000
    trend = stack.trend[0] + stack.trend[1] * (stack.tops[:-1] + stack.tops[1:])[:shown] / 2
    assert speed[:shown] == pytest.approx(trend + stack.jitter[:shown], abs=0.01)
    assert np.abs(stack.jitter[:shown]).max() == pytest.approx(stack.largest_jitter)


def test_rising_layers_use_the_whole_range():
    speeds = [
        draw(seed, layer_speeds="rising").parameters(DEPTH - 1)["velocity_m_s"]
        for seed in range(60)
    ]
    assert min(speed[0] for speed in speeds) < 1660
    assert max(speed[-1] for speed in speeds) > 3940


def test_a_trend_and_rising_speeds_have_the_same_layers():
    trend, rising = draw(3), draw(3, layer_speeds="rising")
    assert np.array_equal(trend.tops, rising.tops)


def test_sea_floor_is_flat_zero_on_land_and_below_the_surface_at_sea():
    x = np.linspace(0, 1500, 301)
    extent = Extent.of((100, 100), 15.0)
    for seed in range(10):
        land = SeaFloor.draw(
            np.random.default_rng(seed), VelocityConfig(water_probability=0), extent
        )
        assert land.depth == 0
        assert not land(x).any()
        config = VelocityConfig(water_probability=1, sea_floor_relief=(40, 40))
        sea = SeaFloor.draw(np.random.default_rng(seed), config, extent)
        assert 0.02 * 1500 <= sea.depth <= 0.3 * 1500
        assert np.abs(sea(x) - sea.depth).max() <= min(40, sea.depth / 2) + 1e-9
        assert sea(x).std() > 0
        assert 1480 <= sea.water_velocity <= 1530
