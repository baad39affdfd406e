import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import Simulator, check_simulation, make_wavelet
from seistomo.simulation.wavelet import read_own_wavelet, ricker_frequency, wavelet_delay


def survey(*overrides):
    return load_config("", [f"survey.{override}" for override in overrides]).survey


def test_wavelet_peaks_at_its_delay_with_its_amplitude():
    config = survey("frequency=10.0", "amplitude=-2.5", "time_step=0.005")
    wavelet = make_wavelet(config)
    assert wavelet.shape == (300,)
    assert wavelet_delay(config) == 0.15
    assert np.argmin(wavelet) == 30
    assert wavelet[30] == -2.5
    assert abs(make_wavelet(survey())[0]) < 1.1e-8


def test_wavelet_spectrum_is_that_of_a_ricker_wavelet():
    # The spectrum is proportional to f² exp(-(f / peak)²).
    wavelet = make_wavelet(survey("frequency=8.0"), 1e-3, 4000)
    frequency = np.fft.rfftfreq(4000, 1e-3)[:200]
    spectrum = np.abs(np.fft.rfft(wavelet))[:200]
    expected = frequency**2 * np.exp(-((frequency / 8) ** 2))
    np.testing.assert_allclose(
        spectrum / spectrum.max(), expected / expected.max(), rtol=0, atol=1e-6
    )


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
    lowest = make_wavelet(survey("wavelet=ormsby", "corner_frequencies=[0, 2, 8, 12]"))
    assert np.isfinite(lowest).all()


@pytest.mark.parametrize(
    ("corners", "delay"),
    [([2, 4, 10, 14], 0.5), ([1, 3, 8, 16], 0.75), ([5, 7, 8, 9], 1.0), ([5, 6, 8, 12], 1.0)],
)
def test_narrow_ramps_take_a_longer_ormsby_wavelet(corners, delay):
    assert wavelet_delay(survey("wavelet=ormsby", f"corner_frequencies={corners}")) == delay


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


def config_of(path, *overrides):
    return load_config("", ["survey.wavelet=file", f"survey.wavelet_file={path}", *overrides])


def ricker(time, frequency=8.0, peak=0.2):
    a = (np.pi * frequency * (time - peak)) ** 2
    return (1 - 2 * a) * np.exp(-a)


def save(path, table):
    if path.suffix == ".npy":
        np.save(path, table)
    else:
        np.savetxt(path, table, delimiter="," if path.suffix == ".csv" else " ")
    return path


def two_columns(path, time, **shape):
    return save(path, np.stack([time, ricker(time, **shape)], axis=1))


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".npy"])
@pytest.mark.parametrize(
    # The coarsest puts the file's own Nyquist frequency at three times the peak frequency.
    ("step", "limit"),
    [(0.002, 1e-9), (0.0041, 1e-9), (0.02, 4e-3)],
)
def test_a_wavelet_is_resampled_band_limited(tmp_path, suffix, step, limit):
    """Finer or coarser than the record, a Ricker wavelet stays what it is."""
    path = two_columns(tmp_path / f"own{suffix}", np.arange(0, 0.5, step))
    config = config_of(path, "survey.amplitude=-2.0").survey
    for spacing, samples in ((None, None), (0.0015, 1200)):
        got = make_wavelet(config, spacing, samples)
        expected = -2 * ricker(np.arange(len(got)) * (spacing or 0.006))
        assert np.abs(got - expected).max() < limit


def test_one_column_has_the_sampling_of_the_record(tmp_path):
    samples = np.random.default_rng(0).standard_normal(50)
    path = save(tmp_path / "own.npy", samples)
    wavelet = make_wavelet(config_of(path).survey)
    assert wavelet.shape == (300,)
    np.testing.assert_allclose(wavelet[:50], samples, rtol=0, atol=1e-12)
    np.testing.assert_allclose(wavelet[50:], 0, rtol=0, atol=1e-12)
    later = make_wavelet(config_of(path, "survey.delay=0.06").survey)
    np.testing.assert_allclose(later[10:60], samples, rtol=0, atol=1e-12)


