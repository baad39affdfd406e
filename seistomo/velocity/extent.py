"""The part of the earth that a model shows: from points of a fine grid to its cells."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

# Points a cell and direction from which a cell's mean is taken.
FINENESS = 3
# Pieces of salt or of layers, and holes in salt, of fewer cells are dropped: no grid can carry
# them.
LEAST_CELLS = 6

_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.int8)
_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


@dataclass(frozen=True)
class Extent:
    """Size of a model, m: each node stands for a cell of one spacing around it."""

    depth: float
    width: float
    top: float
    left: float
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, int], spacing: float) -> "Extent":
        """Extent of a grid of ``shape`` nodes [depth, x]."""
        return cls(shape[0] * spacing, shape[1] * spacing, -spacing / 2, -spacing / 2, shape[1])

    def axis(self) -> np.ndarray:
        """Return x from half a width before the model to half a width beyond it, m.

        Two nodes for each point of the fine grid; faults bring points in from outside.
        """
        nodes = 4 * FINENESS * max(self.columns, 64)
        return np.linspace(self.left - self.width / 2, self.left + 1.5 * self.width, nodes)

    def holds(self, x: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Whether positions ``x`` lie within the model or up to ``margin`` m beside it."""
        start = self.left - margin
        return (x >= start) & (x <= start + self.width + 2 * margin)

    def points(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ``x`` [1, columns] and ``z`` [rows, 1], evenly spread over the extent, m."""
        x = self.left + (np.arange(columns) + 0.5) * (self.width / columns)
        z = self.top + (np.arange(rows) + 0.5) * (self.depth / rows)
        # Single precision: a hundredth of a metre at 100 km, and twice as fast.
        return x[None, :].astype(np.float32), z[:, None].astype(np.float32)


def mean_speed(slowness: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
    """Average ``slowness`` (s/m) over the points of each cell, so that travel times are kept.

    From the points of the fine grid [rows, columns] to the cells' speed [depth, x], m/s; only
    ``counted`` points count, but in a cell without any, all.
    """
    points = FINENESS**2
    if counted is None:
        return points / _sums(slowness)
    count = _sums(counted)
    some = np.where(count > 0, count, points) / np.where(
        count > 0, _sums(slowness * counted), _sums(slowness)
    )
    return some.astype(slowness.dtype)


def salt_cells(inside: np.ndarray) -> np.ndarray:
    """Decide which cells [depth, x] are salt from the points [rows, columns] that are.

    A cell is salt when half of it is; spurs and notches one cell wide are smoothed away,
    as are pieces and holes of fewer than `LEAST_CELLS` cells.
    """
    mask = 2 * _sums(inside) >= FINENESS**2
    around = ndimage.convolve(mask.astype(np.int8), _CROSS, mode="nearest")
    mask = np.where(mask, around > 1, around > 2)
    for wanted in (True, False):
        labels, count = ndimage.label(mask == wanted)
        if count > 1:
            small = np.bincount(labels.ravel()) < LEAST_CELLS
            small[0] = False
            mask = np.where(small[labels], not wanted, mask)
    return mask


def without_small_pieces(layer: np.ndarray) -> np.ndarray:
    """Give cells of pieces of fewer than `LEAST_CELLS` cells the layer of the nearest other cell.

    ``layer`` [depth, x] holds whole numbers; a piece hangs together by the sides of its cells.
    The tips of wedges between faults and horizons leave such pieces.
    """
    small = _small_pieces(layer)
    while small.any() and not small.all():
        near = ndimage.distance_transform_edt(small, return_distances=False, return_indices=True)
        filled = layer[tuple(near)]
        if np.array_equal(filled, layer):
            break
        layer = filled
        small = _small_pieces(layer)
    return layer


def _small_pieces(layer: np.ndarray) -> np.ndarray:
    """Tell which cells [depth, x] are in pieces of fewer than `LEAST_CELLS` cells."""
    small = np.zeros(layer.shape, dtype=bool)
    for value in np.unique(layer):
        labels, _ = ndimage.label(layer == value)
        small |= (labels > 0) & (np.bincount(labels.ravel()) < LEAST_CELLS)[labels]
    return small


def without_specks(speed: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Bring cells that stand out from all eight neighbours back into their range.

    The tips of wedges between faults, contacts and salt leave such cells. ``hidden`` cells
    [depth, x] (salt) are not looked at.
    """
    rows, columns = speed.shape
    low = np.pad(np.where(hidden, np.inf, speed), 1, constant_values=np.inf)
    high = np.pad(np.where(hidden, -np.inf, speed), 1, constant_values=-np.inf)
    least, most = np.full(speed.shape, np.inf), np.full(speed.shape, -np.inf)
    for i, j in _NEIGHBOURS:
        window = np.s_[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
        np.minimum(least, low[window], out=least)
        np.maximum(most, high[window], out=most)
    alone = least > most
    return np.where(alone, speed, np.clip(speed, least, most))


def _sums(values: np.ndarray) -> np.ndarray:
    """Sum the points of each cell: [rows, columns] -> [depth, x]."""
    rows, columns = (n // FINENESS for n in values.shape)
    sums = values.reshape(rows, FINENESS, columns * FINENESS).sum(axis=1)
    return sums.reshape(rows, columns, FINENESS).sum(axis=2)
