import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.extent import Extent
from seistomo.velocity.layers import LayerStack
from seistomo.velocity.unconformity import Unconformity

EXTENT = Extent.of((100, 100), 15.0)


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