def test_text_may_have_names_and_comments(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("# of a survey\ntime (s); pressure\n0; 1\n\n0.004; 2.5 # peak\n0.008; -1e-1\n")
    own = read_own_wavelet(config_of(path, "survey.time_step=0.004").survey)
    assert own.samples.tolist() == [1.0, 2.5, -0.1]
    assert own.step == pytest.approx(0.004)
    assert own.start == 0.0


def test_a_zero_phase_wavelet_needs_a_delay(tmp_path):
    path = two_columns(tmp_path / "own.txt", np.arange(-50, 51) * 0.004, peak=0.0)
    with pytest.raises(InputError, match=r"starts 0\.2 s before .* survey\.delay of at least 0\.2"):
        make_wavelet(config_of(path).survey)
    config = config_of(path, "survey.delay=0.24").survey
    assert wavelet_delay(config) == pytest.approx(0.24)
    assert np.argmax(make_wavelet(config)) == 40


def test_its_spectrum_is_judged_as_that_of_a_ricker_wavelet(tmp_path):
    time = np.arange(0, 0.5, 0.002)
    path = two_columns(tmp_path / "own.txt", time)
    config = config_of(path)
    assert ricker_frequency(config.survey) == pytest.approx(8, rel=0.01)
    # f² exp(-f²) is a hundredth of its peak at 2.76.
    assert read_own_wavelet(config.survey).highest_frequency == pytest.approx(8 * 2.76, rel=0.02)
    assert any("12.1 grid cells" in line for line in check_simulation(config))
    two_columns(path, time, frequency=14.0)
    with pytest.raises(InputError, match=r"wavelet from .*own\.txt: 6\.9\d? grid cells .* least 8"):
        check_simulation(config)
    two_columns(path, time, frequency=40.0)
    with pytest.raises(InputError, match=r"time_step = 0\.006: .* up to 11.* at most 0\.0045\d* s"):
        check_simulation(config)


def test_a_wavelet_that_is_cut_or_sampled_badly_is_warned_of(tmp_path, capsys):
    def warnings(time, **shape):
        path = two_columns(tmp_path / "own.txt", time, **shape)
        check_simulation(config_of(path, "survey.time_samples=400"))
        return capsys.readouterr().err

    time = np.arange(0, 0.5, 0.002)
    assert warnings(time) == ""
    assert "its peak; use a longer survey.delay or taper it" in warnings(time, peak=0.1)
    assert "samples every 0.036 s are too few" in warnings(time[::18])


def test_gathers_are_those_of_the_same_wavelet_by_name(tmp_path):
    """Measured: 1.0e-6 of the peak."""
    small = ["velocity.shape=[30, 30]", "survey.sources=1", "survey.receivers=9"]
    path = two_columns(tmp_path / "own.npy", np.arange(0, 0.6, 0.001), peak=0.1875)
    velocity = np.full((1, 30, 30), 2000, np.float32)
    got = Simulator(config_of(path, *small), "cpu")(velocity, [0])
    expected = Simulator(load_config("", small), "cpu")(velocity, [0])
    assert np.abs(got - expected).max() < 3e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "no such file"),
        ("empty.txt", "", "holds 0 x 1 numbers"),
        ("words.txt", "a b\nc d\n", "could not convert"),
        ("three.txt", "0 1 2\n1 2 3\n2 3 4\n", "holds 3 x 3 numbers"),
        ("ragged.txt", "0 1\n1\n2 3\n", "not every line"),
        ("short.txt", "1\n2\n", "three rows or more"),
        ("zero.txt", "0\n0\n0\n", "not all zero"),
        ("nan.txt", "0\nnan\n1\n", "finite"),
        ("back.txt", "0 1\n-1 2\n-2 3\n", "even steps"),
        ("uneven.txt", "0 1\n0.001 2\n0.004 3\n", "even steps"),
        ("bad.npy", "not numpy", "damaged, or of another format"),
        ("/dev/zero", None, "has no end"),
    ],
)
def test_what_is_no_wavelet_is_refused_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as error:
        make_wavelet(config_of(path).survey)
    assert message in str(error.value)
    assert str(error.value).startswith("survey.wavelet_file = ")
    assert "\n" not in str(error.value)
