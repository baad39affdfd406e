"""A large model with the pieces that were cut from it."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from seistomo.evaluation.figures.sections import draw_section, edges, label_axes
from seistomo.evaluation.figures.style import WIDTH, new_figure, styled

EDGE, HALO = "#20262a", "#ffffff"
# Height of the title, the axis below and the colour bar beside, inches.
AROUND = 0.9


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
    """Draw a model [depth, x] in m/s and a frame around each piece of it.

    Parameters
    ----------
    velocity
        Speeds [depth, x], m/s.
    depth, x
        Positions of the nodes, m.
    corners
        Depth and x of each piece's first node, m.
    size
        Depth and width of a piece, from its first node to its last, m.
    labels
        What stands in the corner of each frame.
    title
        What stands above.
    """
    (left, right), (top, bottom) = edges(x), edges(depth)
    height = (WIDTH - 1.6) * (bottom - top) / (right - left)
    figure = new_figure(WIDTH, height + AROUND)
    axes = figure.subplots()
    limits = (float(velocity.min()), float(velocity.max()))
    image = draw_section(axes, velocity, depth, x, limits)
    axes.locator_params(axis="x", nbins=9)
    half = (x[1] - x[0]) / 2
    for corner, label in zip(corners, labels, strict=True):
        place = (corner[1] - half, corner[0] - half)
        shape = (size[1] + 2 * half, size[0] + 2 * half)
        for color, width in ((HALO, 2.0), (EDGE, 0.8)):
            axes.add_patch(Rectangle(place, *shape, fill=False, edgecolor=color, linewidth=width))
        axes.annotate(
            label,
            (place[0], place[1]),
            (2.5, -2.5),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=7,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": HALO, "edgecolor": "none"},
        )
    label_axes(axes)
    axes.set_title(title)
    label = "P-wave velocity (m/s)"
    figure.colorbar(image, ax=axes, label=label, fraction=0.02, pad=0.01, shrink=0.75)
    return figure
