"""A wavelet from a file of the user's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seistomo.config import SurveyConfig
from seistomo.errors import InputError

# A wavelet holds the frequencies whose amplitude reaches this part of its spectrum's peak.
SPECTRUM_FLOOR = 0.01

# Sample times may deviate from an even spacing by this part of it: rounding in text files.
UNEVEN = 0.01

# Samples that are resampled at once, to bound the memory that their weights take.
BLOCK = 4096


@dataclass(frozen=True, eq=False)
class OwnWavelet:
    """A sampled wavelet.

    Attributes
    ----------
    start
        Time of the first sample after the start of the record, s.
    step
        Sampling interval, s.
    samples
        float64 [time].
    """

    start: float
    step: float
    samples: np.ndarray

    @property
    def highest_frequency(self) -> float:
        """Highest frequency whose amplitude reaches 1 % of the spectrum's peak, Hz."""
        length = 8 * len(self.samples)
        amplitude = np.abs(np.fft.rfft(self.samples, length))
        held = np.flatnonzero(amplitude >= SPECTRUM_FLOOR * amplitude.max())
        return float(np.fft.rfftfreq(length, self.step)[held[-1]])

    def at(self, time: np.ndarray) -> np.ndarray:
        """Return the band-limited wavelet through the samples, zero beyond them.

        Parameters
        ----------
        time
            float64 [time], s after the start of the record.

        Returns
        -------
        numpy.ndarray
            float64 [time]; the samples themselves at their own times.
        """
        place = (time - self.start) / self.step
        nodes = np.arange(len(self.samples))
        blocks = [place[i : i + BLOCK] for i in range(0, len(place), BLOCK)]
        values = [np.sinc(block[:, None] - nodes) @ self.samples for block in blocks]
        inside = (place > -1) & (place < len(self.samples))
        return np.where(inside, np.concatenate(values), 0.0)


def read_own_wavelet(survey: SurveyConfig) -> OwnWavelet:
    """Read ``survey.wavelet_file``.

    Raises
    ------
    InputError
        If it is not there or not a wavelet, starts before the record or holds frequencies above
        the record's Nyquist frequency.
    """
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
    try:
        if path.suffix == ".npy":
            table = np.load(path, allow_pickle=False)
        else:
            table = _parse(path.read_text(encoding="utf-8"))
        table = np.asarray(table, dtype=np.float64)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: {error}".splitlines()[0]) from None
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
