import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import make_wavelet
from seistomo.simulation.wavelet import ricker_frequency, wavelet_delay


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


@pytest.mark.parametrize("kind", ["frequency=8.0", "wavelet=ormsby"])
def test_delay_moves_the_wavelet(kind):
    corners = ["corner_frequencies=[2,4,10,14]"] if "ormsby" in kind else []
    wavelet = make_wavelet(survey(kind, *corners, "delay=0.9", "time_step=0.005"))
    assert np.argmax(wavelet) == 180
    assert wavelet[180] == 1.0
    np.testing.assert_allclose(wavelet[100:180], wavelet[260:180:-1], rtol=0, atol=1e-12)


ORMSBY = ("wavelet=ormsby", "corner_frequencies=[2.0, 4.0, 10.0, 14.0]", "amplitude=3.0")


def test_ormsby_spectrum_is_the_trapezoid_of_its_corners():
    """Measured: within 4.9 % of the flat part; with four times the delay 1.9 %."""
    for more, limit in ((), 0.055), (("delay=2.0",), 0.022):
        wavelet = make_wavelet(survey(*ORMSBY, *more), 1e-3, 8000)
        frequency = np.fft.rfftfreq(8000, 1e-3)
        spectrum = np.abs(np.fft.rfft(wavelet))
        spectrum /= spectrum[(frequency > 5) & (frequency < 9)].mean()
        expected = np.interp(frequency, [2, 4, 10, 14], [0, 1, 1, 0])
        assert np.abs(spectrum - expected).max() < limit


def test_ormsby_wavelet_is_zero_phase_and_bounded_in_time():
    config = survey(*ORMSBY)
    assert wavelet_delay(config) == 0.5
    wavelet = make_wavelet(config, 1e-3, 1500)
    assert wavelet[500] == np.abs(wavelet).max() == 3.0
    np.testing.assert_allclose(wavelet[:501], wavelet[1000:499:-1], rtol=0, atol=1e-12)
    assert wavelet[0] == 0.0
    assert not wavelet[1001:].any()


@pytest.mark.parametrize(
    ("corners", "delay"),
    [([2, 4, 10, 14], 0.5), ([1, 3, 8, 16], 0.75), ([5, 7, 8, 9], 1.0), ([5, 6, 8, 12], 1.0)],
)
def test_narrow_ramps_take_a_longer_ormsby_wavelet(corners, delay):
    assert wavelet_delay(survey("wavelet=ormsby", f"corner_frequencies={corners}")) == delay


def test_ormsby_wavelet_may_start_at_zero_frequency():
    wavelet = make_wavelet(survey("wavelet=ormsby", "corner_frequencies=[0, 2, 8, 12]"))
    assert np.isfinite(wavelet).all()


def test_disperses_as_a_ricker_wavelet_of_that_frequency():
    assert ricker_frequency(survey("frequency=7.5")) == 7.5
    corners = "corner_frequencies=[9.8, 9.9, 10.1, 10.2]"
    narrow = survey("wavelet=ormsby", corners)
    # A Ricker wavelet disperses as its frequencies at 1.46 times its peak do: Γ(7.5) / 2⁵ Γ(2.5),
    # to the power of one tenth.
    assert ricker_frequency(narrow) == pytest.approx(10 / 1.46, rel=0.01)
    broad = survey(*ORMSBY)
    twice = survey("wavelet=ormsby", "corner_frequencies=[4, 8, 20, 28]")
    assert ricker_frequency(twice) == pytest.approx(2 * ricker_frequency(broad), rel=1e-3)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["wavelet=ormsby"], 'survey.wavelet = "ormsby": needs survey.corner_frequencies'),
        (["wavelet=file"], 'survey.wavelet = "file": needs survey.wavelet_file'),
        (["wavelet_file=a.txt"], 'is for survey.wavelet = "file", not "ricker"'),
        (["corner_frequencies=[1,2,3,4]"], 'is for survey.wavelet = "ormsby", not "ricker"'),
        (["wavelet=ormsby", "corner_frequencies=[2,4,4,8]"], "must increase"),
        (["wavelet=ormsby", "corner_frequencies=[-1,4,6,8]"], "greater than or equal to 0"),
        (["wavelet=ormsby", "corner_frequencies=[2,4,6]"], "corner_frequencies"),
        (
            ["wavelet=ormsby", "corner_frequencies=[2,4,60,100]"],
            "survey.time_step = 0.006: the Ormsby wavelet, 2-4-60-100 Hz, needs at most 0.005 s",
        ),
        (["frequency=30.0"], "survey.time_step = 0.006: the Ricker wavelet, 30 Hz, needs at most"),
        (["delay=-0.1"], "survey.delay"),
    ],
)
def test_wavelets_that_cannot_be_are_refused(overrides, message):
    with pytest.raises(InputError) as error:
        survey(*overrides)
    assert message in str(error.value)
