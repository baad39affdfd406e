"""The source wavelet: Ricker's, Ormsby's or the user's own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import gamma

from seistomo.config import SurveyConfig
from seistomo.errors import InputError
from seistomo.files import read_text, reading

# Periods before the peak of a Ricker wavelet: there it is 1e-8 of it. An Ormsby wavelet starts as
# many periods of the middle of its lower ramp before its peak, and no later than the inverse width
# of either ramp: the narrower a ramp, the longer its side lobes.
DELAY_PERIODS = 1.5

# Part of its delay in which an Ormsby wavelet rises from nothing, and falls to nothing again: its
# side lobes end nowhere. The spectrum stays within 6 % of the ideal one's peak.
TAPER = 0.25

# The dispersion of a wave grows by its frequency to the power order + 1, here the usual fourth's.
MOMENT = 2 * (4 + 1)

# A wavelet holds the frequencies whose amplitude reaches this part of its spectrum's peak.
SPECTRUM_FLOOR = 0.01

# Sample times may deviate from an even spacing by this part of it: rounding in text files.
UNEVEN = 0.01

# Samples that are resampled at once, to bound the memory that their weights take.
BLOCK = 4096


def wavelet_delay(survey: SurveyConfig) -> float:
    """Return the time of the wavelet's peak after the start of the record, s."""
    if survey.wavelet == "file":
        own = read_own_wavelet(survey)
        return own.start + int(np.argmax(np.abs(own.samples))) * own.step
    if survey.delay is not None:
        return survey.delay
    if survey.wavelet == "ricker":
        return DELAY_PERIODS / survey.frequency
    first, second, third, fourth = survey.corner_frequencies
    lower = DELAY_PERIODS / ((first + second) / 2)
    return max(lower, 1 / (second - first), 1 / (fourth - third))


def make_wavelet(
    survey: SurveyConfig, time_step: float | None = None, samples: int | None = None
) -> np.ndarray:
    """Return the source wavelet.

    Parameters
    ----------
    survey
        Wavelet, amplitude and sampling.
    time_step, samples
        Sampling other than the survey's: interval in s and number of samples.

    Returns
    -------
    numpy.ndarray
        float64 [time], in the unit of the recorded field.

    Raises
    ------
    InputError
        For a wavelet file that cannot be read or holds frequencies that the record cannot.
    """
    step = survey.time_step if time_step is None else time_step
    time = np.arange(survey.time_samples if samples is None else samples) * step
    if survey.wavelet == "file":
        return survey.amplitude * read_own_wavelet(survey).at(time)
    delay = wavelet_delay(survey)
    if survey.wavelet == "ormsby":
        return survey.amplitude * _ormsby(survey.corner_frequencies, delay, time)
    # After Ricker (1953): (1 - 2a) exp(-a), the second derivative of a Gaussian, turned over.
    a = (np.pi * survey.frequency * (time - delay)) ** 2
    return survey.amplitude * (1 - 2 * a) * np.exp(-a)


def ricker_frequency(survey: SurveyConfig) -> float:
    """Return the peak frequency of the Ricker wavelet that suffers the same dispersion, Hz.

    To leading order the squared error of a fourth-order scheme is the energy spectrum weighted by
    the tenth power of frequency; both wavelets have the same mean of that weight.
    """
    if survey.wavelet == "ricker":
        return survey.frequency
    if survey.wavelet == "file":
        own = read_own_wavelet(survey)
        samples, step, highest = own.samples, own.step, own.highest_frequency
    else:
        highest = survey.highest_frequency
        delay, step = wavelet_delay(survey), 1 / (8 * highest)
        time = np.arange(int(2 * delay / step) + 1) * step
        samples = _ormsby(survey.corner_frequencies, delay, time)
    length = 8 * len(samples)
    energy = np.abs(np.fft.rfft(samples, length)) ** 2
    frequency = np.fft.rfftfreq(length, step)
    energy[frequency > highest] = 0
    weight = (energy * (frequency / highest) ** MOMENT).sum() / energy.sum()
    # The same mean for a Ricker wavelet of 1 Hz, whose energy spectrum is f⁴ exp(-2 f²).
    ricker = 2 ** (-MOMENT / 2) * gamma((MOMENT + 5) / 2) / gamma(5 / 2)
    return float(highest * (weight / ricker) ** (1 / MOMENT))


