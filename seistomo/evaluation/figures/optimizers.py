"""Optimizers compared: learning curves, sensitivity, races, and runs that get stuck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatterMathtext,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from numpy.typing import ArrayLike, NDArray

from seistomo.evaluation.figures.style import (
    BASELINE,
    PREDICTION,
    RUNS,
    VALIDATION,
    WIDTH,
    new_figure,
    styled,
)

Columns = Mapping[str, ArrayLike]
"""Columns of a run's history, one value an epoch."""

LOSS, ACCURACY = "#0072b2", "#c1272d"
"""Blue and red, as in the SQGN paper's Figure 1."""
AXES = {"epoch": "Epoch", "seconds": "Optimizer time (s)"}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
STEPS = (1, 2, 5, 10)
SHOWN_ACCURACIES = (98, 95, 90, 80, 50, 10)
"""Ticks of the accuracy axis that is stretched towards 100, %."""
LOWEST_ACCURACY = 80.0
"""Where the accuracy axes of learning curves begin unless a run ends lower, %."""


@styled
def learning_curves_figure(
    methods: Mapping[str, Sequence[Columns]], against: str = "epoch"
) -> Figure:
    """Draw cross-entropy (blue) and accuracy (red) of all repeats, a panel a method.

    Thiele et al. (2021), Figure 1.

    Parameters
    ----------
    methods
        Histories of the repeats by the method's name, with ``test_loss``, ``test_accuracy``
        (0 to 1) and the column to draw against.
    against
        ``epoch`` or ``seconds``.
    """
    columns = 1 if len(methods) == 1 else 2
    rows = -(-len(methods) // columns)
    figure = new_figure(WIDTH if columns == 2 else 0.6 * WIDTH, 2.5 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False)
    losses, lowest = _loss_limits(methods), _lowest_accuracy(methods)
    for number, (axes, (name, runs)) in enumerate(zip(grid.flat, methods.items(), strict=False)):
        right = _curves(axes, runs, against)
        axes.set_title(name)
        axes.set_ylim(losses)
        right.set_ylim(lowest, 100)
        if number % columns == 0:
            axes.set_ylabel("Cross-entropy, test", color=LOSS)
        if number % columns == columns - 1 or number == len(methods) - 1:
            right.set_ylabel("Accuracy (%), test", color=ACCURACY)
        if number >= len(methods) - columns:
            axes.set_xlabel(AXES[against])
    for axes in grid.flat[len(methods) :]:
        axes.set_axis_off()
    return figure


def _curves(axes: Axes, runs: Sequence[Columns], against: str) -> Axes:
    """Draw one panel; return its axes of accuracy."""
    right = axes.twinx()
    for run in runs:
        at = np.asarray(run[against], float)
        marker = "." if len(at) < 3 else None
        style = {"linewidth": 1.0, "alpha": 0.85, "marker": marker}
        axes.plot(at, np.asarray(run["test_loss"], float), color=LOSS, **style)
        right.plot(at, 100 * np.asarray(run["test_accuracy"], float), color=ACCURACY, **style)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True)
    axes.set_xlim(left=0)
    if against == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=True))
    axes.tick_params(axis="y", labelcolor=LOSS)
    right.tick_params(axis="y", labelcolor=ACCURACY)
    right.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS, integer=True))
    return right


def _all(methods: Mapping[str, Sequence[Columns]], column: str) -> NDArray[np.float64]:
    values = [np.asarray(run[column], float) for runs in methods.values() for run in runs]
    joined = np.concatenate(values)
    return joined[np.isfinite(joined)]


def _loss_limits(methods: Mapping[str, Sequence[Columns]]) -> tuple[float, float]:
    losses = _all(methods, "test_loss")
    # Raw pixels begin at a loss of 80: an epoch of that would flatten all the rest.
    return 0.85 * losses.min(), min(1.2 * losses.max(), 3.0)


def _lowest_accuracy(methods: Mapping[str, Sequence[Columns]]) -> float:
    ends = [
        100 * np.asarray(run["test_accuracy"], float)[-1] for r in methods.values() for run in r
    ]
    return LOWEST_ACCURACY if min(ends) > LOWEST_ACCURACY else 0.0


@dataclass(frozen=True)
class SensitivityCurve:
    """Accuracy against one option.

    Attributes
    ----------
    title
        Which optimizer and option.
    accuracy
        Accuracies (0 to 1) of the repeats by the option's value.
    baseline
        The option's usual value.
    """

    title: str
    accuracy: Mapping[float, Sequence[float]]
    baseline: float


