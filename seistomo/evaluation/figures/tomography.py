"""Optimizers on the tomography problem: the SQGN paper's Figures 2 and 3."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from seistomo.evaluation.figures.optimizers import ACCURACY, AXES, LOSS, PLAIN, STEPS
from seistomo.evaluation.figures.sections import (
    color_bar,
    draw_section,
    head_columns,
    label_axes,
    outline,
)
from seistomo.evaluation.figures.style import SALT_OUTLINE, WIDTH, new_figure, styled

Columns = Mapping[str, ArrayLike]
"""Columns of a run's history, one value an epoch."""
LOSS_UNIT = 1e8


@styled
def tomography_curves_figure(
    methods: Mapping[str, Sequence[Columns]],
    against: str = "epoch",
    baseline: Mapping[str, float] | None = None,
) -> Figure:
    """Draw validation loss (blue) and SSIM (red) of all repeats, a panel a method.

    Thiele et al. (2021), Figure 2. All panels share their axes, so that curves can be compared.

    Parameters
    ----------
    methods
        Histories of the repeats by the method's name, with ``validation_loss`` in (m/s)²,
        ``ssim`` and the column to draw against.
    against
        ``epoch`` or ``seconds``.
    baseline
        ``loss`` in (m/s)² and ``ssim`` of the mean training model, drawn dashed.
    """
    columns = 1 if len(methods) == 1 else 2
    rows = -(-len(methods) // columns)
    figure = new_figure(WIDTH if columns == 2 else 0.6 * WIDTH, 2.4 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    limits = _limits(methods, baseline)
    reach = max(float(np.max(run[against])) for runs in methods.values() for run in runs)
    for number, (axes, (name, runs)) in enumerate(zip(grid.flat, methods.items(), strict=False)):
        right = _curves(axes, runs, against, baseline)
        axes.set_title(name)
        axes.set_xlim(0, 1.02 * reach)
        axes.set_ylim(limits[0])
        right.set_ylim(limits[1])
        _label(axes, right, number, columns, len(methods), against)
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    return figure


def _label(axes: Axes, right: Axes, number: int, columns: int, count: int, against: str) -> None:
    """Label the outer axes; inner ones keep their ticks alone."""
    first, last = number % columns == 0, number % columns == columns - 1 or number == count - 1
    if first:
        axes.set_ylabel("Loss, validation (10⁸ (m/s)²)", color=LOSS)
    if last:
        right.set_ylabel("SSIM, validation", color=ACCURACY)
    axes.tick_params(labelleft=first)
    right.tick_params(labelright=last)
    if number >= count - columns:
        axes.set_xlabel(AXES[against])


def _curves(
    axes: Axes, runs: Sequence[Columns], against: str, baseline: Mapping[str, float] | None
) -> Axes:
    """Draw one panel; return its axes of SSIM."""
    right = axes.twinx()
    for run in runs:
        at = np.asarray(run[against], float)
        style = {"linewidth": 1.0, "alpha": 0.85, "marker": "." if len(at) < 3 else None}
        losses = np.asarray(run["validation_loss"], float) / LOSS_UNIT
        axes.plot(at, losses, color=LOSS, **style)
        right.plot(at, np.asarray(run["ssim"], float), color=ACCURACY, **style)
    if baseline is not None:
        style = {"linestyle": "dashed", "linewidth": 1.0, "alpha": 0.7, "zorder": 1}
        axes.axhline(baseline["loss"] / LOSS_UNIT, color=LOSS, **style)
        right.axhline(baseline["ssim"], color=ACCURACY, **style)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7), numticks=20))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=against == "epoch"))
    axes.tick_params(axis="y", labelcolor=LOSS)
    right.tick_params(axis="y", labelcolor=ACCURACY)
    right.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    return right


def _limits(
    methods: Mapping[str, Sequence[Columns]], baseline: Mapping[str, float] | None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of the loss, in its unit on the axis, and of the SSIM."""
    losses, ssim = _all(methods, "validation_loss") / LOSS_UNIT, _all(methods, "ssim")
    top = losses.max()
    if baseline is not None:
        level = baseline["loss"] / LOSS_UNIT
        # A run that leaps far above the mean model must not flatten all the others.
        top, losses = min(max(top, level), 3 * level), np.append(losses, level)
        ssim = np.append(ssim, baseline["ssim"])
    low, high = float(ssim.min()), float(ssim.max())
    margin = max(0.05 * (high - low), 0.01)
    return (0.93 * float(losses.min()), 1.08 * top), (low - margin, high + margin)


def _all(methods: Mapping[str, Sequence[Columns]], column: str) -> NDArray[np.float64]:
    values = [np.asarray(run[column], float) for runs in methods.values() for run in runs]
    joined = np.concatenate(values)
    return joined[np.isfinite(joined)]


@dataclass(frozen=True)
class Comparison:
    """One sample as several methods predict it.

    Attributes
    ----------
    label
        Which sample it is.
    reference
        Velocity [depth, x], m/s.
    predictions
        Velocity [depth, x] by method, m/s.
    ssim, rmse
        Scores of each prediction; RMSE in m/s.
    salt
        True salt [depth, x].
    """

    label: str
    reference: NDArray[np.float32]
    predictions: Mapping[str, NDArray[np.float32]]
    ssim: Mapping[str, float]
    rmse: Mapping[str, float]
    salt: NDArray[np.bool_]


@styled
def comparison_figure(cases: Sequence[Comparison], depth: NDArray, x: NDArray) -> Figure:
    """Draw a row a sample: the reference, then each method's prediction.

    Thiele et al. (2021), Figure 3. A row has one colour scale, that of its reference; the
    outline is the true salt.

    Parameters
    ----------
    cases
        The samples from top to bottom; all by the same methods.
    depth, x
        Positions of the nodes, m.
    """
    methods = list(cases[0].predictions)
    panel_width = 0.82 * WIDTH / (1 + len(methods))
    panel_height = panel_width * len(depth) / len(x)
    figure = new_figure(WIDTH, 0.6 + len(cases) * (panel_height + 0.35), layout="compressed")
    grid = figure.subplots(len(cases), 1 + len(methods), squeeze=False, sharex=True, sharey=True)
    for number, (row, case) in enumerate(zip(grid, cases, strict=True)):
        _draw_case(row, case, depth, x)
        for column, axes in enumerate(row):
            label_axes(axes, x=number == len(cases) - 1, depth=column == 0)
    head_columns(grid[0], ("Reference", *methods))
    return figure


def _draw_case(row: NDArray, case: Comparison, depth: NDArray, x: NDArray) -> None:
    limits = float(case.reference.min()), float(case.reference.max())
    image = draw_section(row[0], case.reference, depth, x, limits)
    row[0].set_title(case.label)
    low, high = limits
    for axes, (name, prediction) in zip(row[1:], case.predictions.items(), strict=True):
        image = draw_section(axes, prediction, depth, x, limits)
        axes.set_title(f"SSIM {case.ssim[name]:.2f}, {case.rmse[name]:.0f} m/s")
        low, high = min(low, prediction.min()), max(high, prediction.max())
    for axes in row:
        outline(axes, case.salt, depth, x, SALT_OUTLINE)
    beyond = (low < limits[0], high > limits[1])
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond]
    color_bar(row[-1], image, "m/s", extend)