def _ormsby(corners: tuple[float, float, float, float], delay: float, time: np.ndarray):
    """Return the zero-phase wavelet of a trapezoidal spectrum (Ryan 1994, CSEG Recorder 19(7)).

    It is one at ``delay``, symmetric about it, and zero before 0 and after twice the delay.
    """
    first, second, third, fourth = corners
    t = time - delay

    def ramp(low: float, high: float) -> np.ndarray:
        squares = (f**2 * np.sinc(f * t) ** 2 for f in (low, high))
        below, above = squares
        return (above - below) / (high - low)

    wavelet = (ramp(third, fourth) - ramp(first, second)) / (third + fourth - first - second)
    inside = np.clip((delay - np.abs(t)) / (TAPER * delay), 0, 1)
    return wavelet * np.sin(np.pi / 2 * inside) ** 2


@dataclass(frozen=True, eq=False)
class OwnWavelet:
    """A sampled wavelet, from a file of the user's."""

    start: float  # time of the first sample after the start of the record, s
    step: float  # s
    samples: np.ndarray  # float64 [time]

    @property
    def highest_frequency(self) -> float:
        """Highest frequency whose amplitude reaches 1 % of the spectrum's peak, Hz."""
        length = 8 * len(self.samples)
        amplitude = np.abs(np.fft.rfft(self.samples, length))
        held = np.flatnonzero(amplitude >= SPECTRUM_FLOOR * amplitude.max())
        return float(np.fft.rfftfreq(length, self.step)[held[-1]])

    def at(self, time: np.ndarray) -> np.ndarray:
        """Return the band-limited wavelet through the samples, zero beyond, at ``time`` (s)."""
        place = (time - self.start) / self.step
        nodes = np.arange(len(self.samples))
        blocks = [place[i : i + BLOCK] for i in range(0, len(place), BLOCK)]
        values = [np.sinc(block[:, None] - nodes) @ self.samples for block in blocks]
        inside = (place > -1) & (place < len(self.samples))
        return np.where(inside, np.concatenate(values), 0.0)


def read_own_wavelet(survey: SurveyConfig) -> OwnWavelet:
    """Read ``survey.wavelet_file``; refuse what the record cannot hold."""
    name = f"survey.wavelet_file = {survey.wavelet_file}"
    table = _read_table(Path(survey.wavelet_file), name)
    samples, start, step = table[:, -1], 0.0, survey.time_step
    if table.shape[1] == 2:
        start, step = _even_spacing(table[:, 0], name)
    start += survey.delay or 0.0
    if start < -1e-6 * step:
        raise InputError(
            f"{name}: starts {-start:g} s before the record; use survey.delay of at least"
            f" {(survey.delay or 0.0) - start:g}"
        )
    wavelet = OwnWavelet(start, step, samples)
    highest = wavelet.highest_frequency
    if survey.time_step * 2 * highest > 1 + 1e-9 and step < survey.time_step * (1 - 1e-9):
        raise InputError(
            f"survey.time_step = {survey.time_step:g}: {survey.wavelet_file} holds frequencies up"
            f" to {highest:.4g} Hz, which need at most {1 / (2 * highest):.4g} s"
        )
    return wavelet


def _read_table(path: Path, name: str) -> np.ndarray:
    """Return float64 [time, column] of one or two columns."""
    with reading(name):
        own = path.suffix == ".npy"
        table = np.load(path, allow_pickle=False) if own else _parse(read_text(path, name))
        table = np.asarray(table, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or table.shape[1] not in (1, 2) or len(table) < 3:
        raise InputError(
            f"{name}: holds {' x '.join(map(str, table.shape))} numbers; must be one column of"
            " samples, or two of times in s and samples, three rows or more"
        )
    if not np.isfinite(table).all() or not table[:, -1].any():
        raise InputError(f"{name}: samples must be finite numbers and not all zero")
    return table


def _parse(text: str) -> list[list[float]]:
    """Return the numbers of each line; comments, and a first line of names, are left out."""
    lines = [
        line.partition("#")[0].replace(",", " ").replace(";", " ") for line in text.split("\n")
    ]
    rows = [line.split() for line in lines if line.strip()]
    if rows and not all(_is_number(word) for word in rows[0]):
        rows = rows[1:]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("not every line holds as many numbers")
    return [[float(word) for word in row] for row in rows]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _even_spacing(time: np.ndarray, name: str) -> tuple[float, float]:
    """Return first time and spacing."""
    step = (time[-1] - time[0]) / (len(time) - 1)
    if step <= 0 or np.abs(np.diff(time) - step).max() > UNEVEN * step:
        raise InputError(f"{name}: times must rise in even steps")
    return float(time[0]), float(step)
