"""Loss and scores of runs against epochs and optimizer time: of one run, or of methods compared."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from seistomo.evaluation.figures.style import (
    BASELINE,
    PREDICTION,
    RUNS,
    STEPS,
    TIMES,
    VALIDATION,
    WIDTH,
    new_figure,
    plain_ticks,
    styled,
)
from seistomo.evaluation.metrics import SCORE_NAMES
from seistomo.progress import counted

Columns = Mapping[str, ArrayLike]
"""Columns of a run's ``history.csv``, one value an epoch."""
LOSS = "validation_loss"
SCORES = ("ssim", "accuracy")
"""Scores that a curve is drawn of: the first that the runs have."""
DASHES = ("solid", "dashed", "dashdot")


@styled
def curves_figure(
    methods: Mapping[str, Sequence[Columns]],
    against: str | Sequence[str] = ("epoch", "seconds"),
    *,
    baseline: Mapping[str, float] | None = None,
    target: Mapping[str, float] | None = None,
    split: str = "validation",
) -> Figure:
    """Draw the loss above the score, a panel for each axis, a colour a method, a line a run.

    A single run shows its best epoch and the training loss in another colour; with several, the
    training loss is dotted, or left out where methods have repeats. The axes are zoomed to where
    methods differ: runs that end below are counted in the panel. Of more methods than colours only
    the first run of each is drawn, those beyond dashed or dash-dotted.

    ``methods`` are histories of the runs by the method's name; ``against`` is "epoch", "seconds" or
    both. Dashed are the mean training model's ``loss`` and ``ssim``. With a ``target``, a level by
    column, that column alone is drawn, each run's best so far; a dot is where it meets the level.
    Labels say the ``split``.
    """
    against = (against,) if isinstance(against, str) else against
    if len(methods) > len(RUNS):
        methods = {name: repeats[:1] for name, repeats in methods.items()}
    runs = [run for repeats in methods.values() for run in repeats]
    score = next((name for name in SCORES if all(name in run for run in runs)), None)
    rows = list(target) if target else [LOSS] if score is None else [LOSS, score]
    columns = max(1, min(4, int(WIDTH / (0.5 + 0.06 * max(map(len, methods))))))
    legend_rows = 1 + (len(methods) + 1) // columns
    figure = new_figure(WIDTH, 0.3 + 2.2 * len(rows) + 0.2 * legend_rows)
    grid = figure.subplots(len(rows), len(against), squeeze=False, sharex="col", sharey="row")
    for panels, row in zip(grid, rows, strict=True):
        known = {LOSS: "tomography.loss" if score == "ssim" else "loss"}.get(row, row)
        unit = SCORE_NAMES[known].one
        levels = [(baseline or {}).get("loss" if row == LOSS else row), (target or {}).get(row)]
        for axes, axis in zip(panels, against, strict=True):
            _draw_runs(axes, methods, axis, row, unit, levels[1])
            for level, label in zip(levels, ("mean training model", "target"), strict=True):
                if level is not None:
                    dashed = {"color": BASELINE, "linestyle": "dashed", "linewidth": 1.2}
                    axes.axhline(level / unit, label=label, zorder=1, **dashed)
            axes.grid(visible=True)
        lines = [level / unit for level in levels if level is not None]
        if row in SCORES:
            _scale_score(panels[0], [np.asarray(run[row], float) / unit for run in runs], lines)
        else:
            _scale_loss(panels[0], lines)
        velocity = f"Loss, Eq. 9 ({SCORE_NAMES[known].unit})"
        usual = f"{SCORE_NAMES[known].label}, {split}{', best' if target else ''}"
        panels[0].set_ylabel(velocity if known == "tomography.loss" else usual)
    for axes, axis in zip(grid[-1], against, strict=True):
        _scale_time(axes, [np.asarray(run[axis], float) for run in runs], axis)
    entries: dict[str, Artist] = {}
    for axes in grid[:, 0]:
        lines, names = axes.get_legend_handles_labels()
        entries |= dict(zip(names, lines, strict=True))
    if 1 < len(methods) == len(runs) <= len(RUNS) and not target:
        dotted = Line2D([], [], color=BASELINE, linestyle=(0, (1, 1)))
        entries["dotted: training"] = dotted
    place = {"loc": "outside upper center", "ncols": min(len(entries), columns)}
    figure.legend(entries.values(), entries, **place)
    return figure


