"""Loss and SSIM against epochs and seconds, of one run or several (the SQGN paper's Figure 2)."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import (
    BASELINE,
    PREDICTION,
    RUNS,
    VALIDATION,
    WIDTH,
    new_figure,
    styled,
)

History = Mapping[str, NDArray]
"""Columns of a run's ``history.csv``, one value an epoch."""


@styled
def convergence_figure(
    histories: Mapping[str, History],
    baseline: Mapping[str, float] | None = None,
    baseline_label: str = "mean training model",
) -> Figure:
    """Draw loss (Eq. 9, logarithmic) and validation SSIM, against epochs and against seconds.

    Parameters
    ----------
    histories
        Runs by name. One run shows training and validation loss in two colours; with several
        each has its colour, the training loss dotted.
    baseline
        ``loss`` in (m/s)² and ``ssim`` of the mean training model, drawn as lines.
    baseline_label
        What the lines are called in the legend.
    """
    single = len(histories) == 1
    legend_rows = 1 if single else 1 + len(histories) // 4
    figure = new_figure(WIDTH, 4.6 + 0.2 * legend_rows)
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for number, (name, history) in enumerate(histories.items()):
        color = RUNS[number % len(RUNS)]
        train = (PREDICTION, "solid", "training") if single else (color, (0, (1, 1)), None)
        valid = (VALIDATION, "solid", "validation") if single else (color, "solid", name)
        for column, axis in enumerate(("epoch", "seconds")):
            _line(grid[0, column], history, axis, "train_loss", *train)
            _line(grid[0, column], history, axis, "validation_loss", *valid)
            _line(grid[1, column], history, axis, "ssim", *valid)
            if single:
                _mark_best(grid[0, column], history, axis)
    for loss_axes, ssim_axes in grid.T:
        loss_axes.set_yscale("log")
        if baseline is not None:
            style = {"color": BASELINE, "linestyle": "dashed", "linewidth": 1.2}
            loss_axes.axhline(baseline["loss"], label=baseline_label, **style)
            ssim_axes.axhline(baseline["ssim"], **style)
        for axes in (loss_axes, ssim_axes):
            axes.grid(visible=True, which="both" if axes is loss_axes else "major")
    grid[0, 0].set_ylabel("Loss, Eq. 9 ((m/s)²)")
    grid[1, 0].set_ylabel("SSIM, validation (1 is perfect)")
    grid[1, 0].set_xlabel("Epoch")
    grid[1, 1].set_xlabel("Optimizer time (s)")
    _legend(figure, grid[0, 0], dotted=not single)
    return figure


def _line(
    axes: Axes,
    history: History,
    against: str,
    column: str,
    color: str,
    style: object,
    label: str | None,
) -> None:
    values = np.asarray(history[column], dtype=float)
    marker = "o" if np.isfinite(values).sum() < 3 else None
    axes.plot(
        history[against], values, color=color, linestyle=style, label=label, marker=marker, ms=3
    )


def _mark_best(axes: Axes, history: History, against: str) -> None:
    """Mark the epoch with the lowest validation loss, the one that ``best.pt`` keeps."""
    values = np.asarray(history["validation_loss"], dtype=float)
    if np.isfinite(values).any():
        best = int(np.nanargmin(values))
        axes.plot(
            history[against][best],
            values[best],
            linestyle="none",
            marker="o",
            ms=6,
            mfc="white",
            mec=VALIDATION,
            mew=1.5,
            label="best epoch",
        )


def _legend(figure: Figure, axes: Axes, dotted: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if dotted:
        handles += axes.plot([], [], color=BASELINE, linestyle=(0, (1, 1)))
        labels.append("dotted: training")
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 4))
