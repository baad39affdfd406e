"""Folding, and angular unconformities: beds bent, tilted and eroded after deposition."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import Table, Waves, draw_between
from seistomo.velocity.extent import Extent
from seistomo.velocity.layers import LayerStack

# Steepest limb as a tangent; steeper ones would need overturned beds.
STEEPEST = 0.9


@dataclass(frozen=True)
class Folding:
    """Sinusoidal and Gaussian folds with one inclined axial direction.

    A bed now at (x, depth) was deposited at ``depth + growth(depth) * f(x + lean * depth)``:
    upfolds bring older, deeper beds up. Growth rises from ``surface`` at the sea floor to 1.
    """

    displacement: Table
    lean: float
    surface: float
    scale: float
    folds: tuple[dict, ...]

    def restore(self, x: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Depth at deposition, m, of points at ``x`` and ``depth`` below the sea floor, m."""
        lift = self.displacement(x + self.lean * depth)
        growth = 1 - (1 - self.surface) * np.exp(np.maximum(depth, 0.0) / -self.scale)
        return depth + growth * lift

    @classmethod
    def draw(
        cls, rng: np.random.Generator, config: VelocityConfig, extent: Extent, gentle: bool = False
    ) -> "Folding":
        """Draw folds; ``gentle`` ones, of 0.4 times the height, lie behind other structures."""
        count = int(rng.integers(config.folds[0], config.folds[1], endpoint=True))
        folds = [_draw_fold(rng, config, extent) for _ in range(count)]
        peak = draw_between(rng, config.fold_amplitude) * (0.4 if gentle else 1.0)
        axis = extent.axis()
        lift = np.zeros(axis.shape)
        for fold in folds:
            lift += _shape(fold, axis)
        lean = float(rng.uniform(-0.35, 0.35))
        # Inclined folds look up beds from beside the model.
        inside = extent.holds(axis, abs(lean) * extent.depth)
        # Neither up nor down on the whole.
        lift -= (lift[inside].max() + lift[inside].min()) / 2
        height = max(np.abs(lift[inside]).max(), 1e-9)
        slope = max(np.abs(np.gradient(lift, axis)).max(), 1e-9)
        factor = min(peak / height, STEEPEST / slope)
        for fold in folds:
            fold["amplitude_m"] *= factor
        return cls(
            displacement=Table.on(axis, lift * factor),
            lean=lean,
            surface=float(rng.uniform(0.2, 1.0)),
            scale=max(0.3 * extent.depth, 1.5 * peak),
            folds=tuple(folds),
        )

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "folds": [dict(fold) for fold in self.folds],
            "axial_lean": self.lean,
            "growth_at_sea_floor": self.surface,
            "growth_depth_m": self.scale,
        }


def _draw_fold(rng: np.random.Generator, config: VelocityConfig, extent: Extent) -> dict:
    low, high = config.fold_wavelength
    return {
        "kind": "sinusoid" if rng.random() < 0.5 else "gaussian",
        "amplitude_m": float(rng.uniform(0.4, 1.0) * rng.choice([-1.0, 1.0])),
        "wavelength_m": float(low * (high / low) ** rng.random()),
        "x_m": float(rng.uniform(0, 1) * extent.width),
    }


def _shape(fold: dict, x: np.ndarray) -> np.ndarray:
    distance = (x - fold["x_m"]) / fold["wavelength_m"]
    if fold["kind"] == "sinusoid":
        return fold["amplitude_m"] * np.cos(2 * np.pi * distance)
    return fold["amplitude_m"] * np.exp(-0.5 * (6 * distance) ** 2)


@dataclass(frozen=True)
class Unconformity:
    """Older beds tilted, bent and eroded at the top of ``layer`` before the rest was laid down.

    A point below the surface was deposited ``eroded(x)`` deeper than the younger beds tell.
    """

    layer: int
    eroded: Table
    dip: float

    def strata(
        self, layers: LayerStack, x: np.ndarray, depth: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Layer and depth at deposition [depth, x] of points at restored ``x`` and ``depth``."""
        old = depth >= layers.horizons[self.layer](x)
        depth = depth + np.where(old, self.eroded(x), 0.0)
        return layers.index(x, depth), depth

    @classmethod
    def draw(
        cls, rng: np.random.Generator, layers: LayerStack, extent: Extent, depth: float
    ) -> "Unconformity":
        """Draw an unconformity in the upper to middle part of ``depth`` m of sediments."""
        target = rng.uniform(0.2, 0.55) * depth
        layer = int(np.clip(np.searchsorted(layers.tops, target), 1, len(layers.tops) - 1))
        dip = float(rng.uniform(4.0, 14.0) * rng.choice([-1.0, 1.0]))
        waves = Waves.draw(rng, 0.06 * extent.depth, (0.5 * extent.width, 1.5 * extent.width), 3)
        axis = extent.axis()
        eroded = np.tan(np.radians(dip)) * (axis - extent.width / 2) + waves(axis)
        eroded = np.maximum(eroded - eroded[extent.holds(axis)].min(), 0.0)
        return cls(layer, Table.on(axis, eroded), dip)

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {"on_layer": self.layer, "dip_of_older_beds_degrees": self.dip}
