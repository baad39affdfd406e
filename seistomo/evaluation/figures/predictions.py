"""Reference and predictions side by side, a row a sample (the SQGN paper's Figure 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.models import draw_section, fit_titles, label_axes, outline
from seistomo.evaluation.figures.style import (
    DIFFERENCE_MAP,
    SALT_OUTLINE,
    SPEED,
    TEXT,
    WIDTH,
    new_figure,
    styled,
)


@dataclass(frozen=True)
class Case:
    """One sample of the figure."""

    label: str  # what it is an example of, and which sample: "Best: sample 12, salt"
    reference: NDArray[np.float32]  # [depth, x], m/s
    predictions: Mapping[str, NDArray[np.float32]]  # by method, [depth, x], m/s
    ssim: Mapping[str, float]
    rmse: Mapping[str, float]  # m/s
    salt: NDArray[np.bool_]  # true salt [depth, x]


@styled
def predictions_figure(
    cases: Sequence[Case], depth: NDArray, x: NDArray, *, difference: bool = False
) -> Figure:
    """Draw a row a case: the reference, the predictions, and of a single one the difference.

    ``difference``: draw that of the last one, too, where there are several.

    All models have one colour scale, which spans the references and 98 percent of the predictions;
    all differences have another, symmetric about zero, which spans 99 percent of them. The outline
    is the true salt.
    """
    methods = list(cases[0].predictions)
    single, last = len(methods) == 1, methods[-1]
    difference = difference or single
    count = 1 + len(methods) + difference
    panel_width = min(0.86 / count, 0.24) * WIDTH
    panel_height = panel_width * len(depth) / len(x)
    height = 1.2 + len(cases) * (panel_height + 0.3)
    figure = new_figure(WIDTH, height, layout="compressed")
    grid = figure.subplots(len(cases), count, squeeze=False, sharex=True, sharey=True)
    references = np.stack([case.reference for case in cases])
    predicted = np.stack([model for case in cases for model in case.predictions.values()])
    low, high = np.percentile(predicted, (1, 99))
    limits = (min(references.min(), low), max(references.max(), high))
    scores = [
        [f"SSIM {case.ssim[name]:.2f}, RMSE {case.rmse[name]:.0f} m/s" for name in methods]
        for case in cases
    ]
    size = fit_titles([text for row in scores for text in row], 72 * panel_width)[1]
    label_size = fit_titles([case.label for case in cases], 72 * panel_width)[1]
    differences = [case.predictions[last] - case.reference for case in cases]
    reach = max(float(np.percentile(np.abs(differences), 99)), 1.0)
    for number, (row, case, error) in enumerate(zip(grid, cases, differences, strict=True)):
        image = draw_section(row[0], case.reference, depth, x, limits)
        row[0].set_title(case.label, fontsize=label_size)
        for axes, name, title in zip(row[1:], methods, scores[number], strict=False):
            draw_section(axes, case.predictions[name], depth, x, limits)
            axes.set_title(title, fontsize=size)
        if difference:
            shown = draw_section(row[-1], error, depth, x, (-reach, reach), DIFFERENCE_MAP)
            mean = f"{float(error.mean()):+.0f}".replace("-", "\N{MINUS SIGN}")
            row[-1].set_title(f"mean {mean} m/s")
        for axes in row:
            is_difference = difference and axes is row[-1]
            outline(axes, case.salt, depth, x, TEXT if is_difference else SALT_OUTLINE)
            label_axes(axes, x=number == len(cases) - 1, depth=axes is row[0])
    headings = ["Reference", *(["Prediction"] if single else methods)]
    headings = [*headings, "Difference"] if difference else headings
    head_columns(grid[0], *fit_titles(headings, 72 * panel_width))
    bar = {"location": "bottom", "aspect": 40, "pad": 0.01, "shrink": 0.9}
    extend = extend_of(predicted, limits)
    models = grid[:, :-1] if difference else grid
    figure.colorbar(image, ax=models, label=SPEED, extend=extend, **bar)
    if difference:
        name = "prediction" if single else last.lower()
        bar |= {"aspect": 20, "label": f"{name} minus reference (m/s)"}
        extend = extend_of(np.asarray(differences), (-reach, reach))
        figure.colorbar(shown, ax=grid[:, -1], extend=extend, **bar)
    return figure


def extend_of(values: NDArray, limits: tuple[float, float]) -> str:
    """Tell at which ends of a colour bar values lie beyond."""
    beyond = (bool(values.min() < limits[0]), bool(values.max() > limits[1]))
    return {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond]


def head_columns(row: NDArray, headings: Sequence[str], size: float) -> None:
    """Write a heading over each of the axes of the topmost row, above their own titles."""
    for axes, heading in zip(row, headings, strict=True):
        place = {"xytext": (0, 18), "xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(heading, (0.5, 1.0), ha="center", weight="bold", size=size, **place)
