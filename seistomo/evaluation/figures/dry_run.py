"""What a simulation is about to make: models with the survey, a gather, the wavelet."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from seistomo.evaluation.figures.gathers import GATHERS_HEIGHT, draw_gathers
from seistomo.evaluation.figures.models import Survey, draw_models, models_height
from seistomo.evaluation.figures.style import BASELINE, PREDICTION, WIDTH, new_figure, styled

# Of the spectrum's peak: what is left out on the right.
NEGLIGIBLE = 0.002


@styled
def dry_run_figure(
    velocity: NDArray[np.float32],
    depth: NDArray,
    x: NDArray,
    labels: Sequence[str],
    surveys: Sequence[Survey],
    gathers: NDArray[np.float32],
    wavelet: NDArray,
    time_step: float,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Draw models (`models_figure`) above one shot of the first of them, and the wavelet.

    Parameters
    ----------
    velocity
        Models [sample, depth, x], m/s.
    depth, x
        Positions of the nodes, m.
    labels, surveys
        One a model.
    gathers
        Records of the first model [source, receiver, time]; the middle source is shown.
    wavelet
        Source wavelet [time].
    time_step
        Sampling interval of records and wavelet, s.
    limits
        Ends of the colour scale, m/s; None: the extremes of the models shown.
    """
    height = models_height(len(velocity), depth, x)
    figure = new_figure(WIDTH, height + GATHERS_HEIGHT)
    above, below = figure.subfigures(2, 1, height_ratios=[height, GATHERS_HEIGHT])
    draw_models(above, velocity, depth, x, labels, surveys, limits)
    left, right = below.subfigures(1, 2, width_ratios=[1.6, 1.0])
    time = np.arange(gathers.shape[-1]) * time_step
    title = f"Gather of sample {labels[0]}"
    draw_gathers(left, gathers, time, surveys[0], [len(gathers) // 2], title=title)
    draw_wavelet(right, wavelet, time_step)
    return figure


def draw_wavelet(figure: Figure | SubFigure, wavelet: NDArray, time_step: float) -> None:
    """Draw a wavelet [time] against time and its amplitude spectrum against frequency."""
    above, below = figure.subplots(2, 1)
    figure.suptitle("Source wavelet", fontsize="medium", weight="bold")
    peak = float(np.abs(wavelet).max()) or 1.0
    shown = np.flatnonzero(np.abs(wavelet) > NEGLIGIBLE * peak)
    stop = 1.15 * (shown[-1] + 1) * time_step if len(shown) else len(wavelet) * time_step
    above.plot(np.arange(len(wavelet)) * time_step, wavelet, color=PREDICTION)
    above.set_xlim(0, min(stop, len(wavelet) * time_step))
    above.set_xlabel("Time (s)")
    above.set_ylabel("Amplitude")
    # Padded with zeros, so that the curve is smooth.
    points = 64 * len(wavelet)
    spectrum = np.abs(np.fft.rfft(wavelet, points))
    frequency = np.fft.rfftfreq(points, time_step)
    spectrum /= float(spectrum.max()) or 1.0
    strong = np.flatnonzero(spectrum > NEGLIGIBLE)
    below.plot(frequency, spectrum, color=PREDICTION)
    peak_frequency = float(frequency[np.argmax(spectrum)])
    below.axvline(peak_frequency, color=BASELINE, linestyle="dashed", linewidth=1.0)
    below.set_title(f"peak at {peak_frequency:.1f} Hz", pad=3)
    below.set_xlim(0, float(frequency[strong[-1]]) if len(strong) else 0.5 / time_step)
    below.set_ylim(0, 1.05)
    below.set_xlabel("Frequency (Hz)")
    below.set_ylabel("Spectrum / peak")
