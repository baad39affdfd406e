"""Shot gathers: what the receivers record of each source."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from seistomo.evaluation.figures.models import Survey
from seistomo.evaluation.figures.sections import SOURCE_COLOR
from seistomo.evaluation.figures.style import GATHER_MAP, WIDTH, new_figure, styled

GATHERS_HEIGHT = 3.6
"""Height of a row of gathers, inches."""


@styled
def gathers_figure(
    gathers: NDArray[np.float32],
    time: NDArray,
    surveys: Sequence[Survey],
    titles: Sequence[str],
    shots: Sequence[int] | None = None,
    clip: float = 95.0,
) -> Figure:
    """Draw shots: receivers against time in seconds, time down, a row and grey scale a sample.

    Parameters
    ----------
    gathers
        Records [sample, source, receiver, time].
    time
        Times of the samples, s.
    surveys
        ``source_x source_depth receiver_x receiver_depth``, m, of each sample.
    titles
        What stands above each row.
    shots
        Which sources; None: first, middle and last.
    clip
        Percentile of the absolute amplitudes of a row at which its scale ends.
    """
    figure = new_figure(WIDTH, GATHERS_HEIGHT * len(gathers))
    rows = figure.subfigures(len(gathers), 1, squeeze=False)[:, 0]
    for row, records, survey, title in zip(rows, gathers, surveys, titles, strict=True):
        draw_gathers(row, records, time, survey, shots, clip, title)
    return figure


def draw_gathers(
    figure: Figure | SubFigure,
    gathers: NDArray[np.float32],
    time: NDArray,
    survey: Survey,
    shots: Sequence[int] | None = None,
    clip: float = 95.0,
    title: str = "",
) -> None:
    """Draw one row of `gathers_figure`, [source, receiver, time], into a part of a figure."""
    shots = default_shots(len(gathers)) if shots is None else list(shots)
    shown = gathers[shots]
    reach = float(np.percentile(np.abs(shown), clip)) or float(np.abs(shown).max()) or 1.0
    row = figure.subplots(1, len(shots), squeeze=False, sharex=True, sharey=True)[0]
    for axes, shot, records in zip(row, shots, shown, strict=True):
        image = draw_shot(axes, records, time, survey["receiver_x"], reach)
        source_x = float(survey["source_x"][shot])
        mark_source(axes, source_x, time[0])
        axes.set_title(f"source {shot} at x = {source_x:.0f} m", pad=8)
        axes.set_xlabel("Receiver x (m)")
        axes.locator_params(axis="x", nbins=4)
    row[0].set_ylabel("Time (s)")
    label = f"pressure, clipped at the {clip:g}th percentile"
    figure.colorbar(image, ax=row, label=label, extend="both", fraction=0.04, pad=0.02)
    if title:
        figure.suptitle(title, fontsize="medium", weight="bold")


def default_shots(sources: int) -> list[int]:
    """Return the first, middle and last of ``sources``, fewer where there are fewer."""
    return sorted({0, sources // 2, sources - 1})


def mark_source(axes: Axes, x: float, time: float) -> None:
    """Draw a star at the position of the source (m) and the first time (s)."""
    axes.plot(
        x,
        time,
        marker="*",
        color=SOURCE_COLOR,
        markersize=9,
        markeredgecolor="white",
        markeredgewidth=0.5,
        clip_on=False,
        zorder=3,
    )


def draw_shot(
    axes: Axes, records: NDArray, time: NDArray, receiver_x: NDArray, reach: float
) -> QuadMesh:
    """Draw one shot [receiver, time], grey from -``reach`` to ``reach``, time down.

    Parameters
    ----------
    time
        Times of the samples, s.
    receiver_x
        Positions of the receivers, m, in any order.
    """
    order = np.argsort(receiver_x, kind="stable")
    # Receivers need not be evenly spaced, so each trace is drawn at its own place.
    image = axes.pcolormesh(
        receiver_x[order],
        time,
        records[order].T,
        cmap=GATHER_MAP,
        vmin=-reach,
        vmax=reach,
        shading="nearest",
        rasterized=True,
    )
    axes.set_ylim(time[-1], time[0])
    return image
