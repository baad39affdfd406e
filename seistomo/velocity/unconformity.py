"""An angular unconformity: older beds, tilted, folded and eroded before the rest was laid down."""

from dataclasses import dataclass

import numpy as np

from seistomo.velocity.curves import Table, Waves
from seistomo.velocity.extent import Extent
from seistomo.velocity.layers import LayerStack


@dataclass(frozen=True)
class Unconformity:
    """Erosion surface on top of layer ``layer``, and how much was eroded there.

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
