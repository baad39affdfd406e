"""Shot gathers, raw and with gain; data sets at a glance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from seistomo.evaluation.figures.models import (
    Survey,
    draw_models,
    draw_section,
    draw_survey,
    fit_titles,
    label_axes,
    models_height,
)
from seistomo.evaluation.figures.style import (
    BASELINE,
    GATHER_MAP,
    PREDICTION,
    SOURCE_COLOR,
    SPEED,
    WIDTH,
    new_figure,
    styled,
)

ROW_SHOTS, ROW_HEIGHT = 2, 3.4
"""Shots side by side, each raw and with gain, and the height of such a row, inches."""
# Gain: part of the recording over which amplitudes are made even, and of the strongest below
# which they are left weak: nothing is made of the silence before the first arrival.
WINDOW, FLOOR = 1 / 8, 0.01
# Widths of the model and of each shot of `shots_figure`, inches.
MODEL_WIDTH, SHOT_WIDTH = 1.9, 1.5
# Of the wavelet's peak and its spectrum's: what is left out on the right.
NEGLIGIBLE = 0.002


@styled
def gathers_figure(
    gathers: NDArray[np.float32],
    time: NDArray,
    surveys: Sequence[Survey],
    titles: Sequence[str],
    shots: Sequence[int] | None = None,
    clip: float = 95.0,
) -> Figure:
    """Draw shots of gathers [sample, source, receiver, time], raw and with gain.

    Receivers against time, s, downward; a grey scale a sample, which ends at the percentile
    ``clip`` of its absolute amplitudes. ``shots`` are sources; None: the first and the middle one.
    """
    height = _gathers_height(gathers.shape[1], shots)
    figure = new_figure(WIDTH, height * len(gathers))
    parts = figure.subfigures(len(gathers), 1, squeeze=False)[:, 0]
    for part, records, survey, title in zip(parts, gathers, surveys, titles, strict=True):
        _draw_gathers(part, records, time, survey, shots, clip, title)
    return figure


@styled
def overview_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey],
    gathers: NDArray[np.float32],
    time: NDArray,
    shots: Sequence[int] | None = None,
    clip: float = 95.0,
    limits: tuple[float, float] | None = None,
    wavelet: NDArray | None = None,
) -> Figure:
    """Draw models (`models_figure`) above gathers [source, receiver, time] of the first.

    Beside them ``wavelet`` [time], if it is given.
    """
    heights = [models_height(len(velocity), depth, x), _gathers_height(len(gathers), shots)]
    figure = new_figure(WIDTH, sum(heights))
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    draw_models(above, velocity, depth, x, labels, surveys, limits)
    if wavelet is not None:
        below, beside = below.subfigures(1, 2, width_ratios=[1.6, 1.0])
        _draw_wavelet(beside, wavelet, float(time[1] - time[0]))
    _draw_gathers(below, gathers, time, surveys[0], shots, clip, f"Gathers of sample {labels[0]}")
    return figure


@styled
def shots_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    records: Sequence[NDArray[np.float32]],
    times: Sequence[NDArray],
    surveys: Sequence[Survey],
    titles: Sequence[str],
    clip: float,
    limits: tuple[float, float],
) -> Figure:
    """Draw a model beside one shot over it, [receiver, time] a data set, on one grey scale."""
    width = max(WIDTH, MODEL_WIDTH + SHOT_WIDTH * len(records))
    figure = new_figure(width, ROW_HEIGHT)
    left, right = figure.subfigures(1, 2, width_ratios=[MODEL_WIDTH, width - MODEL_WIDTH])
    axes = left.subplots()
    image = draw_section(axes, velocity, depth, x, limits)
    draw_survey(axes, surveys[0], 72 * (MODEL_WIDTH - 0.6))
    label_axes(axes)
    left.colorbar(image, ax=axes, label=SPEED, location="bottom", pad=0.03, aspect=25)
    panels = right.subplots(1, len(records), squeeze=False, sharey=True)[0]
    names, size = fit_titles(titles, 72 * (SHOT_WIDTH - 0.1))
    reach = reach_of(np.concatenate([shot.ravel() for shot in records]), clip)
    for panel, shot, time, survey, name in zip(panels, records, times, surveys, names, strict=True):
        image = draw_shot(panel, shot, time, survey, 0, reach)
        panel.set_title(name, fontsize=size, pad=8)
        panel.locator_params(axis="x", nbins=3)
    panels[0].set_ylabel("Time (s)")
    label = f"pressure, one scale, clipped at the {clip:g}th percentile"
    right.colorbar(image, ax=list(panels), label=label, location="bottom", extend="both", aspect=50)
    return figure


@styled
def beside_training_figure(
    typical: NDArray[np.float32],
    own: NDArray[np.float32],
    time: NDArray,
    survey: Survey,
    name: str,
) -> Figure:
    """Draw the first and the middle shot of typical gathers and of one's own, on one grey scale.

    Gathers are [source, receiver, time]; ``survey`` is the own one's, ``time`` in s.
    """
    figure = new_figure(WIDTH, ROW_HEIGHT)
    shots = _default_shots(len(own), None)
    grid = figure.subplots(1, 2 * len(shots), sharey=True, squeeze=False)[0]
    reach = reach_of(typical, 98.0)
    (names, size) = fit_titles(["training data, mean", name], 72 * WIDTH / (2 * len(shots)) - 20)
    for number, shot in enumerate(shots):
        for axes, title, gathers in zip(grid[2 * number :], names, (typical, own), strict=False):
            image = draw_shot(axes, gathers[shot], time, survey, shot, reach)
            axes.set_title(f"{title}\nsource {shot}", fontsize=size, pad=8)
            axes.locator_params(axis="x", nbins=3)
    grid[0].set_ylabel("Time (s)")
    label = "pressure as the network takes it, one scale"
    figure.colorbar(image, ax=grid, label=label, extend="both", fraction=0.04, pad=0.02)
    return figure


def with_gain(records: NDArray) -> NDArray:
    """Return records whose amplitudes are evened out along time, so that late arrivals are seen."""
    window = max(3, round(WINDOW * records.shape[-1]))
    level = np.sqrt(uniform_filter1d(np.square(records, dtype=float), window, mode="nearest"))
    return records / (level + FLOOR * (level.max() or 1.0))


def _default_shots(sources: int, shots: Sequence[int] | None) -> list[int]:
    return sorted({0, sources // 2}) if shots is None else list(shots)


def _gathers_height(sources: int, shots: Sequence[int] | None) -> float:
    return ROW_HEIGHT * -(-len(_default_shots(sources, shots)) // ROW_SHOTS)


def _draw_gathers(
    figure: Figure | SubFigure,
    gathers: NDArray[np.float32],
    time: NDArray,
    survey: Survey,
    shots: Sequence[int] | None,
    clip: float,
    title: str,
) -> None:
    """Draw the shots of one sample [source, receiver, time] into a part of a figure."""
    shots = _default_shots(len(gathers), shots)
    raw = gathers[shots]
    gained = with_gain(raw)
    reaches = reach_of(raw, clip), reach_of(gained, 99.0)
    columns = 2 * min(ROW_SHOTS, len(shots))
    rows = -(-2 * len(shots) // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in grid.flat[2 * len(shots) :]:
        axes.set_axis_off()
    for pair, shot, *both in zip(grid.reshape(-1, 2), shots, raw, gained, strict=False):
        images = [
            draw_shot(axes, records, time, survey, shot, reach)
            for axes, records, reach in zip(pair, both, reaches, strict=True)
        ]
        place = f"source {shot} at {survey['source_x'][shot]:.0f} m"
        pair[0].set_title(place, pad=8)
        pair[1].set_title("the same with gain", pad=8)
    for axes in grid[:, 0]:
        axes.set_ylabel("Time (s)")
    label = f"raw pressure, clipped at the {clip:g}th percentile"
    figure.colorbar(images[0], ax=grid, label=label, extend="both", fraction=0.04, pad=0.02)
    figure.suptitle(title, fontsize="medium", weight="bold")


def reach_of(records: NDArray, percentile: float) -> float:
    sizes = np.abs(records)
    return float(np.percentile(sizes, percentile)) or float(sizes.max()) or 1.0


def draw_shot(
    axes: Axes, records: NDArray, time: NDArray, survey: Survey, shot: int, reach: float
) -> QuadMesh:
    """Draw one shot [receiver, time], grey from -``reach`` to ``reach``, and where it was fired."""
    # Receivers need not be in order or evenly spaced: each trace is drawn at its own place.
    order = np.argsort(survey["receiver_x"], kind="stable")
    image = axes.pcolormesh(
        survey["receiver_x"][order],
        time,
        records[order].T,
        cmap=GATHER_MAP,
        vmin=-reach,
        vmax=reach,
        shading="nearest",
        rasterized=True,
    )
    star = {"marker": "*", "markersize": 9, "color": SOURCE_COLOR, "markeredgecolor": "white"}
    star |= {"markeredgewidth": 0.5, "clip_on": False, "zorder": 3}
    axes.plot(float(survey["source_x"][shot]), time[0], **star)
    axes.set_ylim(time[-1], time[0])
    axes.set_xlabel("Receiver x (m)")
    axes.locator_params(axis="x", nbins=4)
    return image


def _draw_wavelet(figure: SubFigure, wavelet: NDArray, time_step: float) -> None:
    """Draw a wavelet [time] against time and its amplitude spectrum against frequency."""
    above, below = figure.subplots(2, 1)
    figure.suptitle("Source wavelet", fontsize="medium", weight="bold")
    shown = np.flatnonzero(np.abs(wavelet) > NEGLIGIBLE * (np.abs(wavelet).max() or 1.0))
    last = 1.15 * (shown[-1] + 1) if len(shown) else len(wavelet)
    above.plot(np.arange(len(wavelet)) * time_step, wavelet, color=PREDICTION)
    above.set_xlim(0, min(last, len(wavelet)) * time_step)
    above.set_xlabel("Time (s)")
    above.set_ylabel("Amplitude")
    # Padded with zeros, so that the curve is smooth.
    points = 64 * len(wavelet)
    spectrum = np.abs(np.fft.rfft(wavelet, points))
    frequency = np.fft.rfftfreq(points, time_step)
    spectrum /= float(spectrum.max()) or 1.0
    strong = np.flatnonzero(spectrum > NEGLIGIBLE)
    below.plot(frequency, spectrum, color=PREDICTION)
    peak = float(frequency[np.argmax(spectrum)])
    below.axvline(peak, color=BASELINE, linestyle="dashed", linewidth=1.0)
    below.set_title(f"peak at {peak:.1f} Hz", pad=3)
    below.set_xlim(0, float(frequency[strong[-1]]) if len(strong) else 0.5 / time_step)
    below.set_ylim(0, 1.05)
    below.set_xlabel("Frequency (Hz)")
    below.set_ylabel("Spectrum / peak")
