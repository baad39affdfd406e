"""One look for all figures: colours, fonts, and how a figure is made and saved."""

import functools
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from skimage.color import lab2rgb, rgb2lab

from seistomo.errors import InputError
from seistomo.files import written_whole

WIDTH = 7.5
"""Width of a figure on a page, inches."""
DPI = 150
"""Resolution of pixel figures; `WIDTH` gives 1125 pixels, sharp at 900."""
# What to leave out of a file of each format, so that the same figure gives the same bytes.
TIMELESS = {".png": {}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
FORMATS = tuple(TIMELESS)

PREDICTION = "#0072b2"
VALIDATION = "#d55e00"
BASELINE = "#5f6b73"
ORACLE = "#b07aa1"
SALT_OUTLINE = "#ffffff"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#3b3b3b", "#e69f00")
"""Colours of several runs in one figure (Okabe and Ito's, told apart by colour-blind readers)."""

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.grid": False,
    "grid.color": "#d8dde1",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#4a5257",
    "axes.linewidth": 0.7,
    "xtick.color": "#4a5257",
    "ytick.color": "#4a5257",
    "xtick.labelcolor": "#20262a",
    "ytick.labelcolor": "#20262a",
    "text.color": "#20262a",
    "axes.labelcolor": "#20262a",
    "lines.linewidth": 1.5,
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "seistomo",
}

# Water dark blue, sediments blue to gold, salt dark red, as the field draws them. Lightness rises
# to gold and falls again: that leaves the sediments twice the contrast of a map that only rises.
_VELOCITY_ANCHORS = (
    *("#1b1464", "#22578f", "#2e8f8b", "#8cbf6a", "#f7e07a", "#f49d4e", "#d1342b", "#8c0d3c"),
)


def _even_steps(anchors: tuple[str, ...], count: int = 256) -> np.ndarray:
    """Interpolate colours in CIELAB so that equal steps of value are equal steps of colour."""
    rgb = np.array([mpl.colors.to_rgb(anchor) for anchor in anchors])
    lab = rgb2lab(rgb[None])[0]
    fine = np.linspace(0, len(anchors) - 1, 4096)
    path = np.stack([np.interp(fine, range(len(anchors)), lab[:, axis]) for axis in range(3)], -1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0, length[-1], count)
    even = np.stack([np.interp(wanted, length, path[:, axis]) for axis in range(3)], -1)
    return np.clip(lab2rgb(even[None])[0], 0, 1)


VELOCITY_MAP: Colormap = ListedColormap(_even_steps(_VELOCITY_ANCHORS), name="seistomo_velocity")
DIFFERENCE_MAP: Colormap = mpl.colormaps["RdBu_r"]
GATHER_MAP: Colormap = mpl.colormaps["Greys"]


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Make a function draw its figure in the project's style, whatever the user's settings."""

    @functools.wraps(function)
    def draw(*arguments: object, **options: object) -> Figure:
        with mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
            return function(*arguments, **options)

    return draw


def new_figure(width: float = WIDTH, height: float = 4.0, layout: str = "constrained") -> Figure:
    """Return an empty figure of the given size in inches that draws without a screen."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def check_format(path: str | Path) -> Path:
    """Return ``path``, refusing a suffix that is not a figure format.

    Raises
    ------
    InputError
        If the suffix is none of `FORMATS`.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a figure is written as one of {', '.join(FORMATS)}")
    return path


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the file appears under its name only when it is whole.

    Raises
    ------
    InputError
        If the suffix is none of `FORMATS`, or the file cannot be written.
    DiskFullError
        If the disk fills up.
    """
    path = check_format(path)
    kind = path.suffix.lower()
    with written_whole(path) as partial, mpl.rc_context({**mpl.rcParamsDefault, **STYLE}):
        figure.savefig(
            partial,
            format=kind[1:],
            dpi=DPI,
            bbox_inches="tight",
            pad_inches=0.05,
            metadata=TIMELESS[kind],
        )
    return path
