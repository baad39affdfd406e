"""What spoils recorded traces: noise, and traces that record nothing."""

import numpy as np

from seistomo.errors import InputError

# The purposes that random numbers are drawn for; each has a stream of its own.
DEAD_TRACES, NOISE, SOURCE_JITTER, RECEIVER_JITTER = 1, 2, 3, 4


def random_stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """Return the random generator of sample ``index`` for one purpose.

    The streams of different seeds, samples and purposes are independent of each other.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, purpose)))


def draw_dead_traces(shape: tuple[int, int], share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw which traces record nothing.

    Parameters
    ----------
    shape
        Numbers of sources and receivers.
    share
        Share of the traces that are dead, 0 to below 1; the nearest whole number of traces
        is drawn without replacement.
    rng
        Random generator.

    Returns
    -------
    numpy.ndarray
        bool [source, receiver], true where dead.

    Raises
    ------
    InputError
        For a share outside 0 to 1.
    """
    if not 0 <= share < 1:
        raise InputError(f"dead traces = {share:g}: must be a share from 0 to below 1")
    traces = shape[0] * shape[1]
    dead = np.zeros(traces, dtype=bool)
    dead[rng.choice(traces, size=round(share * traces), replace=False)] = True
    return dead.reshape(shape)


def add_noise(
    gathers: np.ndarray,
    snr_db: float,
    rng: np.random.Generator,
    dead_trace: np.ndarray | None = None,
) -> np.ndarray:
    """Add white Gaussian noise of equal strength to all live traces of one sample.

    The signal-to-noise ratio is 20 log10(RMS of the gathers / RMS of the noise), both over all
    live traces and times of the sample: far traces, which are weak, are the noisier ones, as in
    the field. White means up to the Nyquist frequency of the records.

    Parameters
    ----------
    gathers
        float32 [source, receiver, time], without noise.
    snr_db
        Signal-to-noise ratio, dB.
    rng
        Random generator; one normal number is drawn for every element of ``gathers``.
    dead_trace
        bool [source, receiver]: traces that are set to zero and do not count.

    Returns
    -------
    numpy.ndarray
        float32 [source, receiver, time], a new array.

    Raises
    ------
    InputError
        For a ratio that is not a finite number.
    """
    if not np.isfinite(snr_db):
        raise InputError(f"signal-to-noise ratio = {snr_db:g} dB: must be a finite number")
    live = np.ones(gathers.shape[:2], dtype=bool) if dead_trace is None else ~dead_trace
    # Mean first over time, in double precision: no copy of the gathers in double precision.
    power = np.mean(np.square(gathers), axis=-1, dtype=np.float64)[live]
    rms = np.sqrt(power.mean()) if power.size else 0.0
    noise = rng.standard_normal(gathers.shape, dtype=np.float32)
    noise *= np.float32(rms * 10 ** (-snr_db / 20))
    noise += gathers
    noise[~live] = 0
    return noise
