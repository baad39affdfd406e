import numpy as np

from seistomo.config import load_config
from seistomo.simulation import make_wavelet
from seistomo.simulation.wavelet import wavelet_delay


def survey(*overrides):
    return load_config("", [f"survey.{override}" for override in overrides]).survey


def test_wavelet_peaks_at_its_delay_with_its_amplitude():
    config = survey("frequency=10.0", "amplitude=-2.5", "time_step=0.005")
    wavelet = make_wavelet(config)
    assert wavelet.shape == (300,)
    assert wavelet_delay(config) == 0.15
    assert np.argmin(wavelet) == 30
    assert wavelet[30] == -2.5


def test_wavelet_spectrum_is_that_of_a_ricker_wavelet():
    # The spectrum is proportional to f² exp(-(f / peak)²).
    wavelet = make_wavelet(survey("frequency=8.0"), 1e-3, 4000)
    frequency = np.fft.rfftfreq(4000, 1e-3)[:200]
    spectrum = np.abs(np.fft.rfft(wavelet))[:200]
    expected = frequency**2 * np.exp(-((frequency / 8) ** 2))
    np.testing.assert_allclose(
        spectrum / spectrum.max(), expected / expected.max(), rtol=0, atol=1e-6
    )


def test_wavelet_starts_from_nothing():
    assert abs(make_wavelet(survey())[0]) < 1.1e-8


def test_wavelet_at_another_sampling_is_the_same_wavelet():
    config = survey()
    fine = make_wavelet(config, config.time_step / 4, config.time_samples * 4)
    np.testing.assert_allclose(fine[::4], make_wavelet(config), rtol=0, atol=1e-13)
