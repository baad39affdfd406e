"""Sources and receivers between the nodes of the grid.

A band-limited field is sampled (and a point source spread) between nodes by a sinc under a Kaiser
window of eight nodes along each axis, after Hicks (2002), Geophysics 67(1), 156-165,
https://doi.org/10.1190/1.1451454. At absorbing edges the grid continues for `grid.MARGIN` cells
beyond every point, so that no window leaves it. Above a free surface the field is the negative
mirror image of the field below: there, as Hicks has it, the window folds back with that sign.
"""

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

# Half the window in nodes, and Hicks's Kaiser parameter for it (waves of three cells and longer);
# both as deepwave has them, so that its own interpolation gives the same samples.
HALF_WIDTH = 4
KAISER_BETA = 4.14

# Points nearer to a node than this part of a cell are on it.
ON_NODE = 1e-5

# More columns than any grid has.
KEY = 2**31


def axis_stencil(
    cells: np.ndarray, surface: int | None = None, windowed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights that stand for points along one axis.

    Parameters
    ----------
    cells
        float64 [point], in cells from node 0.
    surface
        The node of a free surface, which may be just outside the grid; points lie a cell or more
        behind it.
    windowed
        Give the whole window even where all points are on nodes.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [point, tap]; one tap where all points are on nodes, else eight.
    weights : numpy.ndarray
        float64 [point, tap]; for a point on a node exactly one at it and zero elsewhere.
    """
    nearest = np.rint(cells).astype(np.int64)
    on_node = np.abs(cells - nearest) < ON_NODE
    if on_node.all() and not windowed:
        return nearest[:, None], np.ones((len(cells), 1))
    first = np.where(on_node, nearest, np.floor(cells).astype(np.int64)) - HALF_WIDTH + 1
    if surface is not None:
        first = np.maximum(first, surface + 1)
    nodes = first[:, None] + np.arange(2 * HALF_WIDTH)
    weights = _windowed_sinc(nodes - cells[:, None])
    if surface is not None:
        weights = weights - _windowed_sinc(2 * surface - nodes - cells[:, None])
    exact = (nodes == nearest[:, None]).astype(np.float64)
    return nodes, np.where(on_node[:, None], exact, weights)


def _windowed_sinc(distance: np.ndarray) -> np.ndarray:
    """Return the weights of nodes at some distances from a point, in cells."""
    window = np.sqrt(np.maximum(1 - (distance / HALF_WIDTH) ** 2, 0))
    weights = np.sinc(distance) * np.i0(KAISER_BETA * window) / np.i0(KAISER_BETA)
    return np.where(np.abs(distance) <= HALF_WIDTH, weights, 0.0)


def point_stencil(
    rows: np.ndarray,
    columns: np.ndarray,
    surface: int | None = None,
    windowed_columns: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights that stand for points in the plane.

    Parameters
    ----------
    rows, columns
        float64 [point], grid coordinates in cells.
    surface
        Row of the free surface, if there is one.
    windowed_columns
        Give the whole window along the columns even where all points are on nodes.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [point, tap, 2], row and column; no node twice at one point.
    weights : numpy.ndarray
        float64 [point, tap], products of the two axes' weights.
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

    Parameters
    ----------
    rows, columns
        float64 [point], grid coordinates in cells.
    surface
        Row of the free surface, if there is one.
    nodes
        int64 [node, 2], row and column of nodes that are recorded anyway, sorted by both, among
        them all that the points need; left out: exactly those.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [node, 2], row and column of every recorded node, sorted by both.
    matrix : scipy.sparse.csr_array
        float32 [point, node].
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
    """Return all nodes that points may need, wherever between two columns they lie.

    Parameters
    ----------
    rows
        float64 [point], their rows, in cells.
    columns
        Lowest and highest column of any point, in cells.
    surface
        Row of the free surface, if there is one.

    Returns
    -------
    numpy.ndarray
        int64 [node, 2], row and column, sorted by both.
    """
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
    """Return ``matrix @ records`` for each shot, rounded as on the CPU whatever the batch.

    Parameters
    ----------
    tables
        The matrix as `tap_tables` has it, on the device of ``records``.
    records
        float32 [shot, node, time].

    Returns
    -------
    torch.Tensor
        float32 [shot, point, time].
    """
    node, weight = tables
    points = records.new_zeros(len(records), len(node), records.shape[-1])
    for tap in range(node.shape[1]):
        points += weight[:, tap, None] * records[:, node[:, tap]]
    return points
