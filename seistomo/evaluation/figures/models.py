"""A sheet of velocity models with the survey drawn in."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from seistomo.evaluation.figures.sections import (
    RECEIVER_COLOR,
    RECEIVER_EDGE,
    SOURCE_COLOR,
    draw_section,
    draw_survey,
    edges,
    label_axes,
)
from seistomo.evaluation.figures.style import WIDTH, new_figure, styled
from seistomo.progress import counted

Survey = Mapping[str, NDArray]
# Font sizes of titles, points, and a letter's mean width as a part of them.
TITLE, SMALLEST_TITLE, LETTER = 9.0, 6.0, 0.58


@styled
def models_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw velocity models on one colour scale, each with its label and its survey.

    Parameters
    ----------
    velocity
        Models [sample, depth, x], m/s.
    depth, x
        Positions of the nodes, m.
    labels
        A title a model, such as its family.
    surveys
        A survey a model (`sections.draw_survey`), or None to leave them out.
    limits
        Ends of the colour scale, m/s; None: the extremes of the models shown.
    """
    figure = new_figure(WIDTH, models_height(len(velocity), depth, x))
    draw_models(figure, velocity, depth, x, labels, surveys, limits)
    return figure


def columns_for(count: int) -> int:
    """Return how many models stand side by side: nearly square sheets, six at most."""
    return min(count, 6, max(3, int(np.ceil(count**0.5))))


def models_height(count: int, depth: NDArray, x: NDArray) -> float:
    """Return the height of a sheet of ``count`` models, inches."""
    columns = columns_for(count)
    rows = -(-count // columns)
    (left, right), (top, bottom) = edges(x), edges(depth)
    panel = panel_width(columns)
    return 0.75 + rows * (panel * (bottom - top) / (right - left) + 0.3)


def panel_width(columns: int) -> float:
    """Return about how wide one of ``columns`` models is, inches."""
    return (WIDTH - 1.4) / columns - 0.08


def fit_titles(labels: Sequence[str], width: float) -> tuple[list[str], float]:
    """Return titles and the font size (points) at which they stay within ``width`` points.

    All have one size; what is too long even for the smallest is cut.
    """
    longest = max(map(len, labels))
    size = min(TITLE, max(SMALLEST_TITLE, width / (LETTER * longest)))
    most = int(width / (LETTER * size) + 1e-6)
    titles = [label if len(label) <= most else label[: most - 1] + "…" for label in labels]
    return titles, size


def draw_models(
    figure: Figure | SubFigure,
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey] | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw what `models_figure` describes into a figure or a part of one."""
    columns = columns_for(len(velocity))
    rows = -(-len(velocity) // columns)
    limits = limits or (float(velocity.min()), float(velocity.max()))
    titles, size = fit_titles(labels, 72 * panel_width(columns))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(velocity):
            axes.set_axis_off()
            continue
        image = draw_section(axes, velocity[number], depth, x, limits)
        axes.set_title(titles[number], fontsize=size, pad=10 if columns <= 3 else 6)
        if surveys is not None:
            draw_survey(axes, surveys[number], 72 * panel_width(columns))
        lowest = number + columns >= len(velocity)
        label_axes(axes, x=lowest, depth=number % columns == 0)
    figure.colorbar(image, ax=grid, label="P-wave velocity (m/s)", fraction=0.04, pad=0.02)
    if surveys is not None:
        _survey_legend(figure, surveys[0])


def _survey_legend(figure: Figure | SubFigure, survey: Survey) -> None:
    sources, receivers = len(survey["source_x"]), len(survey["receiver_x"])
    marks = [
        Line2D([], [], color=SOURCE_COLOR, marker="*", ms=8, mew=0, linestyle="none"),
        Line2D(
            [], [], color=RECEIVER_COLOR, marker="v", ms=5, mec=RECEIVER_EDGE, mew=0.6, ls="none"
        ),
    ]
    labels = [counted(sources, "source"), counted(receivers, "receiver")]
    figure.legend(marks, labels, loc="outside lower center", ncols=2)
