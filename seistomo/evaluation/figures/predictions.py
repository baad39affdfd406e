"""Reference, prediction and difference side by side, a row a sample (the SQGN paper's Figure 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.sections import (
    color_bar,
    draw_section,
    head_columns,
    label_axes,
    outline,
)
from seistomo.evaluation.figures.style import (
    DIFFERENCE_MAP,
    SALT_OUTLINE,
    WIDTH,
    new_figure,
    styled,
)


@dataclass(frozen=True)
class Case:
    """One sample of the figure.

    Attributes
    ----------
    label
        What it is an example of, and which sample it is: "Best: sample 12, salt".
    reference, prediction
        Velocity [depth, x], m/s.
    ssim, rmse
        Scores of the prediction; RMSE in m/s.
    salt
        True salt [depth, x], or None.
    """

    label: str
    reference: NDArray[np.float32]
    prediction: NDArray[np.float32]
    ssim: float
    rmse: float
    salt: NDArray[np.bool_] | None = None


@styled
def predictions_figure(cases: Sequence[Case], depth: NDArray, x: NDArray) -> Figure:
    """Draw a row a case: reference, prediction, and prediction minus reference.

    Reference and prediction share one colour scale, which spans the reference and 98 percent
    of the prediction; the difference has its own, symmetric about zero and reaching its 99.5th
    percentile. The outline is the true salt in all three.

    Parameters
    ----------
    cases
        The samples, from top to bottom.
    depth, x
        Positions of the nodes, m.
    """
    panel_width = 0.25 * WIDTH
    panel_height = panel_width * len(depth) / len(x)
    figure = new_figure(WIDTH, 0.55 + len(cases) * (panel_height + 0.4), layout="compressed")
    rows = figure.subplots(len(cases), 3, squeeze=False, sharex=True, sharey=True)
    for number, (row, case) in enumerate(zip(rows, cases, strict=True)):
        _draw_case(row, case, depth, x)
        for column, axes in enumerate(row):
            label_axes(axes, x=number == len(cases) - 1, depth=column == 0)
    head_columns(rows[0], ("Reference", "Prediction", "Difference"))
    return figure


def _draw_case(row: NDArray, case: Case, depth: NDArray, x: NDArray) -> None:
    reference_axes, prediction_axes, difference_axes = row
    low, high = np.percentile(case.prediction, (1, 99))
    limits = min(case.reference.min(), low), max(case.reference.max(), high)
    draw_section(reference_axes, case.reference, depth, x, limits)
    image = draw_section(prediction_axes, case.prediction, depth, x, limits)
    below, above = case.prediction.min() < limits[0], case.prediction.max() > limits[1]
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[(below, above)]
    color_bar(prediction_axes, image, "m/s", extend)

    difference = case.prediction - case.reference
    reach = max(float(np.percentile(np.abs(difference), 99.5)), 1.0)
    image = draw_section(difference_axes, difference, depth, x, (-reach, reach), DIFFERENCE_MAP)
    beyond = np.abs(difference).max() > reach
    color_bar(difference_axes, image, "m/s", "both" if beyond else "neither")

    for axes in (reference_axes, prediction_axes):
        outline(axes, case.salt, depth, x, SALT_OUTLINE)
    outline(difference_axes, case.salt, depth, x, "#20262a")
    reference_axes.set_title(case.label)
    prediction_axes.set_title(f"SSIM {case.ssim:.2f}, RMSE {case.rmse:.0f} m/s")
    mean = f"{float(difference.mean()):+.0f}".replace("-", "\N{MINUS SIGN}")
    difference_axes.set_title(f"mean {mean} m/s")
