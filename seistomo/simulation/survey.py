"""The survey of one sample: positions, traces that record nothing, and noise."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import Config
from seistomo.errors import InputError

# The purposes that random numbers are drawn for; each has a stream of its own.
DEAD_TRACES, NOISE, SOURCE_JITTER, RECEIVER_JITTER = 1, 2, 3, 4


@dataclass(frozen=True, eq=False)
class Survey:
    """Acquisition geometry of one sample, in metres from the model's upper left node.

    Attributes
    ----------
    source_x, source_depth
        float64 [source], m.
    receiver_x, receiver_depth
        float64 [receiver], m.
    dead_trace
        bool [source, receiver], true where nothing is recorded.
    """

    source_x: np.ndarray
    source_depth: np.ndarray
    receiver_x: np.ndarray
    receiver_depth: np.ndarray
    dead_trace: np.ndarray

    @classmethod
    def draw(cls, config: Config, seed: int, index: int) -> "Survey":
        """Return the survey of sample ``index``; it depends on (config, seed, index) alone.

        The jitter of sources and receivers and the dead traces are drawn; without jitter, the
        positions are the same for all samples.
        """
        survey, width = config.survey, config.velocity.x_extent
        places = survey.positions(width)
        for name, jitter, purpose in (
            ("source_x", survey.source_jitter, SOURCE_JITTER),
            ("receiver_x", survey.receiver_jitter, RECEIVER_JITTER),
        ):
            if jitter:
                rng, x = random_stream(seed, index, purpose), places[name]
                # Uniform over what of x ± jitter lies in the model.
                places[name] = rng.uniform(np.maximum(x - jitter, 0), np.minimum(x + jitter, width))
        return cls(
            **places,
            dead_trace=draw_dead_traces(
                (survey.sources, survey.receivers),
                survey.dead_traces,
                random_stream(seed, index, DEAD_TRACES),
            ),
        )


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
