"""How the scores are spread: over the samples, and over depth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import (
    BASELINE,
    ORACLE,
    PREDICTION,
    new_figure,
    styled,
)

COLORS = {"prediction": PREDICTION, "baseline": BASELINE, "oracle_1d": ORACLE}
LABELS = {
    "prediction": "prediction",
    "baseline": "mean training model",
    "oracle_1d": "own lateral mean (oracle)",
}
STYLES = {"prediction": "solid", "baseline": "dashed", "oracle_1d": "dotted"}


@styled
def ssim_histogram_figure(ssim: NDArray, baseline: NDArray) -> Figure:
    """Draw how many samples reach which SSIM, beside the mean training model's.

    Parameters
    ----------
    ssim, baseline
        SSIM of the predictions and of the mean training model [sample].
    """
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    low = np.floor(10 * min(ssim.min(), baseline.min(), 0.9)) / 10
    # Whole samples in even bins: about ten a bin where there are many, never finer than 0.02.
    count = int(np.clip(np.ceil(len(ssim) ** 0.5) * 2, 8, 50))
    bins = np.linspace(low, 1.0, count + 1)
    for name, values, filled in (("baseline", baseline, False), ("prediction", ssim, True)):
        color = COLORS[name]
        mean = float(values.mean())
        label = f"{LABELS[name]}, mean {mean:.2f}"
        kind = {"histtype": "stepfilled", "alpha": 0.35} if filled else {"histtype": "step"}
        axes.hist(values, bins, color=color, label=label, **kind)
        if filled:
            axes.hist(values, bins, color=color, histtype="step")
        axes.axvline(mean, color=color, linestyle=STYLES["baseline"], linewidth=1)
    axes.set_xlim(low, 1.0)
    axes.set_xlabel("SSIM of a sample (1 is perfect)")
    axes.set_ylabel("Samples")
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure


@styled
def rmse_depth_figure(rmse: Mapping[str, NDArray], depth: NDArray) -> Figure:
    """Draw the RMSE against depth, depth down.

    Parameters
    ----------
    rmse
        RMSE over samples and x, [depth], m/s, of ``prediction``, ``baseline``, ``oracle_1d``.
    depth
        Depths of the nodes, m.
    """
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    for name, values in rmse.items():
        axes.plot(values, depth, color=COLORS[name], linestyle=STYLES[name], label=LABELS[name])
    axes.set_xlim(left=0)
    axes.set_ylim(depth[-1], depth[0])
    axes.set_xlabel("RMSE (m/s)")
    axes.set_ylabel("Depth (m)")
    axes.grid(visible=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure
