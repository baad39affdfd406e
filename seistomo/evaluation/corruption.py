"""Worse data on purpose: noise and dead traces added to the gathers that a network sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.simulation.noise import add_noise, draw_dead_traces, random_stream

# Purposes of random numbers, apart from those that the data set was made with.
EVALUATION_DEAD_TRACES, EVALUATION_NOISE = 101, 102


@dataclass(frozen=True)
class Corruption:
    """What is done to the gathers before the network sees them.

    Attributes
    ----------
    noise_snr
        Signal-to-noise ratio of added white noise, dB; None: no noise.
    dead_traces
        Share of traces set to zero, 0 to below 1; None: none.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    noise_snr: float | None = None
    dead_traces: float | None = None

    def __post_init__(self) -> None:
        if self.noise_snr is not None and not np.isfinite(self.noise_snr):
            raise InputError(f"--noise-snr = {self.noise_snr:g}: must be a finite number of dB")
        if self.dead_traces is not None and not 0 <= self.dead_traces < 1:
            raise InputError(f"--dead-traces = {self.dead_traces:g}: must be from 0 to below 1")

    def read_gathers(self, data: DatasetReader, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read gathers [sample, source, receiver, time] of a data set and corrupt them.

        Each sample depends on the (seed, index) that it was drawn with alone, whatever the
        batch. Traces that are dead in the data set stay dead.
        """
        gathers = data.read_gathers(indices)
        if self.noise_snr is None and not self.dead_traces:
            return gathers
        dead_traces = data.read_dead_traces(indices)
        for row, (seed, index) in enumerate(data.seeds(indices)):
            gathers[row] = self._corrupted(gathers[row], dead_traces[row], int(seed), int(index))
        return gathers

    def _corrupted(
        self, gathers: NDArray[np.float32], dead: NDArray[np.bool_], seed: int, index: int
    ) -> NDArray[np.float32]:
        if self.dead_traces:
            stream = random_stream(seed, index, EVALUATION_DEAD_TRACES)
            dead = dead | draw_dead_traces(dead.shape, self.dead_traces, stream)
        if self.noise_snr is not None:
            stream = random_stream(seed, index, EVALUATION_NOISE)
            return add_noise(gathers, self.noise_snr, stream, dead)
        return np.where(dead[:, :, None], np.float32(0), gathers)
