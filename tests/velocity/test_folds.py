import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity.extent import Extent
from seistomo.velocity.folds import STEEPEST, Folding, Unconformity
from seistomo.velocity.layers import LayerStack

EXTENT = Extent.of((100, 100), 15.0)


def draw(seed, gentle=False, **values):
    return Folding.draw(np.random.default_rng(seed), VelocityConfig(**values), EXTENT, gentle)


@pytest.mark.parametrize("seed", range(20))
def test_displacement_keeps_to_the_amplitude(seed):
    folding = draw(seed, fold_amplitude=(100, 100), fold_wavelength=(1500, 2000))
    x, z = EXTENT.points(200, 200)
    lift = folding.restore(x, z) - z
    assert np.abs(lift).max() <= 100.01
    assert np.abs(lift).max() > 50


@pytest.mark.parametrize("seed", range(20))
def test_beds_stay_upright(seed):
    folding = draw(seed, fold_amplitude=(150, 150), fold_wavelength=(500, 500), folds=(4, 4))
    x, z = EXTENT.points(300, 200)
    assert np.diff(folding.restore(x, z), axis=0).min() > 0
    values = folding.displacement.values
    assert np.abs(np.diff(values)).max() <= 1.05 * STEEPEST * folding.displacement.step


def test_folds_grow_with_depth_and_are_smooth():
    folding = draw(1, fold_amplitude=(120, 120))
    x, z = EXTENT.points(300, 300)
    lift = folding.restore(x, z) - z
    assert np.ptp(lift[-1]) > np.ptp(lift[0])
    assert np.abs(np.diff(lift, axis=1)).max() < 1.1 * STEEPEST * 5


def test_older_beds_are_cut_off_and_younger_ones_are_not():
    ages = [subcrop(seed) for seed in range(10)]
    assert sum(age > 1 for age in ages) >= 7
    assert max(ages) >= 3


def subcrop(seed):
    """Number of older beds that reach the surface of erosion."""
    rng = np.random.default_rng(seed)
    config = VelocityConfig(layer_waviness=(0, 0), layer_dip=(0, 0))
    layers = LayerStack.draw(rng, config, EXTENT, 1500.0, 1500.0, 1500.0)
    gap = Unconformity.draw(rng, layers, EXTENT, 1500.0)
    x, z = EXTENT.points(300, 300)
    index, depth = gap.strata(layers, x, z)
    surface = layers.tops[gap.layer]
    assert np.array_equal(index[z[:, 0] < surface], layers.index(x, z)[z[:, 0] < surface])
    old = index[z[:, 0] >= surface]
    assert old.min() >= gap.layer
    assert np.diff(depth, axis=0).min() > 0
    assert gap.eroded.values.min() >= 0
    return len(np.unique(old[0]))
