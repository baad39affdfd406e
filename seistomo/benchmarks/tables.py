"""Tables of what was measured, beside what the paper reports."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.paper import PaperRow

HEADINGS = (
    "method",
    "learning rate",
    "epochs",
    "paper",
    "loss",
    "paper",
    "accuracy, %",
    "paper",
    "ms/iteration",
    "/ Adam's",
    "paper",
    "runs",
    "restarts",
    "stuck",
)
NOTHING = "–"


@dataclass(frozen=True)
class MeasuredRow:
    """The repeats of one row.

    Attributes
    ----------
    label
        What the row is called.
    learning_rate
        The one that was used.
    results
        A result a repeat.
    paper
        The paper's experiment and its numbers; None where it has none.
    note
        What to say below the table.
    """

    label: str
    learning_rate: float
    results: Sequence[RunResult]
    paper: PaperRow | None = None
    note: str = ""

    def seconds_per_iteration(self) -> float:
        """Return the median over repeats of their median seconds an iteration."""
        return statistics.median(r.seconds_per_iteration()["median"] for r in self.results)

    def summary(self) -> dict[str, Any]:
        """Return the row's numbers, measured and reported, for JSON."""
        last = [result.last for result in self.results]
        return {
            "label": self.label,
            "learning_rate": self.learning_rate,
            "epochs": [entry.epoch for entry in last],
            "test_loss": mean_and_deviation([entry.test_loss for entry in last]),
            "test_accuracy": mean_and_deviation([entry.test_accuracy for entry in last]),
            "seconds_per_iteration": self.seconds_per_iteration(),
            "restarts": sum(result.restarts for result in self.results),
            "stuck": sum(result.stuck for result in self.results),
            "paper": self.paper
            and {
                "epochs": self.paper.epochs,
                "test_loss": self.paper.loss,
                "test_accuracy": self.paper.accuracy,
                "seconds_per_iteration": self.paper.seconds,
            },
            "note": self.note,
        }


def markdown_table(rows: Sequence[MeasuredRow], reference: MeasuredRow | None = None) -> str:
    """Return rows as a Markdown table whose columns also line up as plain text.

    Parameters
    ----------
    rows
        What was measured.
    reference
        The row, Adam's as a rule, whose time an iteration the others' are divided by.
    """
    lines = [HEADINGS, *(_cells(row, reference) for row in rows)]
    return format_table(lines)


def format_table(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells, the first of them headings, as an aligned Markdown table."""
    lines = [[cell.replace("|", r"\|") for cell in cells] for cells in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [_line(cells, widths) for cells in lines]
    rule = "|" + "|".join(
        "-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)
    )
    return "\n".join([aligned[0], rule + "|", *aligned[1:]]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _cells(row: MeasuredRow, reference: MeasuredRow | None) -> list[str]:
    last, paper = [result.last for result in row.results], row.paper
    seconds = row.seconds_per_iteration()
    ratio = paper_ratio = None
    if reference is not None:
        ratio = seconds / reference.seconds_per_iteration()
        if paper and reference.paper and paper.seconds and reference.paper.seconds:
            paper_ratio = paper.seconds / reference.paper.seconds
    return [
        row.label,
        f"{row.learning_rate:g}",
        _whole_range([entry.epoch for entry in last]),
        _number(paper and paper.epochs, "d"),
        spread([entry.test_loss for entry in last], 3),
        _number(paper and paper.loss, ".3f"),
        spread([100 * entry.test_accuracy for entry in last], 2),
        _number(paper and paper.accuracy and 100 * paper.accuracy, ".1f"),
        f"{1000 * seconds:.1f}",
        _number(ratio, ".2f"),
        _number(paper_ratio, ".1f"),
        str(len(row.results)),
        str(sum(result.restarts for result in row.results)),
        str(sum(result.stuck for result in row.results)),
    ]


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _whole_range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def spread(values: Sequence[float], digits: int) -> str:
    """Return mean ± standard deviation (of the sample, over repeats) of several values."""
    found = mean_and_deviation(values)
    if not math.isfinite(found["mean"]):
        return "not finite"
    text = f"{found['mean']:.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {found['std']:.{digits}f}"


def mean_and_deviation(values: Sequence[float]) -> dict[str, float]:
    """Return ``mean`` and ``std`` (of the sample); not numbers where there is none to take."""
    if not values or not all(map(math.isfinite, values)):
        return {"mean": math.nan, "std": math.nan}
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "std": deviation}
