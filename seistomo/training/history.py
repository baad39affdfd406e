"""What a run did, a row an epoch: ``history.csv``, and how it stands: ``metrics.json``."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seistomo.files import read_text, reading, write_text

Row = dict[str, Any]
CONFIG, HISTORY, METRICS = "config.toml", "history.csv", "metrics.json"
CHECKPOINT, BEST, FIGURES = "checkpoint.pt", "best.pt", "figures"


@dataclass(frozen=True)
class RunResult:
    """How a run stands or ended.

    Attributes
    ----------
    run_dir
        The run directory.
    parameters
        Number of weights of the network.
    history
        The rows of ``history.csv`` as dictionaries: epoch, iteration, seconds (of optimizer steps
        and waiting for data), train_loss (mean over the epoch's samples of the losses before each
        step), validation_loss, the problem's scores of the validation split, learning_rate,
        gradient_evaluations and ggn_products (gradients of a batch and Gauss–Newton products with
        one; where batches grow, in batches of the first epoch's size). Counts and seconds are from
        the start of the run.
    last, best
        The rows of the last epoch and of the one with the lowest validation loss.
    dead_pixels
        Share of the outputs that are zero for every sample after the last epoch.
    waiting
        Share of the optimizer's time that was spent waiting for data.
    peak_memory
        The most bytes that the process has taken, on a GPU of its memory.
    outcome
        The best epoch's scores in words.
    """

    run_dir: Path
    parameters: int
    history: list[Row]
    last: Row
    best: Row
    dead_pixels: float
    waiting: float
    peak_memory: int
    outcome: str = ""

    def metrics(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds; what was not measured is None."""
        return {
            "parameters": self.parameters,
            "dead_pixels": _or_none(self.dead_pixels),
            "waiting": self.waiting,
            "peak_memory": self.peak_memory,
            "last": {key: _or_none(value) for key, value in self.last.items()},
            "best": {key: _or_none(value) for key, value in self.best.items()},
        }

    def __str__(self) -> str:
        return (
            f"{self.run_dir}: {self.last['epoch']} epochs in {self.last['seconds']:.0f} s"
            f" ({self.waiting:.1%} of it waiting for data);"
            f" best epoch {self.best['epoch']}: {self.outcome}"
        )


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write ``history.csv``, whole or not at all; numbers keep all their digits."""
    lines = [",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")


def write_metrics(path: Path, result: RunResult) -> None:
    write_text(path, json.dumps(result.metrics(), indent=2) + "\n")


def read_history(path: Path) -> list[Row]:
    """Return the rows of ``history.csv``, none without one."""
    if not path.is_file():
        return []
    with reading(path, "it must hold numbers alone"):
        rows = csv.DictReader(read_text(path).splitlines())
        return [{name: float(text) for name, text in row.items()} for row in rows]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
