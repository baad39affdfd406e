"""How the scores are spread: over the samples, and over depth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import BASELINE, ORACLE, PREDICTION, new_figure, styled

LOOKS = {
    "prediction": ("prediction", PREDICTION, "solid"),
    "baseline": ("mean training model", BASELINE, "dashed"),
    "oracle_1d": ("own lateral mean (oracle)", ORACLE, "dotted"),
}
"""Label, colour and line of each candidate."""


@styled
def ssim_histogram_figure(ssim: NDArray, baseline: NDArray) -> Figure:
    """Draw how many samples reach which SSIM [sample], beside the mean training model's."""
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    low = np.floor(10 * min(ssim.min(), baseline.min(), 0.9)) / 10
    # Whole samples in even bins: about ten a bin where there are many, never finer than 0.02.
    count = int(np.clip(np.ceil(len(ssim) ** 0.5) * 2, 8, 50))
    bins = np.linspace(low, 1.0, count + 1)
    for name, values in (("baseline", baseline), ("prediction", ssim)):
        label, color, _ = LOOKS[name]
        mean = float(values.mean())
        axes.hist(values, bins, color=color, histtype="step", label=f"{label}, mean {mean:.2f}")
        if name == "prediction":
            axes.hist(values, bins, color=color, histtype="stepfilled", alpha=0.35)
        axes.axvline(mean, color=color, linestyle="dashed", linewidth=1)
    axes.set_xlim(low, 1.0)
    axes.set_xlabel("SSIM of a sample (1 is perfect)")
    axes.set_ylabel("Samples")
    axes.yaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure


@styled
def rmse_depth_figure(rmse: Mapping[str, NDArray], depth: NDArray) -> Figure:
    """Draw RMSE over samples and x [depth], m/s, of each candidate; depth, m, down."""
    figure = new_figure(4.2, 4.0)
    axes = figure.subplots()
    for name, values in rmse.items():
        label, color, style = LOOKS[name]
        axes.plot(values, depth, color=color, linestyle=style, label=label)
    axes.set_xlim(left=0)
    axes.set_ylim(depth[-1], depth[0])
    axes.set_xlabel("RMSE (m/s)")
    axes.set_ylabel("Depth (m)")
    axes.grid(visible=True)
    figure.legend(loc="outside upper left", ncols=1)
    return figure
