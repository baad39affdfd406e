"""What the gathers of a data set are like as a whole: enough to tell others from them."""

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader

MOST_SAMPLES = 16
"""Samples looked at, spread evenly."""


def gather_statistics(data: DatasetReader, indices: NDArray[np.int64]) -> dict[str, float]:
    """Return what a few samples' gathers are like.

    ``level``: root mean square of live traces; ``frequency``: mean over their power spectrum, Hz;
    ``dead``: share of traces that are zero throughout.
    """
    places = np.linspace(0, len(indices) - 1, min(MOST_SAMPLES, len(indices))).round().astype(int)
    live = traces = 0
    power = 0.0
    for index in indices[places]:
        gathers = data.read_gathers([index])[0]
        with np.errstate(invalid="ignore", over="ignore"):
            spectrum = np.square(np.abs(np.fft.rfft(gathers, axis=-1))).sum(axis=(0, 1))
        # Each frequency but the first stands for its negative, too.
        power = power + spectrum * np.where(np.arange(len(spectrum)) > 0, 2.0, 1.0)
        live += int(np.count_nonzero(gathers.any(axis=-1)))
        traces += gathers.shape[0] * gathers.shape[1]
    frequency = np.fft.rfftfreq(len(data.time), data.config.survey.time_step)
    total = float(np.sum(power))
    return {
        "level": float(np.sqrt(total / max(live, 1))) / len(data.time),
        "frequency": float(np.sum(power * frequency)) / (total or 1.0),
        "dead": 1 - live / traces,
    }
