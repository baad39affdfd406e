"""Velocity models: sections of the earth with the survey, sheets of them, and where pieces lie."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import (
    RECEIVER_COLOR,
    RUNS,
    SOURCE_COLOR,
    SPEED,
    TEXT,
    VELOCITY_MAP,
    WIDTH,
    new_figure,
    styled,
)
from seistomo.progress import counted

Survey = Mapping[str, NDArray]
"""``source_x source_depth receiver_x receiver_depth``, m."""
# Font sizes of titles, points, and a letter's mean width as a part of them.
TITLE, SMALLEST_TITLE, LETTER = 9.0, 6.0, 0.58
HALO = "#ffffff"


def edges(nodes: NDArray) -> tuple[float, float]:
    """Return the outer edges of the cells around evenly spaced ``nodes``, m."""
    half = (nodes[-1] - nodes[0]) / max(len(nodes) - 1, 1) / 2
    return float(nodes[0] - half), float(nodes[-1] + half)


def draw_section(
    axes: Axes,
    section: NDArray,
    depth: NDArray,
    x: NDArray,
    limits: tuple[float, float],
    color_map: Colormap = VELOCITY_MAP,
) -> AxesImage:
    """Draw ``section`` [depth, x] at true proportions, depth down.

    Nodes are at ``depth`` and ``x``, m; ``limits`` are the ends of the colour scale.
    """
    (left, right), (top, bottom) = edges(x), edges(depth)
    image = axes.imshow(
        section,
        cmap=color_map,
        vmin=limits[0],
        vmax=limits[1],
        extent=(left, right, bottom, top),
        aspect="equal",
    )
    axes.locator_params(nbins=4, steps=[1, 2, 2.5, 5, 10])
    return image


def label_axes(axes: Axes, *, x: bool = True, depth: bool = True) -> None:
    """Label the axes in metres; an axis without a label loses its numbers too."""
    if x:
        axes.set_xlabel("x (m)")
    if depth:
        axes.set_ylabel("Depth (m)")
    axes.tick_params(labelbottom=x, labelleft=depth)


def outline(axes: Axes, mask: NDArray, depth: NDArray, x: NDArray, color: str) -> None:
    """Draw the outline of ``mask`` [depth, x]; nothing where it is empty."""
    if mask.any() and not mask.all():
        axes.contour(x, depth, mask.astype(float), levels=[0.5], colors=color, linewidths=0.9)


def draw_survey(axes: Axes, survey: Survey, width: float) -> None:
    """Draw receivers as triangles at their places and sources as stars just above theirs.

    Markers shrink until they do not run into each other; ``width`` of the section is in points.
    """
    limits = axes.get_xlim(), axes.get_ylim()
    receiver_size = min(4.5, width / 25, max(1.2, 0.8 * width / len(survey["receiver_x"])))
    source_size = min(8.0, width / 14, max(2.5, 1.2 * width / len(survey["source_x"])))
    look = {"linestyle": "none", "clip_on": False}
    axes.plot(
        survey["receiver_x"],
        survey["receiver_depth"],
        marker="v",
        markersize=receiver_size,
        color=RECEIVER_COLOR,
        markeredgecolor=TEXT,
        markeredgewidth=0.12 * receiver_size,
        zorder=3,
        **look,
    )
    lift = ScaledTranslation(0, 0.6 * source_size / 72, axes.figure.dpi_scale_trans)
    axes.plot(
        survey["source_x"],
        survey["source_depth"],
        marker="*",
        markersize=source_size,
        color=SOURCE_COLOR,
        markeredgewidth=0,
        transform=axes.transData + lift,
        zorder=4,
        **look,
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])


@styled
def models_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey] | None = None,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw models [sample, depth, x] in m/s on one colour scale, each with label and survey.

    ``limits`` are the ends of the scale; None: the extremes of the models shown.
    """
    figure = new_figure(WIDTH, models_height(len(velocity), depth, x))
    draw_models(figure, velocity, depth, x, labels, surveys, limits)
    return figure


