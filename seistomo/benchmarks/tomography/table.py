"""Table 4 of the SQGN paper from measured runs, beside what the paper reports."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seistomo.benchmarks.operations import Operations
from seistomo.benchmarks.tables import NOTHING, format_table, mean_and_deviation, spread
from seistomo.benchmarks.tomography.outcome import CHECKPOINTS, Outcome
from seistomo.benchmarks.tomography.rows import Row

SHOWN = "last"
"""Checkpoint of the table's scores: the last epoch, as in the paper."""
HEADINGS = (
    *("method", "epochs", "loss, 10⁸ (m/s)²", "paper", "RMSE, m/s", "SSIM", "paper"),
    *("salt IoU", "s/iteration", "/ Adam's", "paper", "runs"),
)
SCORES = ("loss", "mse", "rmse", "mae", "ssim", "salt_iou")
COST_HEADINGS = (
    *("method", "gradients", "products", "GFLOP/s", "waiting, %", "peak memory, GiB"),
    *("best epoch", "loss there", "SSIM there", "dead pixels, %"),
)
BASELINE = "mean training model"
LOSS_UNIT = 1e8
GIB = 2**30


@dataclass(frozen=True)
class MeasuredRow:
    """The repeats of one row.

    Attributes
    ----------
    row
        What was run.
    outcomes
        One a seed.
    operations
        Floating-point operations of a sample.
    batch_size
        Samples of a mini-batch.
    """

    row: Row
    outcomes: Sequence[Outcome]
    operations: Operations
    batch_size: int

    @cached_property
    def whole(self) -> list[Outcome]:
        """The runs that did not diverge."""
        return [one for one in self.outcomes if one.scores and not one.diverged]

    def scores(self, name: str, checkpoint: str = SHOWN) -> list[float]:
        """Return a score of the runs that did not diverge; those that do not exist are left out."""
        values = [one.scores[checkpoint][name] for one in self.whole]
        return [value for value in values if value is not None]

    def seconds(self) -> list[float]:
        """Return the seconds an iteration, one number a run."""
        return [one.seconds_per_iteration() for one in self.whole]

    def ratios(self, reference: "MeasuredRow | None") -> list[float]:
        """Return the same in units of another row's run with the same seed."""
        if reference is None:
            return []
        units = {one.seed: one.seconds_per_iteration() for one in reference.whole}
        return [
            one.seconds_per_iteration() / units[one.seed] for one in self.whole if one.seed in units
        ]

    def speed(self) -> list[float]:
        """Return the GFLOP/s of gradients and Gauss–Newton products, one number a run."""
        gradient, product = self.operations.gradient, self.operations.product
        ends = [one.history[-1] for one in self.whole]
        done = [gradient * e.gradient_evaluations + product * e.ggn_products for e in ends]
        return [
            self.batch_size * operations / end.seconds / 1e9
            for operations, end in zip(done, ends, strict=True)
        ]

    def summary(self, reference: "MeasuredRow | None") -> dict[str, Any]:
        """Return the row's numbers, measured and reported, for JSON."""
        row, ratios = self.row, self.ratios(reference)
        return {
            "name": row.name,
            "label": row.label,
            "optimizer": row.optimizer,
            "learning_rate": row.learning_rate,
            "epochs": [one.epochs for one in self.outcomes],
            "seeds": [one.seed for one in self.outcomes],
            "diverged": {one.seed: one.diverged for one in self.outcomes if one.diverged},
            "test": {
                checkpoint: {
                    name: mean_and_deviation(self.scores(name, checkpoint)) for name in SCORES
                }
                for checkpoint in CHECKPOINTS
            },
            "seconds_per_iteration": mean_and_deviation(self.seconds()),
            "time_ratio": mean_and_deviation(ratios),
            "gflops": mean_and_deviation(self.speed()),
            "runs": [_record(one) for one in self.outcomes],
            "paper": row.paper
            and {
                "loss": row.paper.loss,
                "ssim": row.paper.ssim,
                "seconds_per_iteration": row.paper.seconds,
            },
        }


def table_4(rows: Sequence[MeasuredRow]) -> str:
    """Return the scores as a Markdown table, the mean training model last."""
    reference = reference_row(rows)
    lines = [HEADINGS, *(_cells(row, reference) for row in rows)]
    baseline = baseline_scores(rows)
    if baseline:
        lines.append(_baseline_cells(baseline))
    return format_table(lines)