def _draw_runs(
    axes: Axes,
    methods: Mapping[str, Sequence[Columns]],
    axis: str,
    row: str,
    unit: float,
    target: float | None,
) -> None:
    repeated = any(len(runs) > 1 for runs in methods.values())
    single = len(methods) == 1 and not repeated
    for number, (name, runs) in enumerate(methods.items()):
        color = VALIDATION if single else RUNS[number % len(RUNS)]
        label = "validation" if single else name
        for repeat, run in enumerate(runs):
            at, values = (np.asarray(run[column], float) for column in (axis, row))
            line = {"linewidth": 1.0 if repeated else 1.5, "markersize": 3}
            line["linestyle"] = DASHES[number // len(RUNS) % len(DASHES)]
            line["marker"] = "o" if np.isfinite(values).sum() < 3 else None
            if target is not None:
                values = (np.fmax if row in SCORES else np.fmin).accumulate(values)
            if row == LOSS and not (repeated or target or len(methods) > len(RUNS)):
                look = {"color": color, "linestyle": (0, (1, 1))}
                if single:
                    look = {"color": PREDICTION, "label": "training"}
                training = np.asarray(run["train_loss"], float) / unit
                axes.plot(at, training, **{**line, **look})
            axes.plot(at, values / unit, color=color, label=None if repeat else label, **line)
            dot = {"marker": "o", "linestyle": "none", "color": color, "zorder": 4}
            if target is not None:
                met = np.flatnonzero(values >= target if row in SCORES else values <= target)[:1]
                axes.plot(at[met], values[met] / unit, markersize=5, **dot)
            if single and row == LOSS and np.isfinite(values).any():
                # The epoch that best.pt keeps.
                best = [int(np.nanargmin(values))]
                dot |= {"markerfacecolor": "white", "markeredgewidth": 1.5, "markersize": 6}
                axes.plot(at[best], values[best] / unit, label="best epoch", **dot)


def _scale_loss(axes: Axes, levels: Sequence[float]) -> None:
    """Scale logarithmically; first epochs and leaps far above the rest do not flatten it."""
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    lines = [line[np.isfinite(line) & (line > 0)] for line in lines]
    values = np.concatenate(lines)
    axes.set_yscale("log")
    plain_ticks(axes.yaxis, (1, 1.5, 2, 3, 5, 7))
    if len(values):
        usual = max([*levels, float(np.median(values))])
        # Where runs end is shown, unless they rose.
        ends = [line[-1] for line in lines if len(line) and line[-1] <= line[0]]
        low, high = (
            0.93 * values.min(),
            min(1.08 * values.max(), max([3 * usual, *(2 * end for end in ends)])),
        )
        axes.set_ylim(low, high)
        if high < 6 * low:
            axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))
        elif high > 100 * low:
            axes.yaxis.set_major_locator(LogLocator())


def _scale_score(
    axes: Axes, scores: Sequence[NDArray[np.float64]], levels: Sequence[float]
) -> None:
    """Leave out what lies far below the usual end of a run, and say how many end there."""
    values = np.concatenate([*scores, levels])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = values.min(), values.max()
    ends = np.array([score[np.isfinite(score)][-1:].sum() for score in scores])
    if len(ends) > 1:
        spread = max(high - np.median(ends), 0.05 * (high - low))
        low = max(low, min([np.median(ends) - 3 * spread, *levels]))
    margin = max(0.05 * (high - low), 1e-3 * abs(high))
    axes.set_ylim(low - margin, high + margin)
    below = int(np.count_nonzero(ends < low - margin))
    if below:
        text = f"{counted(below, 'run')} below"
        axes.annotate(text, (0.99, 0.02), xycoords="axes fraction", ha="right", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=STEPS))


def _scale_time(axes: Axes, times: Sequence[NDArray[np.float64]], axis: str) -> None:
    axes.set_xlabel(TIMES[axis])
    ends = [time[-1] for time in times if len(time)]
    if axis == "seconds" and max(ends) > 20 * min(ends) > 0:
        axes.set_xscale("log")
        plain_ticks(axes.xaxis)
        return
    axes.set_xlim(0, 1.02 * max(ends))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=STEPS, integer=axis == "epoch"))
