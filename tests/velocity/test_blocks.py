import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity.blocks import Blocks, draw_curve, draw_tops, no_curve, relief
from seistomo.velocity.curves import Waves
from seistomo.velocity.extent import Extent
from seistomo.velocity.faults import Fault

SHAPE, SPACING = (70, 70), 10.0
EXTENT = Extent.of(SHAPE, SPACING)
SINE = Waves(np.array([80.0]), np.array([350.0]), np.array([0.3]))


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def blocks(curve, *faults):
    tops, speeds = np.array([0.0, 200.0, 450.0]), np.array([1800.0, 2500.0, 3300.0])
    return Blocks.of(tops, speeds, curve, faults, EXTENT)


def test_flat_layers_lie_where_they_should():
    velocity, salt = blocks(no_curve()).sample(SHAPE, SPACING)
    depth = np.arange(70) * 10.0
    expected = np.where(depth < 200, 1800, np.where(depth < 450, 2500, 3300))
    assert np.array_equal(velocity, np.broadcast_to(expected[:, None], SHAPE))
    assert velocity.dtype == np.float32
    assert not salt.any()


def test_curved_horizons_follow_the_curve():
    velocity, _ = blocks(SINE).sample(SHAPE, SPACING)
    x = np.arange(70) * 10.0
    for top, speed in ((200.0, 1800.0), (450.0, 2500.0)):
        cells = (velocity <= speed).sum(axis=0)
        horizon = top + 80 * np.sin(2 * np.pi * x / 350 + 0.3)
        assert np.abs(cells * 10 - horizon).max() <= 10


def test_a_fault_shifts_flat_layers_by_its_throw():
    fault = Fault(300.0, 1.0, 60.0, 100.0, None, 0.0, 0.0)
    earth = blocks(no_curve(), fault)
    velocity, _ = earth.sample(SHAPE, SPACING)
    left, right = ((velocity[:, column] < 2000).sum() * 10.0 for column in (0, 69))
    assert left - right == pytest.approx(-100.0, abs=10)
    # The mean subsidence is taken back.
    assert earth.level == pytest.approx(100 * (700 - 300) / 700, abs=15)
    assert left == pytest.approx(200 - earth.level, abs=10)


def test_a_finer_grid_shows_the_same_earth():
    earth = blocks(SINE, Fault(300.0, -1.0, 70.0, -120.0, None, 0.0, 0.0))
    coarse, _ = earth.sample(SHAPE, SPACING)
    fine, _ = earth.sample((210, 210), SPACING / 3)
    assert (fine[::3, ::3] != coarse).mean() < 0.01


def test_tops_fill_the_depth(rng):
    last, others = [], []
    for count in range(2, 12):
        for _ in range(40):
            tops = draw_tops(rng, count, 700.0)
            thickness = np.diff([*tops, 700.0])
            assert tops[0] == 0
            assert len(tops) == count
            assert thickness.min() >= 0.2 * 0.75 / (1.25 * count) * 700
            assert thickness[:-1].max() <= 1.25 / 0.75 * thickness[:-1].min() * (1 + 1e-9)
            last.append(thickness[-1] / thickness[:-1].mean())
            others += (thickness[:-1] / thickness[:-1].mean()).tolist()
    # Uniform over 0.2 to 1, with a mean of 0.6; the others over 0.75 to 1.25.
    assert np.mean(last) == pytest.approx(0.6, abs=0.05)
    assert np.std(others) > 0.1


def test_curves_have_the_relief_and_wavelengths_of_the_config(rng):
    config = VelocityConfig(openfwi_relief=(100, 300), openfwi_wavelength=(200, 600))
    heights = []
    for _ in range(60):
        curve = draw_curve(rng, config, EXTENT)
        x = np.linspace(-5, 695, 3000)
        heights.append(np.ptp(curve(x)))
        assert relief(curve, EXTENT) == pytest.approx(heights[-1], rel=0.01)
        assert curve.wavelength.min() >= 200
        assert curve.wavelength.max() <= 600
    assert 99 <= min(heights) < 120
    assert 280 < max(heights) <= 301


def test_flat_horizons_have_no_relief():
    assert relief(no_curve(), EXTENT) == 0
