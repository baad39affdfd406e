"""One shot as several data sets hold it, beside the model: what an option does to the records."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.gathers import draw_shot, mark_source
from seistomo.evaluation.figures.models import Survey, fit_titles
from seistomo.evaluation.figures.sections import draw_section, draw_survey, label_axes
from seistomo.evaluation.figures.style import WIDTH, new_figure, styled

HEIGHT = 3.4
MODEL_WIDTH, SHOT_WIDTH = 1.9, 1.5
"""Shares of the width of the model and of each shot, and about their inches."""


@styled
def shots_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    records: Sequence[NDArray[np.float32]],
    times: Sequence[NDArray],
    surveys: Sequence[Survey],
    titles: Sequence[str],
    clip: float = 95.0,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw a model, and beside it one shot over it as recorded several times, on one grey scale.

    Parameters
    ----------
    velocity
        The model [depth, x], m/s.
    depth, x
        Positions of its nodes, m.
    records
        The shot [receiver, time], once a data set.
    times
        Times of the samples, s, of each.
    surveys
        Source and receivers of each, ``source_x source_depth receiver_x receiver_depth``, m.
    titles
        What stands above each.
    clip
        Percentile of all absolute amplitudes at which the grey scale ends.
    limits
        Ends of the colour scale, m/s; None: the model's extremes.
    """
    width = MODEL_WIDTH + SHOT_WIDTH * len(records)
    figure = new_figure(max(WIDTH, width), HEIGHT)
    left, right = figure.subfigures(1, 2, width_ratios=[MODEL_WIDTH, width - MODEL_WIDTH])
    axes = left.subplots()
    limits = limits or (float(velocity.min()), float(velocity.max()))
    image = draw_section(axes, velocity, depth, x, limits)
    draw_survey(axes, surveys[0], 72 * (MODEL_WIDTH - 0.6))
    label_axes(axes)
    left.colorbar(
        image, ax=axes, label="P-wave velocity (m/s)", location="bottom", pad=0.03, aspect=25
    )

    sizes = [np.abs(shot).ravel() for shot in records]
    reach = float(np.percentile(np.concatenate(sizes), clip)) or max(map(np.max, sizes)) or 1.0
    panels = right.subplots(1, len(records), squeeze=False, sharey=True)[0]
    names, size = fit_titles(titles, 72 * (SHOT_WIDTH - 0.1))
    for panel, shot, time, survey, name in zip(panels, records, times, surveys, names, strict=True):
        image = draw_shot(panel, shot, time, survey["receiver_x"], reach)
        mark_source(panel, float(survey["source_x"][0]), time[0])
        panel.set_title(name, fontsize=size, pad=8)
        panel.set_xlabel("Receiver x (m)")
        panel.locator_params(axis="x", nbins=3)
    panels[0].set_ylabel("Time (s)")
    label = f"pressure, one scale, clipped at the {clip:g}th percentile"
    right.colorbar(image, ax=list(panels), label=label, location="bottom", extend="both", aspect=50)
    return figure
