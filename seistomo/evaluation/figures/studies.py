"""Figures of studies: scores by method, by a setting over decades, and by condition."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from seistomo.evaluation.figures.style import (
    BASELINE,
    ORACLE,
    PLAIN,
    PREDICTION,
    RUNS,
    WIDTH,
    new_figure,
    styled,
)

ROW, GAP = 0.19, 1.6
"""Height of a row, inches, and room before a group, rows."""


@styled
def histogram_figure(values: Mapping[str, Sequence[float]], label: str) -> Figure:
    """Draw how many runs ended at which score, 0 to 100, a row a method."""
    figure = new_figure(WIDTH, 1.7 * len(values) + 0.3)
    grid = figure.subplots(len(values), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for number, (axes, (name, found)) in enumerate(zip(grid, values.items(), strict=True)):
        axes.hist(np.asarray(found, float), np.arange(0, 101, 2), color=RUNS[number % len(RUNS)])
        axes.set_axisbelow(True)
        axes.set_title(f"{name}, {len(found)} runs")
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter(PLAIN)
        axes.set_ylabel("Runs")
        axes.set_xlim(0, 100)
        axes.grid(visible=True)
    grid[-1].set_xlabel(label)
    return figure


@styled
def sweeps_figure(
    panels: Mapping[tuple[str, str], Mapping[str, Mapping[float, Sequence[float]]]],
    usual: Mapping[str, float | None],
    *,
    log: bool = False,
) -> Figure:
    """Draw scores against single settings over decades.

    ``panels`` are for each setting and score's label, and each method in its panel, the scores of
    the repeats at each value: dots, the line is their mean, a cross at the upper edge is a run that
    diverged (its score is not finite). A ring is each method's ``usual`` value, by
    "METHOD: SETTING".
    """
    methods = list(dict.fromkeys(name for found in panels.values() for name in found))
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    alike = len({label for _, label in panels}) == 1
    figure = new_figure(WIDTH, 2.1 * rows + 0.45)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=alike)
    for number, (axes, ((setting, label), found)) in enumerate(
        zip(grid.flat, panels.items(), strict=False)
    ):
        axes.set_xscale("log")
        for method, sweep in found.items():
            color = RUNS[methods.index(method) % len(RUNS)]
            _draw_sweep(axes, sweep, usual.get(f"{method}: {setting}"), color)
        values = [value for sweep in found.values() for value in sweep]
        axes.set_xlabel(setting)
        if log:
            axes.set_yscale("log")
        if np.log10(max(values) / min(values)) < 2:
            axes.set_xticks(sorted({*values}))
            axes.xaxis.set_major_formatter(PLAIN)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(visible=True)
        if number % columns == 0 or not alike:
            axes.set_ylabel(label)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    lines = [Line2D([], [], color=RUNS[n % len(RUNS)]) for n in range(len(methods))]
    figure.legend(lines, methods, loc="outside upper center", ncols=min(len(methods), 4))
    return figure


def _draw_sweep(
    axes: Axes, sweep: Mapping[float, Sequence[float]], own: float | None, color: str
) -> None:
    means = {}
    for value, scores in sorted(sweep.items()):
        finite = [score for score in scores if np.isfinite(score)]
        axes.plot(np.full(len(finite), value), finite, ".", color=color, alpha=0.6)
        # A line leads to runs alone of which none diverged.
        means[value] = float(np.mean(finite)) if len(finite) == len(scores) else np.nan
        if len(finite) < len(scores):
            edge = {"transform": axes.get_xaxis_transform(), "clip_on": False}
            axes.plot(value, 1.0, "x", color=color, **edge)
    axes.plot(list(means), list(means.values()), color=color)
    if own in means:
        axes.plot(own, means[own], "o", ms=8, mfc="none", mec=BASELINE, mew=1.4)


BASELINE_MARK = {"marker": "|", "markersize": 9, "markeredgewidth": 1.8, "linestyle": "none"}
ORACLE_MARK = {"marker": "d", "markersize": 4, "markerfacecolor": "white", "linestyle": "none"}


@styled
def conditions_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw RMSE and SSIM of every condition beside those of guesses that need no network.

    Rows are scores as `ScoreTable.summary` gives them, with ``per_sample`` the same [sample], a
    ``label``, and a ``group`` whose heading they stand under, one after another. The dot is the
    score over all samples, the thick line spans half of the samples, the thin one nine in ten; the
    dashed line is the first row, which the others are compared with.
    """
    places, headings = _places(rows)
    figure = new_figure(WIDTH, 1.3 + ROW * (places[-1] + 1))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, score in zip(panels, ("rmse", "ssim"), strict=True):
        for place, row in zip(places, rows, strict=True):
            low, lower, upper, high = np.percentile(row["per_sample"][score], (5, 25, 75, 95))
            line = {"color": PREDICTION, "solid_capstyle": "butt", "zorder": 2}
            axes.plot((low, high), (place, place), linewidth=0.8, **line)
            axes.plot((lower, upper), (place, place), linewidth=3.2, alpha=0.45, **line)
            axes.plot(row[score], place, "o", color=PREDICTION, markersize=4, zorder=4)
            guesses = row["baseline"][score], row["oracle_1d"][score]
            axes.plot(guesses[0], place, color=BASELINE, zorder=3, **BASELINE_MARK)
            axes.plot(guesses[1], place, color=ORACLE, zorder=3, **ORACLE_MARK)
        axes.axvline(rows[0][score], color=PREDICTION, linestyle="dashed", linewidth=0.8, zorder=1)
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
    left, right = panels
    left.set_xlim(left=0)
    left.set_xlabel("RMSE (m/s), less is better")
    right.set_xlabel("SSIM, 1 is perfect")
    left.set_yticks(places, [row["label"] for row in rows])
    left.set_ylim(places[-1] + 0.8, places[0] - GAP)
    for group, place in headings:
        offset = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        look = {"ha": "right", "va": "center", "weight": "bold", "fontsize": 8}
        left.annotate(group, (0, place), (-4, 0), **offset, **look)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=3)
    return figure


def _places(rows: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[tuple[str, float]]]:
    """Return the height of each row, downward, and of each group's heading above its rows."""
    place, places, headings = -GAP - 1, [], []
    for group, members in groupby(rows, itemgetter("group")):
        place += GAP
        headings.append((group, place))
        for _ in members:
            place += 1
            places.append(place)
    return places, headings


def _legend() -> list[Line2D]:
    line = {"color": PREDICTION}
    return [
        Line2D([], [], marker="o", markersize=4, linestyle="none", label="all samples", **line),
        Line2D([], [], linewidth=3.2, alpha=0.45, label="half of the samples", **line),
        Line2D([], [], linewidth=0.8, label="nine in ten", **line),
        Line2D([], [], color=BASELINE, label="mean training model", **BASELINE_MARK),
        Line2D([], [], color=ORACLE, label="own lateral mean (oracle)", **ORACLE_MARK),
    ]
