"""How sure an ensemble is beside how right it is."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.models import draw_section, fit_titles, label_axes, outline
from seistomo.evaluation.figures.predictions import Case, extend_of, head_columns
from seistomo.evaluation.figures.style import (
    BASELINE,
    ERROR_MAP,
    PREDICTION,
    SALT_OUTLINE,
    SPEED,
    TEXT,
    VALIDATION,
    WIDTH,
    new_figure,
    plain_ticks,
    styled,
)


@styled
def uncertainty_figure(
    cases: Sequence[Case],
    std: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    factor: float | None = None,
) -> Figure:
    """Draw a row a case: reference, the members' mean, its absolute error, and ``std``.

    ``std`` [case, depth, x], m/s, is over the members. It is drawn times ``factor``, which the
    heading says, on one colour scale with the errors, from zero to what 99 percent of both stay
    below. The outline is the true salt.
    """
    panel_width = 0.215 * WIDTH
    height = 1.2 + len(cases) * (panel_width * len(depth) / len(x) + 0.3)
    figure = new_figure(WIDTH, height, layout="compressed")
    grid = figure.subplots(len(cases), 4, squeeze=False, sharex=True, sharey=True)
    references = np.stack([case.reference for case in cases])
    means = np.stack([next(iter(case.predictions.values())) for case in cases])
    errors = np.abs(means - references)
    low, high = np.percentile(means, (1, 99))
    limits = (min(references.min(), low), max(references.max(), high))
    scaled, name = (std, "σ") if factor is None else (factor * std, f"σ × {factor:.1f}")
    both = np.stack([errors, scaled])
    reach = (0.0, max(float(np.percentile(both, 99)), 1.0))
    size = fit_titles([case.label for case in cases], 72 * panel_width)[1]
    for number, (row, case) in enumerate(zip(grid, cases, strict=True)):
        titles = [
            case.label,
            f"RMSE {next(iter(case.rmse.values())):.0f} m/s",
            f"mean {errors[number].mean():.0f} m/s",
            f"σ: mean {std[number].mean():.0f} m/s",
        ]
        image = draw_section(row[0], references[number], depth, x, limits)
        draw_section(row[1], means[number], depth, x, limits)
        draw_section(row[2], errors[number], depth, x, reach, ERROR_MAP)
        shown = draw_section(row[3], scaled[number], depth, x, reach, ERROR_MAP)
        for place, (axes, title) in enumerate(zip(row, titles, strict=True)):
            axes.set_title(title, fontsize=size)
            outline(axes, case.salt, depth, x, SALT_OUTLINE if place < 2 else TEXT)
            label_axes(axes, x=number == len(cases) - 1, depth=place == 0)
    headings = ["Reference", "Mean of members", "Absolute error", name]
    head_columns(grid[0], *fit_titles(headings, 72 * panel_width))
    bar = {"location": "bottom", "aspect": 30, "pad": 0.01, "shrink": 0.9}
    figure.colorbar(image, ax=grid[:, :2], label=SPEED, extend=extend_of(means, limits), **bar)
    label = f"absolute error and {name} (m/s)"
    figure.colorbar(shown, ax=grid[:, 2:], label=label, extend=extend_of(both, reach), **bar)
    return figure


@styled
def reliability_figure(
    reliability: Mapping[str, Sequence[float] | None],
    factor: float | None,
    sigma: NDArray,
    error: NDArray,
) -> Figure:
    """Draw how many errors are within multiples of sigma, and errors against sigma.

    Parameters
    ----------
    reliability
        Shares of the errors within multiples of sigma: ``expected`` of a Gaussian, ``observed``,
        and ``scaled`` where sigma is multiplied by ``factor``.
    sigma, error
        RMS of sigma and of the error in groups of pixels of rising sigma, m/s.
    """
    figure = new_figure(WIDTH, 3.7)
    left, right = figure.subplots(1, 2)
    expected = 100 * np.asarray(reliability["expected"])
    curves = [("observed", "σ of the members", PREDICTION)]
    if factor is not None:
        curves.append(("scaled", f"σ times {factor:.2f}, from validation", VALIDATION))
    for name, label, color in curves:
        left.plot(expected, 100 * np.asarray(reliability[name]), color=color, label=label)
    left.set_xlim(0, 100)
    left.set_ylim(0, 100)
    left.set_aspect("equal")
    left.set_xlabel("Expected within multiples of σ (% of pixels)")
    left.set_ylabel("Observed (% of pixels)")
    right.plot(sigma, error, color=PREDICTION, marker="o", markersize=4)
    ends = np.array([min(sigma.min(), error.min()) / 1.2, max(sigma.max(), error.max()) * 1.2])
    ends = np.maximum(ends, (0.1, 1.0))
    right.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    plain_ticks(right.xaxis)
    plain_ticks(right.yaxis)
    right.set_xlabel("σ of the members (m/s, RMS)")
    right.set_ylabel("Error of the mean (m/s, RMS)")
    for axes, span in ((left, (0, 100)), (right, ends)):
        line = {"color": BASELINE, "linestyle": "dashed", "linewidth": 1, "zorder": 1}
        axes.plot(span, span, label="calibrated", **line)
        axes.grid(visible=True)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure
