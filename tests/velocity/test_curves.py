import numpy as np
import pytest

from seistomo.velocity.curves import Table, Waves, smooth_step


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_waves_keep_within_their_peak(rng):
    x = np.linspace(0, 5000, 4001)
    for peak in (0.0, 1.0, 40.0):
        for smoothness in (0.5, 1.2):
            waves = Waves.draw(rng, peak, (100.0, 1000.0), 5, smoothness)
            assert np.abs(waves(x)).max() <= peak * (1 + 1e-12)
            assert np.abs(waves.amplitude).sum() == pytest.approx(peak)


def test_waves_cover_the_range_of_wavelengths(rng):
    waves = Waves.draw(rng, 1.0, (50.0, 800.0), 8)
    assert np.all((waves.wavelength >= 50) & (waves.wavelength <= 800))
    assert np.all(np.diff(waves.wavelength) > 0)
    assert waves.wavelength[0] < 75
    assert waves.wavelength[-1] > 500


def test_waves_keep_single_precision(rng):
    assert Waves.draw(rng, 1.0, (50.0, 800.0))(np.zeros(3, np.float32)).dtype == np.float32


def test_table_follows_the_function_and_stays_constant_beyond():
    table = Table.of(np.cos, 0.0, 3.0, 3001)
    x = np.linspace(0, 3, 777)
    assert np.abs(table(x) - np.cos(x)).max() < 6e-4  # half a step at slope 1
    assert table(np.array([-5.0, 9.0])) == pytest.approx([1.0, np.cos(3.0)], abs=1e-6)


def test_smooth_step_has_flat_ends():
    t = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert smooth_step(t) == pytest.approx([0, 0, 0.5, 1, 1])
    assert smooth_step(np.array([1e-4])) < 1e-7