def draw_models(
    figure: Figure | SubFigure,
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey] | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    columns, width = _columns(len(velocity))
    rows = -(-len(velocity) // columns)
    limits = limits or (float(velocity.min()), float(velocity.max()))
    titles, size = fit_titles(labels, 72 * width)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(velocity):
            axes.set_axis_off()
            continue
        image = draw_section(axes, velocity[number], depth, x, limits)
        axes.set_title(titles[number], fontsize=size, pad=10 if columns <= 3 else 6)
        if surveys is not None:
            draw_survey(axes, surveys[number], 72 * width)
        if columns > 4:
            axes.locator_params(axis="x", nbins=2)
        label_axes(axes, x=number + columns >= len(velocity), depth=number % columns == 0)
    figure.colorbar(image, ax=grid, label=SPEED, fraction=0.04, pad=0.02)
    if surveys is not None:
        marks = [
            Line2D([], [], color=SOURCE_COLOR, marker="*", ms=8, mew=0, ls="none"),
            Line2D([], [], color=RECEIVER_COLOR, marker="v", ms=5, mec=TEXT, mew=0.6, ls="none"),
        ]
        counts = [len(surveys[0][f"{name}_x"]) for name in ("source", "receiver")]
        names = [counted(counts[0], "source"), counted(counts[1], "receiver")]
        figure.legend(marks, names, loc="outside lower center", ncols=2)


def models_height(count: int, depth: NDArray, x: NDArray) -> float:
    columns, width = _columns(count)
    (left, right), (top, bottom) = edges(x), edges(depth)
    return 0.75 + -(-count // columns) * (width * (bottom - top) / (right - left) + 0.3)


def _columns(count: int) -> tuple[int, float]:
    """Return how many models stand side by side, and about the width of one, inches."""
    columns = min(count, 6, max(3, int(np.ceil(count**0.5))))
    return columns, (WIDTH - 1.4) / columns - 0.08


def fit_titles(labels: Sequence[str], width: float) -> tuple[list[str], float]:
    """Return titles and the one font size (points) at which all stay within ``width`` points."""
    size = min(TITLE, max(SMALLEST_TITLE, width / (LETTER * max(map(len, labels)))))
    most = int(width / (LETTER * size) + 1e-6)
    return [label if len(label) <= most else label[: most - 1] + "…" for label in labels], size


@styled
def profiles_figure(sets: Mapping[str, tuple[NDArray, NDArray]]) -> Figure:
    """Draw speeds against depth of sets of models, each [sample, depth, x] in m/s and depths, m.

    On the left the median over samples and x with the band that holds 90 %; on the right how much
    speeds differ along x: the standard deviation in a model, median over the models.
    """
    figure = new_figure(WIDTH, 4.2)
    speeds, sideways = figure.subplots(1, 2, sharey=True)
    for color, (name, (velocity, depth)) in zip(cycle(RUNS), sets.items(), strict=False):
        low, middle, high = np.percentile(velocity, (5, 50, 95), axis=(0, 2))
        speeds.fill_betweenx(depth, low, high, color=color, alpha=0.2, linewidth=0)
        label = f"{name}: {counted(len(velocity), 'model')}"
        speeds.plot(middle, depth, color=color, label=label)
        sideways.plot(np.median(velocity.std(axis=2), axis=0), depth, color=color)
    speeds.set_xlabel(f"{SPEED}: median and 90 %")
    speeds.set_ylabel("Depth (m)")
    speeds.set_ylim(max(float(depth[-1]) for _, depth in sets.values()), 0)
    sideways.set_xlabel("Standard deviation along x (m/s)")
    sideways.set_xlim(left=0)
    for axes in (speeds, sideways):
        axes.grid(visible=True)
    figure.legend(loc="outside upper left", ncols=2)
    return figure


@styled
def crops_figure(
    velocity: NDArray,
    depth: NDArray,
    x: NDArray,
    corners: Sequence[tuple[float, float]],
    size: tuple[float, float],
    labels: Sequence[str],
    title: str,
) -> Figure:
    """Draw a model [depth, x] in m/s and a labelled frame around each piece of it.

    ``corners`` are depth and x of each piece's first node, ``size`` reaches from there to the
    last, m.
    """
    (left, right), (top, bottom) = edges(x), edges(depth)
    figure = new_figure(WIDTH, (WIDTH - 1.6) * (bottom - top) / (right - left) + 0.9)
    axes = figure.subplots()
    image = draw_section(axes, velocity, depth, x, (float(velocity.min()), float(velocity.max())))
    axes.locator_params(axis="x", nbins=9)
    half = (x[1] - x[0]) / 2
    for corner, label in zip(corners, labels, strict=True):
        place = (corner[1] - half, corner[0] - half)
        shape = (size[1] + 2 * half, size[0] + 2 * half)
        for color, width in ((HALO, 2.0), (TEXT, 0.8)):
            axes.add_patch(Rectangle(place, *shape, fill=False, edgecolor=color, linewidth=width))
        box = {"boxstyle": "square,pad=0.1", "facecolor": HALO, "edgecolor": "none"}
        offset = {"xytext": (2.5, -2.5), "textcoords": "offset points"}
        axes.annotate(label, place, ha="left", va="top", fontsize=7, bbox=box, **offset)
    label_axes(axes)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label=SPEED, fraction=0.02, pad=0.01, shrink=0.75)
    return figure
