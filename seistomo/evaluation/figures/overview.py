"""A data set at a glance: models with the survey, and gathers of one of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.gathers import GATHERS_HEIGHT, draw_gathers
from seistomo.evaluation.figures.models import Survey, draw_models, models_height
from seistomo.evaluation.figures.style import WIDTH, new_figure, styled


@styled
def overview_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey],
    gathers: NDArray[np.float32],
    time: NDArray,
    shots: Sequence[int] | None = None,
    clip: float = 95.0,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw models (`models_figure`) above gathers of the first of them (`gathers_figure`).

    Parameters
    ----------
    velocity
        Models [sample, depth, x], m/s.
    depth, x, time
        Coordinates, m and s.
    labels, surveys
        One a model.
    gathers
        Records of the first model [source, receiver, time].
    shots, clip, limits
        As in the two functions named.
    """
    height = models_height(len(velocity), depth, x)
    figure = new_figure(WIDTH, height + GATHERS_HEIGHT)
    above, below = figure.subfigures(2, 1, height_ratios=[height, GATHERS_HEIGHT])
    draw_models(above, velocity, depth, x, labels, surveys, limits)
    draw_gathers(below, gathers, time, surveys[0], shots, clip, f"Gathers of sample {labels[0]}")
    return figure
