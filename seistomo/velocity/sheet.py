"""Allochthonous salt: sheets and tongues that spread from a feeder and climb outwards."""

from dataclasses import dataclass

import numpy as np

from seistomo.velocity.curves import Waves, smooth_step


@dataclass(frozen=True)
class Sheet:
    """Salt between a rough top and a smoother, climbing base, with rounded ends.

    It runs from ``root`` to ``tip`` (x, m). The middle lies at ``depth`` at the root and
    ``climb`` m higher at the tip, bent by ``base_waves``. ``top_waves`` roughen the top.
    Beds above are lifted by ``lift`` of the salt's thickness, which dies away upwards over
    ``drag_width`` (m); beds below stay where they were.
    """

    root: float
    tip: float
    depth: float
    climb: float
    thickness: float
    squareness: float
    top_waves: Waves
    base_waves: Waves
    lift: float
    drag_width: float

    def excess(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance from the middle over the half-thickness [depth, x]: below 1 in the salt."""
        middle, half = self._middle(x), self._half(x)
        above = middle - z
        blunt = smooth_step(2.5 * half / self.thickness)
        top = half + blunt * np.maximum(self.top_waves(x), -0.7 * half)
        reach = np.where(above > 0, top, half)
        with np.errstate(divide="ignore"):
            return np.where(reach > 0, np.abs(above) / np.maximum(reach, 1e-9), np.inf)

    def uplift(self, x: np.ndarray, z: np.ndarray, widening: float) -> np.ndarray:
        """How far the beds at [depth, x] have been lifted by the salt under them, m."""
        half = self._half(x) * widening
        # Squared, so that the beds come down gently beyond the rounded ends.
        swell = self.lift * 2 * half * half / max(self.thickness * widening / 2, 1e-9)
        height = self._middle(x) - z
        inside = np.clip((height + half) / np.maximum(2 * half, 1e-9), 0.0, 1.0)
        return swell * inside * np.exp(np.maximum(height - half, 0.0) / -self.drag_width)

    def _along(self, x: np.ndarray) -> np.ndarray:
        return (x - self.root) / (self.tip - self.root)

    def _middle(self, x: np.ndarray) -> np.ndarray:
        return self.depth - self.climb * smooth_step(self._along(x)) + self.base_waves(x)

    def _half(self, x: np.ndarray) -> np.ndarray:
        # The power moves the thickest place towards the root: tongues thin outwards.
        along = np.clip(self._along(x), 0.0, 1.0) ** 0.8
        return self.thickness / 2 * (1 - np.abs(2 * along - 1) ** self.squareness) ** 0.5

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "kind": "sheet",
            "root_x_m": self.root,
            "tip_x_m": self.tip,
            "root_depth_m": self.depth,
            "climb_m": self.climb,
            "thickness_m": self.thickness,
            "lift": self.lift,
            "drag_width_m": self.drag_width,
        }
