"""One look for all figures: colours, fonts, labels, and how a figure is made and saved."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from seistomo.files import require_file, written_whole

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
SALT_OUTLINE, TEXT = "#ffffff", "#20262a"
SOURCE_COLOR, RECEIVER_COLOR = "#d1342b", "#ffffff"
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#3b3b3b", "#e69f00")
"""Colours of several runs in one figure (Okabe and Ito's, told apart by colour-blind readers)."""
TIMES = {"epoch": "Epoch", "seconds": "Optimizer time (s)"}
"""Labels of the axes that curves are drawn against."""
SPEED = "P-wave velocity (m/s)"
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
STEPS = (1, 2, 5, 10)
"""Ticks without powers of ten, and the steps between them."""

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
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "lines.linewidth": 1.5,
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "seistomo",
}

# Water dark blue, sediments blue to gold, salt dark red, as the field draws them, in steps that are
# even in CIELAB. Lightness rises to gold and falls again: that leaves the sediments twice the
# contrast of a map that only rises.
_VELOCITY_COLORS = (
    "1b1464 20256f 233679 244684 22568f 28618f 2c6c8e 2e778d 2f828c 2e8d8b 469786 "
    "5aa080 6ba97a 7ab373 88bc6c a1c56d bdce71 d9d775 f4df7a f7d170 f7bf64 f6ad58 "
    "f39b4d ed8846 e6743e de5e37 d74730 cc312d bc2931 ac2035 9c1739 8c0d3c"
)
VELOCITY_MAP: Colormap = LinearSegmentedColormap.from_list(
    "seistomo_velocity", [f"#{color}" for color in _VELOCITY_COLORS.split()]
)
DIFFERENCE_MAP: Colormap = mpl.colormaps["RdBu_r"]
ERROR_MAP: Colormap = mpl.colormaps["magma_r"]
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


def plain_ticks(axis: Axis, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis with plain numbers, few to a decade."""
    axis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axis.set_major_formatter(PLAIN)
    axis.set_minor_locator(NullLocator())


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the file appears under its name only when it is whole."""
    path = Path(path)
    require_file(path, True, FORMATS)
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
