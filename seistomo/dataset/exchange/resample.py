"""Bring a model onto another spacing so that travel times are kept."""

import numpy as np


def resample(
    velocity: np.ndarray, spacing: tuple[float, float], wanted: tuple[float, float]
) -> np.ndarray:
    """Return a model on nodes ``wanted`` apart; the first node stays where it is.

    What is averaged is the slowness, the time a metre takes. Onto a coarser grid each node gets
    the mean over its cell, one spacing wide around it: the time through every column and row of
    cells stays what it was, and the average is the filter that keeps thin beds from aliasing.
    Onto a finer grid the slowness is interpolated linearly between nodes, as the simulation does
    with ``simulation.grid_spacing``. An axis whose spacing does not change is left alone.

    Parameters
    ----------
    velocity
        [depth, x], m/s, above 0.
    spacing, wanted
        Distance between nodes (depth, x), m.

    Returns
    -------
    numpy.ndarray
        [depth, x], m/s; as many nodes as fit between the first and the last of ``velocity``.
    """
    ratios = [new / old for old, new in zip(spacing, wanted, strict=True)]
    if np.allclose(ratios, 1, rtol=1e-9):
        return velocity
    slowness = 1 / velocity.astype(np.float64)
    return 1 / _both_axes(slowness, ratios)


def resampled_nodes(nodes: int, spacing: float, wanted: float) -> int:
    """Return how many nodes ``wanted`` apart `resample` lays along an axis."""
    return int((nodes - 1) * spacing / wanted + 1e-6) + 1


def resample_mask(
    mask: np.ndarray, spacing: tuple[float, float], wanted: tuple[float, float]
) -> np.ndarray:
    """Return a mask on another spacing: true where at least half of a cell is; see `resample`."""
    ratios = [new / old for old, new in zip(spacing, wanted, strict=True)]
    return _both_axes(mask.astype(np.float64), ratios) >= 0.5


def _both_axes(values: np.ndarray, ratios: list[float]) -> np.ndarray:
    return _first_axis(_first_axis(values, ratios[0]).T, ratios[1]).T


def _first_axis(values: np.ndarray, ratio: float) -> np.ndarray:
    """Resample [node, ...] to nodes ``ratio`` times as far apart."""
    nodes = len(values)
    number = np.arange(resampled_nodes(nodes, 1.0, ratio))
    if ratio < 1 - 1e-9:
        return _between(values, number * ratio)
    if ratio < 1 + 1e-9:
        return values
    # Old cell i reaches from i to i + 1; the sum up to there is linear in between.
    edges = np.clip((np.append(number, len(number)) - 0.5) * ratio + 0.5, 0, nodes)
    sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.diff(_between(sums, edges), axis=0) / np.diff(edges)[:, None]


def _between(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Interpolate [node, ...] linearly at fractional node numbers ``places``."""
    before = np.clip(np.floor(places).astype(np.int64), 0, max(len(values) - 2, 0))
    share = (places - before)[:, None]
    return values[before] * (1 - share) + values[np.minimum(before + 1, len(values) - 1)] * share
