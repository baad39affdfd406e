import numpy as np
import pytest

from seistomo.velocity.speeds import LEAST_CONTRAST, out_of_order, rising_speeds


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_speeds_rise_with_contrast_within_the_range(rng):
    for count in range(1, 12):
        for _ in range(50):
            speeds = rising_speeds(rng, count, (1500.0, 4500.0))
            assert len(speeds) == count
            assert speeds.min() >= 1500
            assert speeds.max() <= 4500
            assert count == 1 or np.diff(speeds).min() >= LEAST_CONTRAST - 1e-6


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
