"""The survey on the grid: which nodes are driven and recorded, with which weights.

A band-limited field is sampled (and a point source spread) between nodes by a sinc under a Kaiser
window of eight nodes along each axis, after Hicks (2002), Geophysics 67(1), 156-165,
https://doi.org/10.1190/1.1451454. At absorbing edges the grid continues for `grid.MARGIN` cells
beyond every point, so that no window leaves it. Above a free surface the field is the negative
mirror image of the field below: there, as Hicks has it, the window folds back with that sign.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from seistomo.config import Config
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.survey import Survey

# Half the window in nodes, and Hicks's Kaiser parameter for it (waves of three cells and longer);
# both as deepwave has them, so that its own interpolation gives the same samples.
HALF_WIDTH = 4
KAISER_BETA = 4.14

# Points nearer to a node than this part of a cell are on it.
ON_NODE = 1e-5

# More columns than any grid has.
KEY = 2**31


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One sample's survey on the grid."""

    source_nodes: np.ndarray  # int64 [source, tap, 2], row and column
    source_weights: np.ndarray  # float64 [source, tap]
    source_centres: np.ndarray  # int64 [source, 2], the node nearest to each source
    matrix: csr_array  # float32 [receiver, recorded node]: from nodes' records to receivers'
    _tables: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the matrix for `interpolate_on_device`, uploaded once."""
        if device not in self._tables:
            node, weight = tap_tables(self.matrix)
            self._tables[device] = (
                torch.from_numpy(node).to(device),
                torch.from_numpy(weight).to(device),
            )
        return self._tables[device]


class AcquisitionPlan:
    """The surveys of all samples on the grid; one set of recorded nodes serves them all.

    Where positions are the same for all samples, exactly the nodes that the receivers need are
    recorded; with jitter, all nodes of the rows that the receivers lie in or between. These
    ``recorded_nodes`` are [node, 2], sorted by row and column; ``taps`` nodes stand for a source.
    """

    def __init__(self, config: Config, grid: ModellingGrid):
        self._config, self._grid = config, grid
        survey = config.survey
        self._source_jitter = survey.source_jitter > 0
        first = Survey.draw(config, config.dataset.seed, 0)
        rows, columns = grid.to_cells(first.receiver_depth, first.receiver_x)
        if survey.receiver_jitter:
            ends = np.array(survey.reach(config.velocity.x_extent))
            self.recorded_nodes = row_nodes(rows, grid.to_cells(np.zeros(2), ends)[1], grid.surface)
        else:
            self.recorded_nodes, _ = interpolation_matrix(rows, columns, grid.surface)
        placed = self._place(first)
        self.taps = placed.source_weights.shape[1]
        self._shared = None if survey.jittered else placed

    def of(self, index: int) -> Acquisition:
        """Return the acquisition of sample ``index``."""
        if self._shared is not None:
            return self._shared
        return self._place(Survey.draw(self._config, self._config.dataset.seed, index))

    def _place(self, survey: Survey) -> Acquisition:
        return place(survey, self._grid, self.recorded_nodes, self._source_jitter)[1]


def place(
    survey: Survey,
    grid: ModellingGrid,
    recorded_nodes: np.ndarray | None = None,
    windowed: bool = False,
) -> tuple[np.ndarray, Acquisition]:
    """Return the recorded nodes, those that the receivers need if left out, and the acquisition.

    ``windowed``: sources on nodes too are spread over as many taps as those between nodes.
    """
    sources = grid.to_cells(survey.source_depth, survey.source_x)
    receivers = grid.to_cells(survey.receiver_depth, survey.receiver_x)
    nodes, weights = point_stencil(*sources, grid.surface, windowed)
    recorded, matrix = interpolation_matrix(*receivers, grid.surface, recorded_nodes)
    centres = np.rint(np.stack(sources, axis=-1)).astype(np.int64)
    return recorded, Acquisition(nodes, weights, centres, matrix)


def axis_stencil(
    cells: np.ndarray, surface: int | None = None, windowed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights, [point, tap], that stand for points along one axis.

    ``cells`` [point] are counted from node 0. There is one tap where all points are on nodes and
    it is not to be ``windowed``, else eight; a point on a node has weight one at it and zero
    elsewhere. ``surface`` is the node of a free surface, a cell or more before every point.
    """
    nearest = np.rint(cells).astype(np.int64)
    on_node = np.abs(cells - nearest) < ON_NODE
    if on_node.all() and not windowed:
        return nearest[:, None], np.ones((len(cells), 1))
    first = np.where(on_node, nearest, np.floor(cells).astype(np.int64)) - HALF_WIDTH + 1
    if surface is not None:
        first = np.maximum(first, surface + 1)
    nodes = first[:, None] + np.arange(2 * HALF_WIDTH)
    weights = windowed_sinc(nodes - cells[:, None])
    if surface is not None:
        weights = weights - windowed_sinc(2 * surface - nodes - cells[:, None])
    exact = (nodes == nearest[:, None]).astype(np.float64)
    return nodes, np.where(on_node[:, None], exact, weights)


