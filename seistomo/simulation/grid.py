"""The modelling grid: spacing, margins around the model, time step; and density from speed."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from seistomo.config import Config
from seistomo.errors import InputError

# Cells between the outermost sources and receivers and the absorbing edges: half the window
# that interpolates between nodes, and enough to keep the edges' reflections out of the records.
MARGIN = 4

# Inner steps stay below this Courant number, c dt √(1/dx² + 1/dz²). The scheme is stable up to
# 0.866 (fourth order) and 0.784 (eighth), with a free surface too. Its time dispersion speeds
# waves up, the fourth-order space dispersion slows them down: this large a step is cheaper than
# 0.6 and more accurate.
COURANT = 0.7

# First derivative between the nodes: weights of the pairs of nodes, nearest first, by order.
STAGGERED = {
    2: (1.0,),
    4: (9 / 8, 1 / 24),
    6: (75 / 64, 25 / 384, 3 / 640),
    8: (1225 / 1024, 245 / 3072, 49 / 5120, 5 / 7168),
}

# Gardner, Gardner & Gregory (1974), Geophysics 39(6), 770-780: 0.23 v^0.25 in g/cm³ and ft/s,
# which is 310 v^0.25 in kg/m³ and m/s.
GARDNER_FACTOR, GARDNER_EXPONENT = 310.0, 0.25


@dataclass(frozen=True)
class ModellingGrid:
    """The nodes on which the wave equation is solved, without the absorbing edges."""

    spacing: float  # between nodes, m
    shape: tuple[int, int]  # rows and columns
    origin: tuple[int, int]  # row and column of the model's upper left node
    surface: int | None  # row of the free surface, the model's top; None where the top absorbs
    model_spacing: float  # between the nodes of the model, m
    inner_steps: int  # time steps from one sample of the record to the next

    @classmethod
    def of(cls, config: Config) -> "ModellingGrid":
        """Return the grid for a configuration; refuse points too near to a free surface.

        With a free surface the grid of constant density starts one node below it, as deepwave's
        does, and that of variable density on it.
        """
        velocity, survey = config.velocity, config.survey
        spacing = config.simulation.grid_spacing or velocity.spacing
        if spacing > velocity.spacing:
            raise InputError(
                f"simulation.grid_spacing = {spacing:g}: must be at most velocity.spacing"
                f" = {velocity.spacing:g} m"
            )
        depths = [survey.source_depth, survey.receiver_depth]
        rows, top = _axis(velocity.depth_extent, spacing, depths)
        columns, left = _axis(velocity.x_extent, spacing, survey.reach(velocity.x_extent))
        surface = None
        if config.simulation.free_surface:
            _refuse_shallow(config, spacing)
            surface = 0 if config.simulation.density != "constant" else -1
            rows, top = rows - top + surface, surface
        limit = courant_number(config) * spacing / (math.sqrt(2) * velocity.maximum)
        inner_steps = max(1, math.ceil(survey.time_step / limit - 1e-9))
        return cls(spacing, (rows, columns), (top, left), surface, velocity.spacing, inner_steps)

    def to_cells(self, depth: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return row and column, in fractions of a cell, of points in m from the model's corner."""
        return depth / self.spacing + self.origin[0], x / self.spacing + self.origin[1]

    def carry(self, velocity: np.ndarray) -> np.ndarray:
        """Bring models [model, depth, x], m/s, onto this grid; edge values fill the margins.

        On a finer grid the slowness is interpolated linearly, not the velocity: that keeps the
        travel time between any two neighbouring nodes of the model what the model's own grid
        gives it, and so the arrival times.
        """
        return self._interpolate(velocity, np.reciprocal)

    def carry_density(self, density: np.ndarray) -> np.ndarray:
        """Bring densities [model, depth, x] onto this grid, as `carry` does, linearly."""
        return self._interpolate(density, np.positive)

    def _interpolate(self, values: np.ndarray, scale: Callable) -> np.ndarray:
        """Interpolate ``scale(values)`` linearly onto the grid; ``scale`` is its own inverse."""
        (row, below), (column, beside) = (
            self.weights(axis, values.shape[axis + 1]) for axis in (0, 1)
        )
        if not below.any() and not beside.any():
            return values[:, row[:, None], column]
        scaled = scale(values.astype(np.float64))
        down = scaled[:, row] * (1 - below[:, None])
        down += scaled[:, np.minimum(row + 1, values.shape[1] - 1)] * below[:, None]
        across = down[:, :, column] * (1 - beside)
        across += down[:, :, np.minimum(column + 1, values.shape[2] - 1)] * beside
        return scale(across).astype(np.float32)

    def weights(self, axis: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for each grid node the model node before it and the fraction after that."""
        place = (np.arange(self.shape[axis]) - self.origin[axis]) * self.spacing
        place = np.clip(place / self.model_spacing, 0, nodes - 1)
        before = np.floor(place + 1e-9).astype(np.int64)
        return before, np.maximum(place - before, 0.0).round(9)


def courant_number(config: Config) -> float:
    """Return the largest Courant number that inner time steps may have.

    With variable density it is below `COURANT` where that could be unstable in some model: the
    scheme's operator K^½ ∇· ρ^-½ couples a node of high density to lighter ones, and its norm is at
    most the sum over the derivative's weights of the largest √(K / ρ) they may couple. The density
    between two nodes is their mean, which for the nearest pair holds the node's own.
    """
    if config.simulation.density == "constant":
        return COURANT
    low, high = density_range(config)
    nearest, *others = STAGGERED[config.simulation.accuracy]
    norm = nearest * math.sqrt(2 * high / (high + low)) + sum(others) * math.sqrt(high / low)
    return min(COURANT, 0.999 / norm)


def _axis(extent: float, spacing: float, reach: list[float]) -> tuple[int, int]:
    """Return the number of nodes that holds an axis of the model, and the first one's place."""
    last = math.ceil(extent / spacing - 1e-9)
    before = max(0, math.ceil(MARGIN - min(reach) / spacing - 1e-9))
    after = max(0, math.ceil(max(reach) / spacing + MARGIN - last - 1e-9))
    return before + last + 1 + after, before


def _refuse_shallow(config: Config, spacing: float) -> None:
    for name in ("source", "receiver"):
        depth = getattr(config.survey, f"{name}_depth")
        if depth < spacing * (1 - 1e-9):
            raise InputError(
                f"survey.{name}_depth = {depth:g}: must be at least a cell of the modelling grid,"
                f" {spacing:g} m, below the free surface, where there is no pressure"
            )


def density_of(velocity: np.ndarray, config: Config) -> np.ndarray:
    """Return the density of models, kg/m³, from their ``velocity`` [model, depth, x], m/s.

    It follows Gardner's relation, water and salt apart: what is slower than
    ``simulation.water_speed`` is water of ``simulation.water_density``; what is faster than
    ``evaluation.salt_threshold`` is salt of ``simulation.salt_density``, if that is given.
    """
    settings = config.simulation
    density = GARDNER_FACTOR * velocity.astype(np.float64) ** GARDNER_EXPONENT
    density[velocity < settings.water_speed] = settings.water_density
    if settings.salt_density is not None:
        density[velocity > config.evaluation.salt_threshold] = settings.salt_density
    return density.astype(np.float32)


def density_range(config: Config) -> tuple[float, float]:
    """Return the lowest and highest density that models within the bounds may have, kg/m³."""
    low, high = config.velocity.minimum, config.velocity.maximum
    water, salt = config.simulation.water_speed, config.evaluation.salt_threshold
    # Density rises with speed but for the steps at these two.
    turns = [low, np.nextafter(water, 0), water, salt, np.nextafter(salt, np.inf), high]
    density = density_of(np.clip(turns, low, high)[None, None], config)
    return float(density.min()), float(density.max())
