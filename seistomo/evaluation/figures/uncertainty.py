"""How sure an ensemble is beside how right it is."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.predictions import Case, draw_cases
from seistomo.evaluation.figures.style import (
    BASELINE,
    ERROR_MAP,
    PREDICTION,
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
    scaled, name = (std, "σ") if factor is None else (factor * std, f"σ × {factor:.1f}")
    rows, errors = [], []
    for case, own, drawn in zip(cases, std, scaled, strict=True):
        mean, rmse = next(iter(case.predictions.values())), next(iter(case.rmse.values()))
        errors.append(np.abs(mean - case.reference))
        rows.append(
            [
                (case.label, case.reference),
                (f"RMSE {rmse:.0f} m/s", mean),
                (f"mean {errors[-1].mean():.0f} m/s", errors[-1]),
                (f"σ: mean {own.mean():.0f} m/s", drawn),
            ]
        )
    reach = max(float(np.percentile([errors, scaled], 99)), 1.0)
    scale = (ERROR_MAP, (0.0, reach), f"absolute error and {name} (m/s)")
    headings = ["Reference", "Mean of members", "Absolute error", name]
    return draw_cases(cases, rows, headings, 2, depth, x, scale)


@styled
def reliability_figure(
    reliability: Mapping[str, Sequence[float] | None],
    factor: float | None,
    sigma: NDArray,
    error: NDArray,
) -> Figure:
    """Draw how many errors are within multiples of sigma, and errors against sigma.

    ``reliability`` are shares of the errors within multiples of sigma: ``expected`` of a Gaussian,
    ``observed``, and ``scaled`` where sigma is multiplied by ``factor``; ``sigma`` and ``error``
    are RMS in groups of pixels of rising sigma, m/s.
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
