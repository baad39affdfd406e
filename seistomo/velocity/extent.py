"""The part of the earth that a model shows, and the fine grid on which it is averaged."""

from dataclasses import dataclass

import numpy as np

# Points a cell and direction from which a cell's mean is taken.
FINENESS = 3


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
