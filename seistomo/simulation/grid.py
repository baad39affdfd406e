"""The modelling grid: its spacing, its margins around the model and its time step."""

import math
from dataclasses import dataclass

import numpy as np

from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.simulation.survey import Survey

# Cells between the outermost sources and receivers and the absorbing edges: half the window
# that interpolates between nodes, and enough to keep the edges' reflections out of the records.
MARGIN = 4

# Inner steps stay below this Courant number, c dt √(1/dx² + 1/dz²). The scheme is stable up to
# 0.866 (fourth order) and 0.784 (eighth). Its time dispersion speeds waves up, the fourth-order
# space dispersion slows them down: this large a step is cheaper than 0.6 and more accurate.
COURANT = 0.7


@dataclass(frozen=True)
class ModellingGrid:
    """The nodes on which the wave equation is solved, without the absorbing edges.

    Attributes
    ----------
    spacing
        Distance between nodes, m.
    shape
        Numbers of nodes [row, column].
    origin
        Row and column of the model's upper left node.
    model_spacing
        Distance between the nodes of the model, m.
    inner_steps
        Time steps from one sample of the record to the next.
    """

    spacing: float
    shape: tuple[int, int]
    origin: tuple[int, int]
    model_spacing: float
    inner_steps: int

    @classmethod
    def of(cls, config: Config) -> "ModellingGrid":
        """Return the grid for a configuration.

        Raises
        ------
        InputError
            If ``simulation.grid_spacing`` is coarser than the models.
        """
        velocity, survey = config.velocity, Survey.draw(config, 0, 0)
        spacing = config.simulation.grid_spacing or velocity.spacing
        if spacing > velocity.spacing:
            raise InputError(
                f"simulation.grid_spacing = {spacing:g}: must be at most velocity.spacing"
                f" = {velocity.spacing:g} m"
            )
        rows, top = _axis(
            velocity.depth_extent, spacing, survey.source_depth, survey.receiver_depth
        )
        columns, left = _axis(velocity.x_extent, spacing, survey.source_x, survey.receiver_x)
        limit = COURANT * spacing / (math.sqrt(2) * velocity.maximum)
        inner_steps = max(1, math.ceil(config.survey.time_step / limit - 1e-9))
        return cls(spacing, (rows, columns), (top, left), velocity.spacing, inner_steps)

    def to_cells(self, depth: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the grid coordinates (row, column) of points, as fractions of a cell.

        Parameters
        ----------
        depth, x
            [point], m from the model's upper left node.
        """
        return depth / self.spacing + self.origin[0], x / self.spacing + self.origin[1]

    def carry(self, velocity: np.ndarray) -> np.ndarray:
        """Bring models onto this grid and continue their edge values into the margins.

        On a finer grid the slowness is interpolated linearly, not the velocity: that keeps the
        travel time between any two neighbouring nodes of the model what the model's own grid
        gives it, and so the arrival times.

        Parameters
        ----------
        velocity
            float32 [model, depth, x], m/s.

        Returns
        -------
        numpy.ndarray
            float32 [model, row, column], m/s; on the models' own spacing the same values.
        """
        (row, below), (column, beside) = (
            self._weights(axis, velocity.shape[axis + 1]) for axis in (0, 1)
        )
        if not below.any() and not beside.any():
            return velocity[:, row[:, None], column]
        slowness = 1 / velocity.astype(np.float64)
        down = slowness[:, row] * (1 - below[:, None])
        down += slowness[:, np.minimum(row + 1, velocity.shape[1] - 1)] * below[:, None]
        across = down[:, :, column] * (1 - beside)
        across += down[:, :, np.minimum(column + 1, velocity.shape[2] - 1)] * beside
        return (1 / across).astype(np.float32)

    def _weights(self, axis: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for each grid node the model node before it and the fraction after that."""
        place = (np.arange(self.shape[axis]) - self.origin[axis]) * self.spacing
        place = np.clip(place / self.model_spacing, 0, nodes - 1)
        before = np.floor(place + 1e-9).astype(np.int64)
        return before, np.maximum(place - before, 0.0).round(9)


def _axis(extent: float, spacing: float, *positions: np.ndarray) -> tuple[int, int]:
    """Return the number of nodes that holds an axis of the model, and the first one's place."""
    points = np.concatenate(positions) / spacing
    last = math.ceil(extent / spacing - 1e-9)
    before = max(0, math.ceil(MARGIN - points.min() - 1e-9))
    after = max(0, math.ceil(points.max() + MARGIN - last - 1e-9))
    return before + last + 1 + after, before
