"""Pieces of equal size cut from large models: on a grid, or at random places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seistomo.errors import InputError


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
    depth_range: tuple[float | None, float | None] = (None, None)
    x_range: tuple[float | None, float | None] = (None, None)
    min_contrast: float = 0.0

    def __post_init__(self) -> None:
        """Refuse options that say nothing or contradict each other."""
        if self.size is None and (self.stride is not None or self.count is not None):
            name = "--stride" if self.stride is not None else "--crops"
            raise InputError(f"{name}: says where to cut; give --crop DEPTHxX too")
        if self.stride is not None and self.count is not None:
            raise InputError("--stride and --crops: give one; a grid of crops or random ones")
        for name in ("size", "stride"):
            value = getattr(self, name)
            if value is not None and min(value) < 1:
                raise InputError(f"--{'crop' if name == 'size' else name}: must be at least 1x1")
        if self.count is not None and self.count < 1:
            raise InputError(f"--crops {self.count}: must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be at least 0")
        if self.seed and self.count is None:
            raise InputError(f"--seed {self.seed}: is for random places; give --crops too")
        if not 0 <= self.min_contrast < np.inf:
            raise InputError(f"--min-contrast {self.min_contrast:g}: must be at least 0 m/s")


@dataclass(frozen=True)
class Place:
    """Where a piece is cut: number of the model, and node of its upper left corner."""

    model: int
    row: int
    column: int


def nodes_within(
    nodes: int, spacing: float, ends: tuple[float | None, float | None], name: str
) -> range:
    """Return the nodes of an axis that lie between two positions, both included.

    Parameters
    ----------
    nodes, spacing
        The axis; its first node is at 0 m.
    ends
        First and last position, m; None: the axis' end.
    name
        Option that holds them, for messages.

    Raises
    ------
    InputError
        If no node lies there.
    """
    low, high = ends
    first = 0 if low is None else max(0, int(np.ceil(low / spacing - 1e-6)))
    last = nodes - 1 if high is None else min(nodes - 1, int(np.floor(high / spacing + 1e-6)))
    if first > last:
        shown = ":".join("" if end is None else f"{end:g}" for end in ends)
        raise InputError(
            f"{name} {shown}: holds no node of a model from 0 to {(nodes - 1) * spacing:g} m"
        )
    return range(first, last + 1)


def grid_places(shapes: Sequence[tuple[int, int]], options: CropOptions) -> list[Place]:
    """Return the places of a grid of pieces, model after model, row after row.

    Parameters
    ----------
    shapes
        Nodes (depth, x) of each model.
    options
        Size and stride.

    Raises
    ------
    InputError
        If no model is as large as a piece.
    """
    down, across = options.stride or options.size
    return [
        Place(model, row, column)
        for model, rooms in enumerate(_rooms(shapes, options.size))
        for row in range(0, rooms[0], down)
        for column in range(0, rooms[1], across)
    ]


def random_places(shapes: Sequence[tuple[int, int]], options: CropOptions) -> Iterator[Place]:
    """Yield random places without repetition, each as likely, until none is left.

    The first n places are the same however many are asked for.

    Parameters
    ----------
    shapes
        Nodes (depth, x) of each model.
    options
        Size, number wanted and seed.

    Raises
    ------
    InputError
        If no model is as large as a piece, or there are fewer places than wanted.
    """
    rooms = _rooms(shapes, options.size)
    starts = np.cumsum([0, *(down * across for down, across in rooms)])
    if starts[-1] < options.count:
        raise InputError(f"--crops {options.count}: only {starts[-1]} different ones can be cut")
    random, seen = np.random.default_rng(options.seed), set()
    while len(seen) < starts[-1]:
        number = int(random.integers(starts[-1]))
        if number in seen:
            continue
        seen.add(number)
        model = int(np.searchsorted(starts, number, side="right")) - 1
        row, column = divmod(number - int(starts[model]), rooms[model][1])
        yield Place(model, row, column)


def _rooms(shapes: Sequence[tuple[int, int]], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return how many places there are down and across each model."""
    rooms = [(max(0, shape[0] - size[0] + 1), max(0, shape[1] - size[1] + 1)) for shape in shapes]
    if not any(down and across for down, across in rooms):
        largest = max(shapes, key=lambda shape: shape[0] * shape[1])
        raise InputError(
            f"--crop {size[0]}x{size[1]}: larger than the models, {largest[0]}x{largest[1]} nodes"
            " (depth x x) at the wanted spacing"
        )
    return [room if all(room) else (0, 0) for room in rooms]
