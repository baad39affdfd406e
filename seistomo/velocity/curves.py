"""Smooth random curves in one dimension, and tables for evaluating them on many points."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Waves:
    """A sum of sinusoids, ``Σ aᵢ sin(2π x / λᵢ + φᵢ)``, never beyond ``Σ |aᵢ|``."""

    amplitude: np.ndarray
    wavelength: np.ndarray
    phase: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Evaluate at ``x`` (m, any shape)."""
        total = np.zeros_like(x)
        # Python's floats keep the type of x, where numpy's would widen it.
        parts = (self.amplitude.tolist(), self.wavelength.tolist(), self.phase.tolist())
        for amplitude, wavelength, phase in zip(*parts, strict=True):
            total += amplitude * np.sin((2 * np.pi / wavelength) * x + phase)
        return total

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        peak: float,
        wavelengths: tuple[float, float],
        count: int = 4,
        smoothness: float = 1.0,
    ) -> "Waves":
        """Draw a curve that is never beyond ``peak``, in the unit of the curve.

        Its ``count`` wavelengths between the two (m) are drawn log-uniformly, one from each of as
        many equal parts, so that every scale is there. Amplitudes grow as wavelength to the power
        ``smoothness`` (1: self-similar roughness).
        """
        parts = (np.arange(count) + rng.random(count)) / count
        wavelength = wavelengths[0] * (wavelengths[1] / wavelengths[0]) ** parts
        weight = wavelength**smoothness * rng.uniform(0.5, 1.0, count)
        return cls(peak * weight / weight.sum(), wavelength, rng.uniform(0, 2 * np.pi, count))

    def times(self, factor: float) -> "Waves":
        """Return the curve with all amplitudes multiplied by ``factor``."""
        return Waves(self.amplitude * factor, self.wavelength, self.phase)


@dataclass(frozen=True)
class Table:
    """Values on a fine regular axis, looked up at the nearest node (constant beyond the ends)."""

    start: float
    step: float
    values: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Look up at ``x`` (any shape)."""
        return self.values.take(self.index(x))

    def index(self, x: np.ndarray) -> np.ndarray:
        """Return the node nearest to each ``x``."""
        nearest = np.rint((x - self.start) * (1 / self.step))
        return np.clip(nearest, 0, len(self.values) - 1).astype(np.int32)

    @classmethod
    def on(cls, axis: np.ndarray, values: np.ndarray) -> "Table":
        """Tabulate ``values`` given on a regular ``axis``."""
        return cls(float(axis[0]), float(axis[1] - axis[0]), values)


def smooth_step(t: np.ndarray) -> np.ndarray:
    """Rise from 0 (at t ≤ 0) to 1 (at t ≥ 1) with zero slope at both ends: 3t² − 2t³."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def draw_between(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw uniformly from a range [low, high]."""
    return float(rng.uniform(ends[0], ends[1]))
