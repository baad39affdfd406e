"""Scores of one run under many conditions: a row a condition, grouped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import (
    BASELINE,
    ORACLE,
    PREDICTION,
    WIDTH,
    new_figure,
    styled,
)

ROW, GAP = 0.17, 1.6
"""Height of a row, inches, and room before a group, rows."""
BASELINE_MARK = {"marker": "|", "markersize": 9, "markeredgewidth": 1.8, "linestyle": "none"}
ORACLE_MARK = {"marker": "d", "markersize": 4, "markerfacecolor": "white", "linestyle": "none"}


@dataclass(frozen=True)
class ConditionRow:
    """One condition of the figure.

    Attributes
    ----------
    label
        What the condition is.
    group
        Heading that it stands under; rows of a group follow each other.
    rmse, ssim
        Scores of the predictions [sample]; RMSE in m/s.
    rmse_all
        RMSE over all pixels and samples, m/s.
    baseline_rmse, baseline_ssim
        Scores of the mean training model over all samples.
    oracle_rmse, oracle_ssim
        Scores of each model's own lateral mean over all samples.
    """

    label: str
    group: str
    rmse: NDArray[np.float64]
    ssim: NDArray[np.float64]
    rmse_all: float
    baseline_rmse: float
    baseline_ssim: float
    oracle_rmse: float
    oracle_ssim: float


@styled
def generalization_figure(rows: Sequence[ConditionRow]) -> Figure:
    """Draw RMSE and SSIM of every condition beside those of guesses that need no network.

    The dot is the score over all samples, the thick line spans half of the samples, the thin one
    nine in ten; the dashed line is the first row, which the others are compared with.

    Parameters
    ----------
    rows
        The conditions, from top to bottom.
    """
    places = list(_places(rows))
    figure = new_figure(WIDTH, 1.3 + ROW * (places[-1] + 1))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in zip(places, rows, strict=True):
        rmse = (row.rmse_all, row.baseline_rmse, row.oracle_rmse)
        _draw_row(left, place, row.rmse, rmse)
        ssim = (float(row.ssim.mean()), row.baseline_ssim, row.oracle_ssim)
        _draw_row(right, place, row.ssim, ssim)
    for axes, first in ((left, rows[0].rmse_all), (right, float(rows[0].ssim.mean()))):
        axes.axvline(first, color=PREDICTION, linestyle="dashed", linewidth=0.8, zorder=1)
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
    left.set_xlim(left=0)
    left.set_xlabel("RMSE (m/s), less is better")
    right.set_xlabel("SSIM, 1 is perfect")
    left.set_yticks(places, [row.label for row in rows])
    left.set_ylim(places[-1] + 0.8, places[0] - GAP)
    _head_groups(left, places, rows)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=3)
    return figure


def _places(rows: Sequence[ConditionRow]) -> Iterator[float]:
    """Yield the height of each row, downward, with room for a heading before each group."""
    place, group = -GAP, rows[0].group
    for number, row in enumerate(rows):
        place += GAP if number == 0 or row.group != group else 1.0
        place += row.group != group
        group = row.group
        yield place


def _draw_row(
    axes: Axes, place: float, values: NDArray[np.float64], scores: tuple[float, float, float]
) -> None:
    """Draw the spread of the predictions, and the scores of prediction, baseline and oracle."""
    score, baseline, oracle = scores
    low, lower, upper, high = np.percentile(values, (5, 25, 75, 95))
    line = {"color": PREDICTION, "solid_capstyle": "butt", "zorder": 2}
    axes.plot((low, high), (place, place), linewidth=0.8, **line)
    axes.plot((lower, upper), (place, place), linewidth=3.2, alpha=0.45, **line)
    axes.plot(score, place, "o", color=PREDICTION, markersize=4, zorder=4)
    axes.plot(baseline, place, color=BASELINE, zorder=3, **BASELINE_MARK)
    axes.plot(oracle, place, color=ORACLE, zorder=3, **ORACLE_MARK)


def _head_groups(axes: Axes, places: Sequence[float], rows: Sequence[ConditionRow]) -> None:
    group = None
    for place, row in zip(places, rows, strict=True):
        if row.group != group:
            group = row.group
            axes.annotate(
                group,
                (0, place - 1),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                weight="bold",
                fontsize=8,
            )


def _legend() -> list[Line2D]:
    line = {"color": PREDICTION}
    return [
        Line2D([], [], marker="o", markersize=4, linestyle="none", label="all samples", **line),
        Line2D([], [], linewidth=3.2, alpha=0.45, label="half of the samples", **line),
        Line2D([], [], linewidth=0.8, label="nine in ten", **line),
        Line2D([], [], color=BASELINE, label="mean training model", **BASELINE_MARK),
        Line2D([], [], color=ORACLE, label="own lateral mean (oracle)", **ORACLE_MARK),
    ]
