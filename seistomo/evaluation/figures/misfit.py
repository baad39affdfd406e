"""How well predicted models explain the gathers: shots side by side, misfit by error and offset."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.gathers import ROW_HEIGHT, draw_shot, reach_of
from seistomo.evaluation.figures.scores import LOOKS
from seistomo.evaluation.figures.style import BASELINE, PLAIN, WIDTH, new_figure, styled

if TYPE_CHECKING:
    from seistomo.evaluation.misfit import Example

LEAST = 1e-6
"""What is smaller is drawn as this: axes are logarithmic."""
Pair = tuple[NDArray, NDArray]


@styled
def misfit_gathers_figure(
    cases: Sequence[tuple[str, "Example"]], time: NDArray, baseline: str = "mean model"
) -> Figure:
    """Draw a shot a row: recorded, predicted, difference, and that of what ``baseline`` names.

    A row's grey scale ends at the 98th percentile of what was recorded; ``time`` in s.
    """
    columns = ("recorded", "over the result", "difference", f"difference, {baseline}")
    figure = new_figure(WIDTH, 0.9 * ROW_HEIGHT * len(cases))
    for part, (title, shots) in zip(
        figure.subfigures(len(cases), 1, squeeze=False)[:, 0], cases, strict=True
    ):
        part.suptitle(title, fontsize="medium", weight="bold")
        reach = reach_of(shots.observed, 98.0)
        difference = shots.predicted - shots.observed
        records = (shots.observed, shots.predicted, difference, shots.baseline - shots.observed)
        grid = part.subplots(1, len(columns), sharey=True)
        for axes, name, record in zip(grid, columns, records, strict=True):
            image = draw_shot(axes, record, time, shots.survey, shots.source, reach)
            axes.set_title(name, pad=8)
            axes.locator_params(axis="x", nbins=3)
        grid[0].set_ylabel("Time (s)")
        part.colorbar(image, ax=grid, label="pressure", extend="both", fraction=0.04, pad=0.02)
    return figure


@styled
def misfit_figure(prediction: Pair, baseline: Pair, rank: float | None) -> Figure:
    """Draw data misfit against RMSE, m/s, each [sample], of predictions and the mean model."""
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    for name, (misfit, rmse) in (("baseline", baseline), ("prediction", prediction)):
        label, color, _ = LOOKS[name]
        if name == "prediction" and rank is not None:
            label += f", rank correlation {rank:.2f}"
        axes.plot(misfit.clip(LEAST), rmse, ".", color=color, label=label, alpha=0.6, mew=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(PLAIN)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Data misfit, far traces (0 explains all)")
    axes.set_ylabel("RMSE (m/s)")
    axes.grid(visible=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure


@styled
def misfit_offset_figure(offsets: Mapping[str, NDArray], near: float) -> Figure:
    """Draw data misfit against offset, m: ``from``, ``to`` and a column for each candidate."""
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    middle = (np.asarray(offsets["from"]) + np.asarray(offsets["to"])) / 2
    for name, column in (("prediction", "data_misfit"), ("baseline", "baseline_data_misfit")):
        label, color, style = LOOKS[name]
        misfit = np.asarray(offsets[column])
        axes.plot(middle, misfit.clip(LEAST), color=color, linestyle=style, label=label)
    axes.axvline(near, color=BASELINE, linestyle="dotted", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set_xlim(left=0)
    axes.set_xlabel("Offset (m)")
    axes.set_ylabel("Data misfit")
    axes.grid(visible=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure
