import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import Survey, add_noise, draw_dead_traces
from seistomo.simulation.survey import DEAD_TRACES, NOISE, random_stream


def test_survey_spans_the_whole_width_by_default():
    survey = Survey.draw(load_config(), 0, 0)
    assert survey.source_x.shape == (31,)
    assert survey.source_x[[0, -1]].tolist() == [0.0, 1485.0]
    np.testing.assert_allclose(np.diff(survey.receiver_x), 1485 / 255)
    assert survey.receiver_depth.tolist() == [0.0] * 256
    assert not survey.dead_trace.any()


def test_survey_follows_the_configuration():
    config = load_config(
        "",
        [
            "survey.sources=1",
            "survey.source_x=[100.0, 200.0]",
            "survey.receivers=3",
            "survey.receiver_x=[300.0, 100.0]",
            "survey.source_depth=12.5",
        ],
    )
    survey = Survey.draw(config, 0, 0)
    assert survey.source_x.tolist() == [150.0]
    assert survey.source_depth.tolist() == [12.5]
    assert survey.receiver_x.tolist() == [300.0, 200.0, 100.0]
    given = load_config("", ["survey.sources=3", "survey.source_x=[0.0, 170.0, 690.0]"])
    assert Survey.draw(given, 0, 0).source_x.tolist() == [0.0, 170.0, 690.0]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["survey.source_x=[0, 10, 20]"], "survey.source_x = [0.0, 10.0, 20.0]: .* all 31 "),
        (["survey.receivers=2", "survey.receiver_x=[5]"], "survey.receiver_x = [5.0]: .* all 2 "),
        (["survey.sources=3", "survey.source_x=[0, 10, 2000]"], "2000.0]: must lie within"),
        (["survey.source_jitter=-1"], "survey.source_jitter"),
    ],
)
def test_positions_that_do_not_fit_are_refused(overrides, named):
    with pytest.raises(InputError, match=named.replace("[", r"\[").replace("]", r"\]")):
        load_config("", overrides)


def test_jitter_moves_positions_evenly_and_keeps_them_inside():
    config = load_config("", ["survey.source_jitter=12.0", "survey.receiver_jitter=4.0"])
    still = Survey.draw(load_config(), 0, 0)
    surveys = [Survey.draw(config, 5, index) for index in range(400)]
    moved = np.stack([survey.source_x for survey in surveys]) - still.source_x
    assert np.abs(moved).max() <= 12.0
    # Uniform over 24 m: a deviation of 6.9 m, known from 11,600 draws to 0.05 m.
    assert moved[:, 1:-1].std() == pytest.approx(24 / np.sqrt(12), abs=0.2)
    assert np.abs(moved[:, 1:-1].mean()) < 0.3
    # At the model's edge, over the half that lies inside.
    assert moved[:, 0].min() >= 0
    assert moved[:, 0].mean() == pytest.approx(6, abs=1)
    assert moved[:, -1].max() <= 0
    receivers = np.stack([survey.receiver_x for survey in surveys])
    assert np.abs(receivers - still.receiver_x).max() <= 4.0
    assert receivers.min() >= 0
    assert receivers.max() <= 1485
    assert np.abs(np.corrcoef(moved[:, 5], moved[:, 6])[0, 1]) < 0.2


def test_jitter_and_dead_traces_depend_on_seed_and_index_alone():
    jitter = ["survey.source_jitter=12.0", "survey.receiver_jitter=4.0"]
    first = Survey.draw(load_config("", jitter), 3, 7)
    again = Survey.draw(load_config("", [*jitter, "survey.dead_traces=0.1"]), 3, 7)
    assert np.array_equal(first.source_x, again.source_x)
    assert np.array_equal(first.receiver_x, again.receiver_x)
    assert again.dead_trace.sum() == round(0.1 * 31 * 256)
    for seed, index in ((3, 8), (4, 7)):
        other = Survey.draw(load_config("", [*jitter, "survey.dead_traces=0.1"]), seed, index)
        assert not np.array_equal(again.dead_trace, other.dead_trace)
        assert not np.any(first.source_x == other.source_x)
        assert not np.any(first.receiver_x == other.receiver_x)
    # Neither moves the other, nor the dead traces.
    fewer = Survey.draw(load_config("", jitter[1:]), 3, 7)
    assert np.array_equal(first.receiver_x, fewer.receiver_x)
    still = Survey.draw(load_config("", ["survey.dead_traces=0.1"]), 3, 7)
    assert np.array_equal(again.dead_trace, still.dead_trace)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_impossible_share_of_dead_traces_is_refused(share):
    with pytest.raises(InputError, match="dead traces"):
        draw_dead_traces((2, 3), share, random_stream(0, 0, 0))


@pytest.fixture
def gathers():
    """Gathers [source, receiver, time] that are strong near the source and weak far away."""
    rng = random_stream(0, 0, 99)
    fade = np.exp(-np.arange(32) / 8)[None, :, None]
    return (rng.standard_normal((8, 32, 200)) * fade).astype(np.float32)


def decibel(signal, noise):
    return 20 * np.log10(np.sqrt(np.mean(signal**2) / np.mean(noise**2)))


@pytest.mark.parametrize("snr", [-5.0, 10.0, 40.0])
def test_noise_has_the_level_that_was_asked_for(gathers, snr):
    noise = add_noise(gathers, snr, random_stream(0, 1, NOISE)) - gathers
    # 51,200 samples: the level is known to 0.03 dB (one standard deviation).
    assert decibel(gathers, noise) == pytest.approx(snr, abs=0.1)


def test_noise_is_white_and_as_strong_on_weak_traces(gathers):
    noise = add_noise(gathers, 10.0, random_stream(0, 1, NOISE)) - gathers
    spectrum = np.mean(np.abs(np.fft.rfft(noise, axis=-1)) ** 2, axis=(0, 1))[1:-1]
    # A mean over 256 traces scatters by 6 %.
    assert np.all(np.abs(spectrum / spectrum.mean() - 1) < 0.3)
    near, far = noise[:, :8].std(), noise[:, -8:].std()
    assert near / far == pytest.approx(1, abs=0.03)


def test_dead_traces_stay_silent_and_do_not_count(gathers):
    dead = draw_dead_traces((8, 32), 0.25, random_stream(0, 1, DEAD_TRACES))
    noisy = add_noise(gathers, 10.0, random_stream(0, 1, NOISE), dead)
    assert not noisy[dead].any()
    noise = noisy[~dead] - gathers[~dead]
    assert decibel(gathers[~dead], noise) == pytest.approx(10, abs=0.1)


def test_noise_leaves_its_input_and_silence_alone(gathers):
    before = gathers.copy()
    noisy = add_noise(gathers, 10.0, random_stream(0, 1, NOISE))
    assert noisy.dtype == np.float32
    assert np.array_equal(before, gathers)
    assert not add_noise(np.zeros_like(gathers), 10.0, random_stream(0, 1, NOISE)).any()


def test_noise_needs_a_finite_ratio(gathers):
    with pytest.raises(InputError, match="signal-to-noise ratio = nan dB"):
        add_noise(gathers, float("nan"), random_stream(0, 0, NOISE))
