"""Reference and predictions side by side, a row a sample (the SQGN paper's Figure 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Colormap
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
    headings = ["Reference", *(["Prediction"] if single else methods)]
    rows = [
        [
            (case.label, case.reference),
            *(
                (f"SSIM {case.ssim[name]:.2f}, RMSE {case.rmse[name]:.0f} m/s", model)
                for name, model in case.predictions.items()
            ),
        ]
        for case in cases
    ]
    errors = [case.predictions[last] - case.reference for case in cases]
    if single or difference:
        headings.append("Difference")
        for row, error in zip(rows, errors, strict=True):
            mean = f"{float(error.mean()):+.0f}".replace("-", "\N{MINUS SIGN}")
            row.append((f"mean {mean} m/s", error))
    reach = max(float(np.percentile(np.abs(errors), 99)), 1.0)
    label = f"{'prediction' if single else last.lower()} minus reference (m/s)"
    scale = (DIFFERENCE_MAP, (-reach, reach), label)
    return draw_cases(cases, rows, headings, 1 + len(methods), depth, x, scale)


def draw_cases(
    cases: Sequence[Case],
    rows: Sequence[Sequence[tuple[str, NDArray]]],
    headings: Sequence[str],
    speeds: int,
    depth: NDArray,
    x: NDArray,
    scale: tuple[Colormap, tuple[float, float], str],
) -> Figure:
    """Draw a row of titled sections [depth, x] a case, under headings.

    The first is the reference. It and the others of the first ``speeds`` share the scale of speeds;
    those after them have colour map, limits and label of ``scale``.
    """
    count = len(headings)
    width = min(0.86 / count, 0.24) * WIDTH
    height = 1.2 + len(rows) * (width * len(depth) / len(x) + 0.3)
    figure = new_figure(WIDTH, height, layout="compressed")
    grid = figure.subplots(len(rows), count, squeeze=False, sharex=True, sharey=True)
    predicted = np.stack([section for row in rows for _, section in row[1:speeds]])
    low, high = np.percentile(predicted, (1, 99))
    references = [case.reference for case in cases]
    limits = (min(np.min(references), low), max(np.max(references), high))
    sizes = [
        fit_titles([title for title, _ in column], 72 * width)[1]
        for column in zip(*rows, strict=True)
    ]
    for number, (axes_row, row, case) in enumerate(zip(grid, rows, cases, strict=True)):
        for place, (axes, (title, section)) in enumerate(zip(axes_row, row, strict=True)):
            if place < speeds:
                image = draw_section(axes, section, depth, x, limits)
            else:
                other = draw_section(axes, section, depth, x, scale[1], scale[0])
            axes.set_title(title, fontsize=sizes[place])
            outline(axes, case.salt, depth, x, SALT_OUTLINE if place < speeds else TEXT)
            label_axes(axes, x=number == len(rows) - 1, depth=place == 0)
    names, size = fit_titles(headings, 72 * width)
    for axes, name in zip(grid[0], names, strict=True):
        # Above the titles of the topmost row.
        offset = {"xytext": (0, 18), "xycoords": "axes fraction", "textcoords": "offset points"}
        axes.annotate(name, (0.5, 1.0), ha="center", weight="bold", size=size, **offset)
    bars = [(grid[:, :speeds], image, SPEED, predicted, limits)]
    if count > speeds:
        others = np.stack([section for row in rows for _, section in row[speeds:]])
        bars.append((grid[:, speeds:], other, scale[2], others, scale[1]))
    for panels, mesh, label, values, ends in bars:
        beyond = bool(values.min() < ends[0]), bool(values.max() > ends[1])
        extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond]
        look = {"location": "bottom", "pad": 0.01, "shrink": 0.9, "extend": extend}
        figure.colorbar(mesh, ax=panels, label=label, aspect=20 * min(2, panels.shape[1]), **look)
    return figure
