"""The earth of one sample: a continuous medium that any grid can be laid on."""

from dataclasses import dataclass

import numpy as np

from seistomo.velocity.extent import FINENESS, Extent, mean_speed, salt_cells, without_specks
from seistomo.velocity.faults import Fault
from seistomo.velocity.folds import Folding, Unconformity
from seistomo.velocity.layers import LayerStack, SeaFloor
from seistomo.velocity.salt import Salt

# Relief of the sea floor is felt by the beds down to about this depth, m.
DRAPE = 250.0


@dataclass(frozen=True)
class Earth:
    """Sea, layers and what happened to them, in the order of events.

    Layers are deposited; older ones may be tilted and eroded below an unconformity; then all
    are folded, faulted (oldest fault first) and at last pierced by salt. To find what lies at
    a point, these are undone in reverse.
    """

    sea_floor: SeaFloor
    layers: LayerStack
    unconformity: Unconformity | None
    folding: Folding | None
    faults: tuple[Fault, ...]
    level: float
    salt: Salt | None
    bounds: tuple[float, float]

    def restore(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points were at deposition.

        Parameters
        ----------
        x, z
            Positions [1, x] and depths [depth, 1], m; depths must increase.

        Returns
        -------
        Position and depth below the sea floor at deposition [depth, x], m.
        """
        floor = self.sea_floor(x)
        burial = z - floor
        relief = floor - self.sea_floor.depth
        drape = max(DRAPE, 2 * self.sea_floor.height)
        depth = burial + relief * -np.expm1(np.maximum(burial, 0.0) / -drape)
        if self.salt is not None:
            depth = self.salt.restore(x, z, depth, burial)
        for fault in reversed(self.faults):
            x, depth = fault.restore(x, depth)
        depth = depth + self.level
        if self.folding is not None:
            depth = self.folding.restore(x, depth)
        return x, depth

    def layer_index(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Layer [depth, x] at positions [1, x] and increasing depths [depth, 1] (m), salt apart."""
        return self._strata(x, z)[0]

    def sediment_speed(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Speed [depth, x] as if there were neither water nor salt, m/s."""
        return self.layers.speed(*self._strata(x, z))

    def _strata(self, x: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, depth = self.restore(x, z)
        if self.unconformity is not None:
            return self.unconformity.strata(self.layers, x, depth)
        return self.layers.index(x, depth), depth

    def sample(self, shape: tuple[int, int], spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Lay a grid on the earth.

        A cell's speed is the mean of its slowness, so that travel times are kept and contacts
        do not jump from cell to cell; salt is all or nothing, at half a cell.

        Parameters
        ----------
        shape, spacing
            Number of nodes [depth, x] and their distance, m.

        Returns
        -------
        Speed float32 [depth, x] in m/s and salt mask bool [depth, x].
        """
        extent = Extent.of(shape, spacing)
        x, z = extent.points(shape[0] * FINENESS, shape[1] * FINENESS)
        burial = z - self.sea_floor(x)
        slowness = 1 / self.sediment_speed(x, z)
        if self.sea_floor.depth > 0:
            slowness[burial < 0] = 1 / self.sea_floor.water_velocity
        if self.salt is None:
            mask = np.zeros(shape, dtype=bool)
            speed = without_specks(mean_speed(slowness), mask)
        else:
            inside = self.salt.inside(x, z, burial)
            mask = salt_cells(inside)
            speed = without_specks(mean_speed(slowness, ~inside), mask)
            speed[mask] = self.salt.velocity
        return np.clip(speed, *self.bounds).astype(np.float32), mask
