"""Models on another spacing so that travel times are kept, and pieces cut from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seistomo.errors import InputError

Ends = tuple[float | None, float | None]


@dataclass(frozen=True)
class CropOptions:
    """Which pieces of the models are taken.

    Attributes
    ----------
    size
        Nodes (depth, x) of a piece; None: the whole model.
    stride
        Nodes (depth, x) from one piece to the next on the grid; None: the size, side by side.
    count
        Number of pieces at random places instead of a grid, no two the same.
    seed
        Seed of the random places; more pieces with the same seed begin with the same ones.
    depth_range, x_range
        The part of each model that is used, (from, to) in m, None: to its end.
    min_contrast
        Pieces whose highest and lowest speed differ by less, m/s, are dropped: pure water, say.
    """

    size: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    count: int | None = None
    seed: int = 0
    depth_range: Ends = (None, None)
    x_range: Ends = (None, None)
    min_contrast: float = 0.0

    def __post_init__(self) -> None:
        if self.size is None and (self.stride is not None or self.count is not None):
            name = "--stride" if self.stride is not None else "--crops"
            raise InputError(f"{name}: says where to cut; give --crop DEPTHxX too")
        if self.stride is not None and self.count is not None:
            raise InputError("--stride and --crops: give one; a grid of crops or random ones")
        for name, value in (("crop", self.size), ("stride", self.stride)):
            if value is not None and min(value) < 1:
                raise InputError(f"--{name}: must be at least 1x1")
        if self.count is not None and self.count < 1:
            raise InputError(f"--crops {self.count}: must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be at least 0")
        if self.seed and self.count is None:
            raise InputError(f"--seed {self.seed}: is for random places; give --crops too")
        if not 0 <= self.min_contrast < np.inf:
            raise InputError(f"--min-contrast {self.min_contrast:g}: must be at least 0 m/s")


class Place(NamedTuple):
    """Where a piece is cut: number of the model, and node of its upper left corner."""

    model: int
    row: int
    column: int


def nodes_within(nodes: int, spacing: float, ends: Ends, name: str, start: float = 0.0) -> range:
    """Return the nodes of an axis from ``start`` (m) that lie between two positions."""
    low, high = (None if end is None else (end - start) / spacing for end in ends)
    first = 0 if low is None else max(0, int(np.ceil(low - 1e-6)))
    last = nodes - 1 if high is None else min(nodes - 1, int(np.floor(high + 1e-6)))
    if first > last:
        shown = ":".join("" if end is None else f"{end:g}" for end in ends)
        raise InputError(
            f"{name} {shown}: holds no node of a model from {start:g} to"
            f" {start + (nodes - 1) * spacing:g} m"
        )
    return range(first, last + 1)


def grid_places(
    shapes: Sequence[tuple[int, int]], size: tuple[int, int], stride: tuple[int, int]
) -> list[Place]:
    """Return the places of a grid of pieces, model after model, row after row."""
    return [
        Place(model, row, column)
        for model, (down, across) in enumerate(_place_counts(shapes, size))
        for row in range(0, down, stride[0])
        for column in range(0, across, stride[1])
    ]


def random_places(
    shapes: Sequence[tuple[int, int]], size: tuple[int, int], count: int, seed: int
) -> Iterator[Place]:
    """Yield random places without repetition, each as likely, until none is left.

    The first n places are the same however many (``count``) are asked for.
    """
    counts = _place_counts(shapes, size)
    starts = np.cumsum([0, *(down * across for down, across in counts)])
    if starts[-1] < count:
        raise InputError(f"--crops {count}: only {starts[-1]} different ones can be cut")
    random, seen = np.random.default_rng(seed), set()
    while len(seen) < starts[-1]:
        number = int(random.integers(starts[-1]))
        if number in seen:
            continue
        seen.add(number)
        model = int(np.searchsorted(starts, number, side="right")) - 1
        row, column = divmod(number - int(starts[model]), counts[model][1])
        yield Place(model, row, column)


def _place_counts(
    shapes: Sequence[tuple[int, int]], size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return how many places there are down and across each model."""
    counts = [(max(0, shape[0] - size[0] + 1), max(0, shape[1] - size[1] + 1)) for shape in shapes]
    if not any(down and across for down, across in counts):
        largest = max(shapes, key=lambda shape: shape[0] * shape[1])
        raise InputError(
            f"--crop {size[0]}x{size[1]}: larger than the models, {largest[0]}x{largest[1]} nodes"
            " (depth x x) at the wanted spacing"
        )
    return [each if all(each) else (0, 0) for each in counts]


def resample(
    velocity: np.ndarray, spacing: tuple[float, float], wanted: tuple[float, float]
) -> np.ndarray:
    """Return a model [depth, x] on nodes ``wanted`` apart; the first node stays where it is.

    What is averaged is the slowness, the time a metre takes. Onto a coarser grid each node gets
    the mean over its cell, one spacing wide around it: the time through every column and row of
    cells stays what it was, and the average is the filter that keeps thin beds from aliasing.
    Onto a finer grid the slowness is interpolated linearly between nodes, as the simulation does
    with ``simulation.grid_spacing``. An axis whose spacing does not change is left alone. Nodes
    that lie on or beside what is no speed (NaN, infinite, 0 or less) are NaN.
    """
    ratios = [new / old for old, new in zip(spacing, wanted, strict=True)]
    if np.allclose(ratios, 1, rtol=1e-9):
        return velocity
    holes = ~(np.isfinite(velocity) & (velocity > 0))
    velocity = 1 / _both_axes(1 / np.where(holes, 1.0, velocity).astype(np.float64), ratios)
    if holes.any():
        velocity[_both_axes(holes.astype(np.float64), ratios) > 1e-6] = np.nan
    return velocity


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
