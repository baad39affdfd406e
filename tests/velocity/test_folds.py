import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity.extent import Extent
from seistomo.velocity.folds import STEEPEST, Folding

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


def test_gentle_folds_are_smaller():
    strong, gentle = draw(2), draw(2, gentle=True)
    ratio = np.abs(gentle.displacement.values).max() / np.abs(strong.displacement.values).max()
    assert ratio <= 1
    assert draw(2).parameters()["folds"][0].keys() == {"kind", "amplitude_m", "wavelength_m", "x_m"}