def cost_table(rows: Sequence[MeasuredRow], on_gpu: bool) -> str:
    """Return work, speed, memory and the best epoch as a Markdown table.

    Parameters
    ----------
    rows
        What was measured.
    on_gpu
        Whether peak memory is a run's own; on a CPU it is that of a process with many runs.
    """
    return format_table([COST_HEADINGS, *(_cost_cells(row, on_gpu) for row in rows)])


def reference_row(rows: Sequence[MeasuredRow]) -> MeasuredRow | None:
    """Return the row that times are divided by: the first of Adam's."""
    return next((row for row in rows if row.row.optimizer == "adam" and row.whole), None)


def baseline_scores(rows: Sequence[MeasuredRow]) -> dict[str, float | None]:
    """Return the scores of the mean training model; empty where no run has any."""
    for row in rows:
        for one in row.whole:
            return dict(one.scores[SHOWN]["baseline"])
    return {}


def divergence_notes(rows: Sequence[MeasuredRow]) -> list[str]:
    """Return a line for each run that diverged."""
    return [
        f"{row.row.label}, seed {one.seed}: {one.diverged}"
        for row in rows
        for one in row.outcomes
        if one.diverged
    ]


def _record(one: Outcome) -> dict[str, Any]:
    return {
        "seed": one.seed,
        "run": one.path.name,
        "epochs": one.epochs,
        "diverged": one.diverged,
        "seconds_per_iteration": one.seconds_per_iteration(),
        "training": dict(one.training),
        "test": {name: dict(scores) for name, scores in one.scores.items()},
    }


def _cells(row: MeasuredRow, reference: MeasuredRow | None) -> list[str]:
    paper, theirs = row.row.paper, reference.row.paper if reference else None
    ratio = paper.seconds / theirs.seconds if paper and theirs else None
    return [
        row.row.label,
        _range([one.epochs for one in row.outcomes]),
        _spread([loss / LOSS_UNIT for loss in row.scores("loss")], 3),
        _number(paper and paper.loss / LOSS_UNIT, ".1f"),
        _spread(row.scores("rmse"), 0),
        _spread(row.scores("ssim"), 3),
        _number(paper and paper.ssim, ".2f"),
        _spread(row.scores("salt_iou"), 2),
        _seconds(row.seconds()),
        _spread(row.ratios(reference), 2),
        _number(ratio, ".2f"),
        str(len(row.whole)),
    ]


def _baseline_cells(scores: dict[str, float | None]) -> list[str]:
    loss, iou = scores["loss"] / LOSS_UNIT, scores["salt_iou"]
    values = [f"{loss:.3f}", NOTHING, f"{scores['rmse']:.0f}", f"{scores['ssim']:.3f}", NOTHING]
    return [BASELINE, NOTHING, *values, _number(iou, ".2f"), *[NOTHING] * 4]


def _cost_cells(row: MeasuredRow, on_gpu: bool) -> list[str]:
    ends = [one.history[-1] for one in row.whole]
    training = [one.training for one in row.whole]
    peaks = [one["peak_memory"] / GIB for one in training]
    dead = [100 * one["dead_pixels"] for one in training if one["dead_pixels"] is not None]
    return [
        row.row.label,
        _spread([end.gradient_evaluations / end.iteration for end in ends], 2, single=True),
        _spread([end.ggn_products / end.iteration for end in ends], 2, single=True),
        _spread(row.speed(), 1),
        _spread([100 * one["waiting"] for one in training], 1),
        _spread(peaks, 2) if on_gpu else NOTHING,
        _range([one["best"]["epoch"] for one in training]),
        _spread([loss / LOSS_UNIT for loss in row.scores("loss", "best")], 3),
        _spread(row.scores("ssim", "best"), 3),
        _spread(dead, 1),
    ]


def _spread(values: Sequence[float], digits: int, single: bool = False) -> str:
    if not values:
        return NOTHING
    return f"{mean_and_deviation(values)['mean']:.{digits}f}" if single else spread(values, digits)


def _seconds(values: Sequence[float]) -> str:
    """Return seconds with about three digits."""
    if not values:
        return NOTHING
    largest = max(values)
    digits = 0 if largest <= 0 else max(0, 2 - math.floor(math.log10(largest)))
    return _spread(values, min(digits, 6))


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _range(values: Sequence[int]) -> str:
    if not values:
        return NOTHING
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
