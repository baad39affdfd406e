"""Optimizers racing to a loss: validation loss and SSIM against optimizer time."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from seistomo.evaluation.figures.optimizers import AXES, PLAIN, STEPS
from seistomo.evaluation.figures.style import BASELINE, RUNS, WIDTH, new_figure, styled

Columns = Mapping[str, ArrayLike]
"""Columns of a run's history, one value an epoch."""
LOSS_UNIT = 1e8
# How far above the target the loss axis begins: first epochs would flatten all the rest.
HIGHEST = 3.0


@styled
def tomography_race_figure(methods: Mapping[str, Sequence[Columns]], target: float) -> Figure:
    """Draw loss and SSIM against optimizer time, a line a run, and where each meets the target.

    Parameters
    ----------
    methods
        Histories of the runs by the method's name, with ``seconds``, ``validation_loss`` in
        (m/s)² and ``ssim``; a colour a method.
    target
        Loss to reach, (m/s)², drawn dashed.
    """
    figure = new_figure(WIDTH, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for number, (name, runs) in enumerate(methods.items()):
        for repeat, run in enumerate(runs):
            color, label = RUNS[number % len(RUNS)], name if repeat == 0 else None
            _draw((upper, lower), run, target, color, label)
    upper.axhline(target / LOSS_UNIT, color=BASELINE, linestyle="dashed", linewidth=1.2, zorder=1)
    _scale_loss(upper, methods, target)
    upper.set_ylabel("Loss, validation (10⁸ (m/s)²)")
    lower.set_ylabel("SSIM, validation")
    lower.set_xlabel(AXES["seconds"])
    lower.set_xlim(left=0)
    lower.xaxis.set_major_locator(MaxNLocator(8, steps=STEPS))
    for axes in (upper, lower):
        axes.grid(visible=True)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def _draw(
    panels: tuple[Axes, Axes], run: Columns, target: float, color: str, label: str | None
) -> None:
    """Draw one run in the panels of loss and SSIM; dots are where it first meets the target."""
    upper, lower = panels
    seconds, loss, ssim = (
        np.asarray(run[name], float) for name in ("seconds", "validation_loss", "ssim")
    )
    style = {"color": color, "linewidth": 1.1, "alpha": 0.85}
    marker = "." if len(seconds) < 3 else None
    upper.plot(seconds, loss / LOSS_UNIT, label=label, marker=marker, **style)
    lower.plot(seconds, ssim, marker=marker, **style)
    reached = np.flatnonzero(loss <= target)
    if len(reached):
        first = reached[0]
        dot = {"color": color, "markersize": 5, "zorder": 4}
        upper.plot(seconds[first], loss[first] / LOSS_UNIT, "o", **dot)
        lower.plot(seconds[first], ssim[first], "o", **dot)


def _scale_loss(axes: Axes, methods: Mapping[str, Sequence[Columns]], target: float) -> None:
    losses = [
        np.asarray(run["validation_loss"], float) for runs in methods.values() for run in runs
    ]
    seen = np.concatenate([*losses, [target]])
    seen = seen[np.isfinite(seen)]
    top = min(1.05 * seen.max(), HIGHEST * target)
    axes.set_yscale("log")
    axes.set_ylim(0.95 * seen.min() / LOSS_UNIT, top / LOSS_UNIT)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7), numticks=30))
    axes.yaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_minor_locator(NullLocator())
