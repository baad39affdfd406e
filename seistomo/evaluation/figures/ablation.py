"""Variants of one configuration compared: a row a variant, a ring a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seistomo.evaluation.figures.style import RUNS, WIDTH, new_figure, styled

ROW = 0.2
"""Height of a row, inches."""


@dataclass(frozen=True)
class AblationRow:
    """A variant.

    Attributes
    ----------
    label
        Its name.
    rmse, ssim
        Scores of its runs; RMSE in m/s.
    """

    label: str
    rmse: Sequence[float]
    ssim: Sequence[float]


@styled
def ablation_figure(methods: Mapping[str, Sequence[AblationRow]]) -> Figure:
    """Draw SSIM and RMSE of every variant; the first of each method is what others are held to.

    Rings are runs, the diamond is their mean, the bar spans a standard deviation to either side;
    the dashed line is the first variant's mean.

    Parameters
    ----------
    methods
        Variants by the method's name, from top to bottom; a colour a method.
    """
    labels = list(dict.fromkeys(row.label for rows in methods.values() for row in rows))
    figure = new_figure(WIDTH, 1.1 + ROW * len(labels) * max(1.0, 0.6 * len(methods)))
    panels = dict(zip(("ssim", "rmse"), figure.subplots(1, 2, sharey=True), strict=True))
    for number, (name, rows) in enumerate(methods.items()):
        shift = 0.6 * ((number + 0.5) / len(methods) - 0.5)
        color = RUNS[number % len(RUNS)]
        for metric, axes in panels.items():
            for row in rows:
                _draw(axes, labels.index(row.label) + shift, getattr(row, metric), color)
            first = float(np.mean(getattr(rows[0], metric)))
            axes.axvline(first, color=color, linestyle="dashed", linewidth=0.9, zorder=1)
        panels["ssim"].plot([], [], "D", markersize=5, color=color, label=name)
    panels["ssim"].set_yticks(range(len(labels)), labels)
    panels["ssim"].set_ylim(len(labels) - 0.4, -0.6)
    panels["ssim"].set_xlabel("SSIM, more is better")
    panels["rmse"].set_xlabel("RMSE (m/s), less is better")
    for axes in panels.values():
        axes.grid(visible=True)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    figure.legend(*panels["ssim"].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _draw(axes: Axes, place: float, values: Sequence[float], color: str) -> None:
    found = np.asarray(values, float)
    mean = float(found.mean())
    if len(found) > 1:
        reach = float(found.std(ddof=1))
        line = {"color": color, "linewidth": 4, "alpha": 0.3, "solid_capstyle": "butt"}
        axes.plot((mean - reach, mean + reach), (place, place), zorder=2, **line)
    ring = {"markerfacecolor": "white", "markeredgecolor": color, "markersize": 4}
    axes.plot(found, np.full(len(found), place), "o", zorder=3, **ring)
    axes.plot(mean, place, "D", color=color, markersize=5, zorder=4)
