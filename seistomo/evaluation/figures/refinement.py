"""What an inversion did: its misfit on the way, and scores before and after."""

from collections.abc import Mapping, Sequence

import numpy as np
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

MOST_LEGEND = 6
"""Stages that the legend names."""


@styled
def inversion_figure(
    histories: Sequence[Mapping[str, NDArray]],
    scores: Mapping[str, tuple[NDArray, NDArray]],
) -> Figure:
    """Draw the misfit of each sample against solves of the wave equation, and scores after/before.

    ``histories`` are each sample's ``stage``, ``frequency`` (Hz), ``misfit`` and ``solves``
    [iteration]; ``scores`` are before and after, [sample] each, by name with its unit.
    """
    figure = new_figure(WIDTH, 3.0)
    first, *others = figure.subplots(
        1, 1 + len(scores), width_ratios=[1.5, *[1] * len(scores)], squeeze=False
    )[0]
    named = {}
    for history in histories:
        for stage in np.unique(history["stage"]):
            part = history["stage"] == stage
            label = f"{history['frequency'][part][0]:.3g} Hz"
            color = RUNS[int(stage - 1) % len(RUNS)]
            (line,) = first.plot(
                history["solves"][part],
                history["misfit"][part],
                color=color,
                linewidth=0.9,
                alpha=0.8,
                marker="." if part.sum() == 1 else None,
            )
            named.setdefault(label, line)
    first.set_yscale("log")
    first.set_xlim(left=0)
    first.set_xlabel("Wave equations solved (whole survey)")
    first.set_ylabel("Misfit in the stage's band")
    first.grid(visible=True)
    entries = list(named.items())[:MOST_LEGEND]
    first.legend(
        [line for _, line in entries], [name for name, _ in entries], title="low-pass", fontsize=7
    )
    for axes, (name, (before, after)) in zip(others, scores.items(), strict=True):
        higher = name.startswith("SSIM")
        better = after > before if higher else after < before
        for which, color, word in ((better, PREDICTION, "better"), (~better, VALIDATION, "worse")):
            label = f"{word}: {np.count_nonzero(which)}"
            axes.plot(before[which], after[which], "o", markersize=3, color=color, label=label)
        ends = min(before.min(), after.min()), max(before.max(), after.max())
        room = 0.05 * (ends[1] - ends[0] or 1.0)
        ends = ends[0] - room, ends[1] + room
        axes.plot(ends, ends, color=BASELINE, linewidth=0.8, linestyle="dashed", zorder=0)
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.set_aspect("equal")
        axes.locator_params(nbins=4)
        axes.set_title(name)
        axes.set_xlabel("Start")
        axes.set_ylabel("Refined")
        axes.legend(loc="lower right" if higher else "upper left", fontsize=7)
    return figure
