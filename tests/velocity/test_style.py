import math

import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.velocity import draw_earth
from seistomo.velocity.extent import Extent
from seistomo.velocity.style import BEDDING, LARGEST, SMALLEST, Ellipses, Style

SHAPE, SPACING = (70, 70), 10.0
EXTENT = Extent.of(SHAPE, SPACING)


def style(index, family="style_a", **values):
    config = VelocityConfig(shape=SHAPE, spacing=SPACING, families=family, **values)
    return draw_earth(config, 0, index)[1]


def one_ellipse(**values):
    given = {"x": 300.0, "z": 200.0, "radius": 150.0, "flatness": 0.5, "tilt": 0.4}
    given |= {"shade": 1.0, "wavelength": 60.0, "phase": 0.0} | values
    return Ellipses(**{name: np.array([value]) for name, value in given.items()})


def test_an_ellipse_has_its_area_and_place():
    x = z = np.arange(0, 500, 2.0)
    shades = one_ellipse().shades(x, z)
    inside = shades != 0.5
    assert inside.sum() * 4 == pytest.approx(math.pi * 150 * 75, rel=0.01)
    rows, columns = np.nonzero(inside)
    assert x[columns].mean() == pytest.approx(300, abs=2)
    assert z[rows].mean() == pytest.approx(200, abs=2)
    # The long axis goes down to the right by the tilt.
    slope = np.linalg.eigh(np.cov(x[columns], z[rows]))[1][:, 1]
    assert math.atan2(slope[1] * np.sign(slope[0]), abs(slope[0])) == pytest.approx(0.4, abs=0.02)
    assert np.abs(shades[inside] - 1.0).max() == pytest.approx(BEDDING, rel=0.01)


def test_ellipses_cover_most_of_the_model_at_all_sizes():
    rng = np.random.default_rng(2)
    bare = []
    for _ in range(5):
        ellipses = Ellipses.draw(rng, EXTENT, 50.0)
        shades = ellipses.shades(np.arange(70) * 10.0, np.arange(70) * 10.0)
        bare.append((shades == 0.5).mean())
        assert ellipses.radius.min() >= SMALLEST * 700
        assert ellipses.radius.max() <= LARGEST * 700
        # Half of them are smaller than the harmonic mean of the extremes.
        middle = 2 / (1 / SMALLEST + 1 / LARGEST) * 700
        assert 0.4 < (ellipses.radius < middle).mean() < 0.6
    assert np.mean(bare) < 0.12


@pytest.mark.parametrize("family", ["style_a", "style_b"])
def test_a_finer_grid_shows_the_same_earth(family):
    for index in range(3):
        earth = style(index, family)
        coarse, _ = earth.sample(SHAPE, SPACING)
        fine, _ = earth.sample((210, 210), SPACING / 3)
        difference = np.abs(fine[::3, ::3] - coarse)
        assert np.median(difference) < 15
        assert (difference > 300).mean() < 0.05


def test_speeds_span_the_range_that_was_drawn():
    for index in range(10):
        earth = style(index)
        velocity, _ = earth.sample(SHAPE, SPACING)
        low, high = earth.ends
        assert 1500 <= low <= 2100
        assert 3900 <= high <= 4500
        assert velocity.min() == pytest.approx(low, abs=150)
        assert velocity.max() == pytest.approx(high, abs=150)


def test_no_structure_leaves_a_rise_with_depth():
    earth = style(0, openfwi_style_contrast=(0, 0), openfwi_smoothing_a=(0, 0))
    velocity, _ = earth.sample(SHAPE, SPACING)
    assert np.ptp(velocity, axis=1).max() == 0
    assert np.diff(velocity[:, 0], 2)[1:-2] == pytest.approx(0, abs=0.01)


def test_wide_smoothing_of_a_small_model_is_limited():
    config = VelocityConfig(shape=(11, 20), spacing=1.0, families="style_a")
    earth = draw_earth(config, 0, 0)[1]
    assert isinstance(earth, Style)
    assert earth.smoothing == pytest.approx(1.1)
    assert len(earth.ellipses.x) < 3000
