import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import Waves
from seistomo.velocity.extent import Extent
from seistomo.velocity.layers import LEAST_RISE, LayerStack, SeaFloor, out_of_order, rising_speeds

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


def test_speed_is_trend_plus_jitter_in_the_middle_of_a_layer():
    stack = draw(seed=4, velocity_cap=4000)
    middle = (stack.tops[:-1] + stack.tops[1:]) / 2
    index = np.arange(len(middle))
    expected = stack.trend[0] + stack.trend[1] * middle + stack.jitter[:-1]
    assert stack.speed(index, middle) == pytest.approx(np.clip(expected, 1500, 4000), rel=1e-5)


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
    assert np.diff(speed[:shown]).min() >= LEAST_RISE - 0.01
    assert speed[0] >= 2000
    assert speed[-1] <= 4000
    trend = stack.trend[0] + stack.trend[1] * (stack.tops[:-1] + stack.tops[1:])[:shown] / 2
    assert speed[:shown] == pytest.approx(trend + stack.jitter[:shown], abs=0.01)
    assert np.abs(stack.jitter[:shown]).max() == pytest.approx(stack.largest_jitter)


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


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.mark.parametrize(("peak", "smoothness"), [(0.0, 0.5), (1.0, 1.0), (40.0, 1.2)])
def test_waves_keep_within_their_peak_and_cover_all_wavelengths(rng, peak, smoothness):
    waves = Waves.draw(rng, peak, (50.0, 800.0), 8, smoothness)
    assert np.abs(waves(np.linspace(0, 5000, 4001))).max() <= peak * (1 + 1e-12)
    assert np.abs(waves.amplitude).sum() == pytest.approx(peak)
    assert np.all(np.diff(waves.wavelength) > 0)
    assert 50 <= waves.wavelength[0] < 75
    assert 500 < waves.wavelength[-1] <= 800


def test_speeds_rise_with_contrast_within_the_range(rng):
    for count in range(1, 12):
        for _ in range(50):
            speeds = rising_speeds(rng, count, (1500.0, 4500.0))
            assert len(speeds) == count
            assert speeds.min() >= 1500
            assert speeds.max() <= 4500
            assert count == 1 or np.diff(speeds).min() >= LEAST_RISE - 1e-6


def test_a_narrow_range_still_holds_all_layers(rng):
    speeds = rising_speeds(rng, 11, (2000.0, 2100.0))
    assert np.diff(speeds).min() >= 5 - 1e-6
    assert speeds[0] >= 2000
    assert speeds[-1] <= 2100
    assert np.array_equal(rising_speeds(rng, 3, (2000.0, 2000.0)), [2000.0] * 3)


def test_speeds_are_uniform_over_the_range(rng):
    drawn = np.concatenate([rising_speeds(rng, 4, (1500.0, 4500.0)) for _ in range(3000)])
    counts, _ = np.histogram(drawn, 10, (1500, 4500))
    # 1200 a bin but for the contrast; the standard deviation of a bin's count is 33.
    assert np.abs(counts - 1200).max() < 150
    # The mean of the k-th of n ordered uniform numbers is k / (n + 1).
    mean = drawn.reshape(-1, 4).mean(axis=0)
    assert mean == pytest.approx([2100, 2700, 3300, 3900], abs=60)


def test_shuffled_speeds_are_the_same_but_never_rise(rng):
    speeds = np.array([1.0, 2.0, 3.0])
    orders = {tuple(out_of_order(rng, speeds)) for _ in range(200)}
    assert len(orders) == 5
    assert (1.0, 2.0, 3.0) not in orders
    assert all(sorted(order) == speeds.tolist() for order in orders)
    assert np.array_equal(out_of_order(rng, np.array([1.0, 2.0])), [2.0, 1.0])
