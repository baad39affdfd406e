"""What became of one run: its history, its scores, what it took."""

import csv
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.errors import InputError
from seistomo.training import EpochRow
from seistomo.training.directory import HISTORY, METRICS

CHECKPOINTS = ("last", "best")


@dataclass(frozen=True)
class Outcome:
    """One run of a variant.

    Attributes
    ----------
    name, seed
        The variant and its seed.
    path
        The run directory; it does not exist where the run diverged in its first epoch.
    history
        A row an epoch.
    training
        The run's ``metrics.json``: ``parameters dead_pixels waiting peak_memory last best``.
    scores
        By checkpoint, ``last`` and ``best``: what `seistomo evaluate` writes to its
        ``metrics.json``. Empty where it was not asked for or the run has no epoch.
    diverged
        Why training ended too early, in words, or empty.
    """

    name: str
    seed: int
    path: Path
    history: Sequence[EpochRow]
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diverged: str = ""

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return self.history[-1].epoch if self.history else 0

    def seconds_per_iteration(self) -> float:
        """Return the optimizer's seconds an iteration: the median over the epochs."""
        if not self.history:
            return math.nan
        ends = [(0, 0.0), *((row.iteration, row.seconds) for row in self.history)]
        return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(ends))

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """Return the history by columns, for figures."""
        names = EpochRow.__dataclass_fields__
        return {name: np.array([getattr(row, name) for row in self.history]) for name in names}


def read_history(run: Path) -> list[EpochRow]:
    """Return the rows of a run's ``history.csv``; none where there is none yet.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    path = run / HISTORY
    if not path.is_file():
        return []
    kinds = {"epoch": int, "iteration": int}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                EpochRow(**{name: kinds.get(name, float)(text) for name, text in row.items()})
                for row in csv.DictReader(file)
            ]
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}); remove the run") from None


def read_training(run: Path) -> dict[str, Any]:
    """Return a run's ``metrics.json``; empty where there is none yet."""
    path = run / METRICS
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); remove the run") from None
