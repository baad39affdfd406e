"""Draw one vertical section of the earth, [depth, x], with what lies in it."""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from seistomo.evaluation.figures.style import VELOCITY_MAP

SOURCE_COLOR, RECEIVER_COLOR, RECEIVER_EDGE = "#d1342b", "#ffffff", "#20262a"


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
    """Draw ``section`` [depth, x] in metres at true proportions, depth down.

    Parameters
    ----------
    section
        Values [depth, x], one a node.
    depth, x
        Positions of the nodes, m.
    limits
        Values at the ends of the colour scale.
    """
    left, right = edges(x)
    top, bottom = edges(depth)
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


def head_columns(row: Iterable[Axes], headings: Sequence[str]) -> None:
    """Write a heading over each of the axes of the topmost row, above their own titles."""
    for axes, heading in zip(row, headings, strict=True):
        axes.annotate(
            heading,
            (0.5, 1.0),
            xytext=(0, 18),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            weight="bold",
        )


def label_axes(axes: Axes, *, x: bool = True, depth: bool = True) -> None:
    """Label the axes in metres; an axis without a label loses its numbers too."""
    if x:
        axes.set_xlabel("x (m)")
    if depth:
        axes.set_ylabel("Depth (m)")
    axes.tick_params(labelbottom=x, labelleft=depth)


def outline(
    axes: Axes, mask: NDArray | None, depth: NDArray, x: NDArray, color: str, style: str = "solid"
) -> None:
    """Draw the outline of ``mask`` [depth, x]; nothing where there is no mask or it is empty."""
    if mask is None or not mask.any() or mask.all():
        return
    axes.contour(
        x, depth, mask.astype(float), levels=[0.5], colors=color, linewidths=0.9, linestyles=style
    )


def color_bar(axes: Axes, image: AxesImage, label: str, extend: str = "neither") -> Colorbar:
    """Put a colour bar as high as the section beside it."""
    beside = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    bar = axes.figure.colorbar(image, cax=beside, extend=extend, extendfrac=0.03)
    beside.set_title(label, loc="left", fontsize="small", pad=7)
    return bar


def draw_survey(axes: Axes, survey: Mapping[str, NDArray], width: float) -> None:
    """Draw the receivers as triangles at their places and the sources as stars on theirs.

    The stars stand just above their places, so that they do not hide the receivers. Markers
    shrink until they do not run into each other.

    Parameters
    ----------
    survey
        ``source_x source_depth receiver_x receiver_depth``, m.
    width
        Width of the section on the page, points.
    """
    limits = axes.get_xlim(), axes.get_ylim()
    receiver_size = min(4.5, width / 25, max(1.2, 0.8 * width / len(survey["receiver_x"])))
    source_size = min(8.0, width / 14, max(2.5, 1.2 * width / len(survey["source_x"])))
    axes.plot(
        survey["receiver_x"],
        survey["receiver_depth"],
        linestyle="none",
        marker="v",
        markersize=receiver_size,
        color=RECEIVER_COLOR,
        markeredgecolor=RECEIVER_EDGE,
        markeredgewidth=0.12 * receiver_size,
        clip_on=False,
        zorder=3,
    )
    lift = ScaledTranslation(0, 0.6 * source_size / 72, axes.figure.dpi_scale_trans)
    axes.plot(
        survey["source_x"],
        survey["source_depth"],
        linestyle="none",
        marker="*",
        markersize=source_size,
        color=SOURCE_COLOR,
        markeredgewidth=0,
        transform=axes.transData + lift,
        clip_on=False,
        zorder=4,
    )
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