@styled
def sensitivity_figure(curves: Sequence[SensitivityCurve]) -> Figure:
    """Draw accuracy against several options over decades, a panel each.

    Repeats are dots, their mean a line, the baseline's value a ring. The accuracy axis is
    logarithmic in the share of wrong answers, so that 97 and 98 % can be told apart.
    """
    columns = min(len(curves), 4)
    rows = -(-len(curves) // columns)
    figure = new_figure(WIDTH, 2.1 * rows + 0.2)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(curves):
            axes.set_axis_off()
            continue
        _sensitivity_panel(axes, curves[number])
        if number % columns == 0:
            axes.set_ylabel("Accuracy (%), test")
    return figure


def _sensitivity_panel(axes: Axes, curve: SensitivityCurve) -> None:
    color = VALIDATION if curve.title.startswith("Adam") else PREDICTION
    values = list(curve.accuracy)
    errors = [
        np.clip(100 - 100 * np.asarray(found), 0.1, None) for found in curve.accuracy.values()
    ]
    means = [float(found.mean()) for found in errors]
    axes.plot(values, means, color=color)
    for value, found in zip(values, errors, strict=True):
        axes.plot(np.full(len(found), value), found, ".", color=color, alpha=0.6)
    if curve.baseline in curve.accuracy:
        mean = means[values.index(curve.baseline)]
        axes.plot(curve.baseline, mean, "o", ms=8, mfc="none", mec=BASELINE, mew=1.4)
    axes.set_title(curve.title)
    axes.set_xscale("log")
    _mark_values(axes, values)
    axes.set_yscale("log")
    axes.set_ylim(95, 1.2)
    axes.yaxis.set_major_locator(FixedLocator([100 - shown for shown in SHOWN_ACCURACIES]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 - error:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True)


def _mark_values(axes: Axes, values: Sequence[float]) -> None:
    """Put ticks at decades, or where there is but one of them at the values."""
    powers = np.arange(np.ceil(np.log10(min(values))), np.floor(np.log10(max(values))) + 1)
    ticks = [float(f"{10.0**power:g}") for power in powers] if len(powers) > 1 else values
    plain, ticks = len(powers) <= 4, ticks[:: 2 if len(powers) > 5 else 1]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(PLAIN if plain else LogFormatterMathtext())
    axes.xaxis.set_minor_formatter(NullFormatter())


@styled
def race_figure(methods: Mapping[str, Sequence[Columns]], target: float) -> Figure:
    """Draw accuracy against optimizer time, a colour a method, and where each meets the target.

    Parameters
    ----------
    methods
        Histories of the repeats by the method's name.
    target
        Accuracy to reach, 0 to 1.
    """
    figure = new_figure(WIDTH, 3.6)
    axes, lowest, seen = figure.subplots(), 100 * target - 12, []
    for number, (name, runs) in enumerate(methods.items()):
        color = RUNS[number % len(RUNS)]
        for repeat, run in enumerate(runs):
            seconds = np.asarray(run["seconds"], float)
            accuracy = 100 * np.asarray(run["test_accuracy"], float)
            label = name if repeat == 0 else None
            axes.plot(seconds, accuracy, color=color, linewidth=1.1, alpha=0.85, label=label)
            seen.extend(seconds[accuracy >= lowest])
            reached = np.flatnonzero(accuracy >= 100 * target)
            if len(reached):
                axes.plot(seconds[reached[0]], accuracy[reached[0]], "o", color=color, ms=4)
    axes.axhline(100 * target, color=BASELINE, linestyle="dashed", linewidth=1.2)
    axes.set_ylim(lowest, min(100, 100 * target + 1.5))
    axes.set_xscale("log")
    axes.set_xlim(left=0.8 * min(seen, default=1))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=20))
    axes.xaxis.set_major_formatter(PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(AXES["seconds"])
    axes.set_ylabel("Accuracy (%), test")
    axes.grid(visible=True)
    axes.legend(loc="lower right")
    return figure


@styled
def stuck_figure(accuracies: Mapping[str, Sequence[float]]) -> Figure:
    """Draw how many runs ended at which accuracy, a row a variant.

    Parameters
    ----------
    accuracies
        Accuracies (0 to 1) of the runs by the variant's name.
    """
    figure = new_figure(WIDTH, 1.7 * len(accuracies) + 0.3)
    grid = figure.subplots(len(accuracies), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    bins = np.arange(0, 101, 2)
    for number, (axes, (name, values)) in enumerate(zip(grid, accuracies.items(), strict=True)):
        axes.hist(100 * np.asarray(values, float), bins, color=RUNS[number % len(RUNS)])
        axes.set_axisbelow(True)
        axes.set_title(f"{name}, {len(values)} runs")
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter(PLAIN)
        axes.set_ylabel("Runs")
        axes.set_xlim(0, 100)
        axes.grid(visible=True)
    grid[-1].set_xlabel("Accuracy (%), test")
    return figure
