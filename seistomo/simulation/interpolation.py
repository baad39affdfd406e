"""Sources and receivers between the nodes of the grid.

A band-limited field is sampled (and a point source spread) between nodes by a sinc under a Kaiser
window of eight nodes along each axis, after Hicks (2002), Geophysics 67(1), 156-165,
https://doi.org/10.1190/1.1451454. His weights fold back over a free surface; here the grid
continues for `grid.MARGIN` cells beyond every point, so that no window leaves it and none folds.
"""

import numpy as np
from scipy.sparse import csr_array

# Half the window in nodes, and Hicks's Kaiser parameter for it (waves of three cells and longer);
# both as deepwave has them, so that its own interpolation gives the same samples.
HALF_WIDTH = 4
KAISER_BETA = 4.14

# Points nearer to a node than this part of a cell are on it.
ON_NODE = 1e-5


def axis_stencil(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights that stand for points along one axis.

    Parameters
    ----------
    cells
        float64 [point], in cells from node 0.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [point, tap]; one tap where all points are on nodes, else eight.
    weights : numpy.ndarray
        float64 [point, tap]; for a point on a node exactly one at it and zero elsewhere.
    """
    nearest = np.rint(cells).astype(np.int64)
    on_node = np.abs(cells - nearest) < ON_NODE
    if on_node.all():
        return nearest[:, None], np.ones((len(cells), 1))
    first = np.where(on_node, nearest, np.floor(cells).astype(np.int64)) - HALF_WIDTH + 1
    nodes = first[:, None] + np.arange(2 * HALF_WIDTH)
    distance = nodes - cells[:, None]
    window = np.sqrt(np.maximum(1 - (distance / HALF_WIDTH) ** 2, 0))
    weights = np.sinc(distance) * np.i0(KAISER_BETA * window) / np.i0(KAISER_BETA)
    exact = (nodes == nearest[:, None]).astype(np.float64)
    return nodes, np.where(on_node[:, None], exact, weights)


def point_stencil(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights that stand for points in the plane.

    Parameters
    ----------
    rows, columns
        float64 [point], grid coordinates in cells.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [point, tap, 2], row and column; no node twice at one point.
    weights : numpy.ndarray
        float64 [point, tap], products of the two axes' weights.
    """
    row_nodes, row_weights = axis_stencil(rows)
    column_nodes, column_weights = axis_stencil(columns)
    pair = np.broadcast_arrays(row_nodes[:, :, None], column_nodes[:, None, :])
    nodes = np.stack(pair, axis=-1).reshape(len(rows), -1, 2)
    weights = row_weights[:, :, None] * column_weights[:, None, :]
    return nodes, weights.reshape(len(rows), -1)


def interpolation_matrix(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, csr_array]:
    """Return the nodes to record, and the matrix that turns their records into the points'.

    Parameters
    ----------
    rows, columns
        float64 [point], grid coordinates in cells.

    Returns
    -------
    nodes : numpy.ndarray
        int64 [node, 2], row and column of every node that some point needs.
    matrix : scipy.sparse.csr_array
        float32 [point, node].
    """
    taps, weights = point_stencil(rows, columns)
    needed = weights != 0
    nodes, column = np.unique(taps[needed], axis=0, return_inverse=True)
    point = np.nonzero(needed)[0]
    values = weights[needed].astype(np.float32)
    return nodes, csr_array((values, (point, column)), shape=(len(rows), len(nodes)))
