"""Mute: amplitudes along the surface set to zero, before anything is scaled.

The wave that runs straight from source to receiver is the strongest of a gather and knows the
surface alone. It is there from offset / speed + the wavelet's start to offset / speed + the
wavelet's end; ``direct`` silences that window, ``top`` all that comes before its end too (with it
the refractions, which overtake the direct wave far from the source). Edges are cosine tapers.
"""

from dataclasses import dataclass

import numpy as np

from seistomo.config.survey import offsets
from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.training.positions import Positions

# The wavelet lasts while it is above this share of its peak.
QUIET = 0.01
# Length of a taper, as a share of the wavelet's.
TAPER = 0.25


@dataclass(frozen=True)
class Mute:
    """Which times of a trace are silenced."""

    kind: str  # direct or top
    speed: float  # of the direct wave, m/s
    start: float  # of the wavelet after the shot, s
    end: float
    time_step: float  # of the records, s
    time_samples: int
    positions: dict[str, list[float]]  # of sources and receivers before jitter, m, by name

    def weights(self, positions: Positions | None = None) -> np.ndarray:
        """Return the factors on a sample's gathers, 0 to 1, float32 [source, receiver, time].

        ``positions`` are the sample's own, by the same names; left out: those before jitter.
        """
        arrival = (offsets(positions or self.positions) / self.speed)[:, :, None]
        time = np.arange(self.time_samples) * self.time_step
        taper = max(TAPER * (self.end - self.start), self.time_step)
        kept = _ramp((time - arrival - self.end) / taper)
        if self.kind == "direct":
            kept = np.maximum(kept, _ramp((arrival + self.start - time) / taper))
        return kept.astype(np.float32)


def mute_of(data: DatasetReader, config: TrainingConfig) -> Mute | None:
    """Return the mute that the section ``[training]`` asks for, or None."""
    if config.mute == "none":
        return None
    if not data.wavelet.any():
        raise InputError(
            f"training.mute = {config.mute!r}: {data.path} holds no wavelet, which says how long"
            ' the direct wave lasts; use "none"'
        )
    loud = np.flatnonzero(np.abs(data.wavelet) >= QUIET * np.abs(data.wavelet).max())
    width = float(data.config.velocity.x_extent)
    positions = data.config.survey.positions(width)
    mute = Mute(
        kind=config.mute,
        speed=config.mute_speed,
        start=float(data.time[loud[0]]),
        end=float(data.time[loud[-1]]),
        time_step=float(data.time[1] - data.time[0]),
        time_samples=len(data.time),
        positions={key: [float(x) for x in values] for key, values in positions.items()},
    )
    if not mute.weights().any():
        raise InputError(
            f"training.mute_speed = {config.mute_speed:g}: training.mute = {config.mute!r} leaves"
            f" nothing of the gathers, which end at {data.time[-1]:g} s; use a higher speed"
        )
    return mute


def _ramp(x: np.ndarray) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1 along a cosine."""
    return (1 - np.cos(np.pi * np.clip(x, 0, 1))) / 2
