import numpy as np
import pytest

from seistomo.errors import InputError
from seistomo.simulation import add_noise, draw_dead_traces
from seistomo.simulation.noise import DEAD_TRACES, NOISE, random_stream


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


def test_streams_repeat_and_differ_by_seed_sample_and_purpose():
    draws = {
        key: tuple(random_stream(*key).standard_normal(4))
        for key in [(0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 1)]
    }
    assert len(set(draws.values())) == len(draws)
    assert draws[0, 1, 1] == tuple(random_stream(0, 1, 1).standard_normal(4))


def test_noise_needs_a_finite_ratio(gathers):
    with pytest.raises(InputError, match="signal-to-noise ratio = nan dB"):
        add_noise(gathers, float("nan"), random_stream(0, 0, NOISE))