def windowed_sinc(
    distance: np.ndarray, half_width: int = HALF_WIDTH, beta: float = KAISER_BETA
) -> np.ndarray:
    """Return the weights of samples at some distances from a point, in samples.

    ``beta`` is the Kaiser window's parameter.
    """
    window = np.sqrt(np.maximum(1 - (distance / half_width) ** 2, 0))
    weights = np.sinc(distance) * np.i0(beta * window) / np.i0(beta)
    return np.where(np.abs(distance) <= half_width, weights, 0.0)


def point_stencil(
    rows: np.ndarray,
    columns: np.ndarray,
    surface: int | None = None,
    windowed_columns: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes [point, tap, 2] and weights [point, tap] that stand for points in the plane.

    ``rows`` and ``columns`` [point] are in cells; no node comes twice at one point.
    """
    row_nodes, row_weights = axis_stencil(rows, surface)
    column_nodes, column_weights = axis_stencil(columns, windowed=windowed_columns)
    pair = np.broadcast_arrays(row_nodes[:, :, None], column_nodes[:, None, :])
    nodes = np.stack(pair, axis=-1).reshape(len(rows), -1, 2)
    weights = row_weights[:, :, None] * column_weights[:, None, :]
    return nodes, weights.reshape(len(rows), -1)


def interpolation_matrix(
    rows: np.ndarray,
    columns: np.ndarray,
    surface: int | None = None,
    nodes: np.ndarray | None = None,
) -> tuple[np.ndarray, csr_array]:
    """Return the nodes to record, and the matrix that turns their records into the points'.

    ``nodes`` [node, 2], sorted by row and column, are recorded anyway and hold all that the points
    need; left out: exactly those are returned. The matrix is float32 [point, node].
    """
    taps, weights = point_stencil(rows, columns, surface)
    needed = weights != 0
    own, place = np.unique(_keys(taps[needed]), return_inverse=True)
    if nodes is None:
        nodes = np.stack(np.divmod(own, KEY), axis=-1)
    else:
        known = _keys(nodes)
        found = np.minimum(np.searchsorted(known, own), len(known) - 1)
        if not np.array_equal(known[found], own):
            raise ValueError("the points need nodes that are not recorded")
        place = found[place]
    point = np.nonzero(needed)[0]
    values = weights[needed].astype(np.float32)
    return nodes, csr_array((values, (point, place)), shape=(len(rows), len(nodes)))


def _keys(nodes: np.ndarray) -> np.ndarray:
    """Return one number for each node [..., row and column], sorted as these are."""
    return nodes[..., 0] * KEY + nodes[..., 1]


def row_nodes(rows: np.ndarray, columns: tuple[float, float], surface: int | None) -> np.ndarray:
    """Return all nodes [node, 2] that points may need, wherever between two columns they lie."""
    taps, weights = axis_stencil(rows, surface)
    used = np.unique(taps[weights != 0])
    ends, _ = axis_stencil(np.array(columns), windowed=True)
    across = np.arange(ends.min(), ends.max() + 1)
    return np.stack(np.meshgrid(used, across, indexing="ij"), axis=-1).reshape(-1, 2)


def tap_tables(matrix: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns, int64 [point, tap], and weights, float32, of a matrix's rows."""
    taps = np.diff(matrix.indptr)
    used = np.arange(taps.max()) < taps[:, None]
    node, weight = np.zeros(used.shape, np.int64), np.zeros(used.shape, np.float32)
    node[used], weight[used] = matrix.indices, matrix.data
    return node, weight


def interpolate_on_device(tables: tuple[Tensor, Tensor], records: Tensor) -> Tensor:
    """Return ``matrix @ records`` [shot, point, time], rounded as on the CPU whatever the batch.

    ``tables`` are those of `tap_tables`, on the device of ``records`` [shot, node, time].
    """
    node, weight = tables
    points = records.new_zeros(len(records), len(node), records.shape[-1])
    for tap in range(node.shape[1]):
        points += weight[:, tap, None] * records[:, node[:, tap]]
    return points
