"""The race's tables, numbers and figure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.benchmarks.studies.race import time_spread
from seistomo.benchmarks.tables import NOTHING, format_table, mean_and_deviation, spread
from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.studies.race_length import seconds_to
from seistomo.benchmarks.tomography.studies.race_result import (
    REFERENCE,
    Finish,
    Tried,
    final_loss,
    target_of,
)
from seistomo.evaluation import figures
from seistomo.progress import say

LOSS_UNIT = 1e8
# A second, easier target: this many times the loss.
NEAR = 1.05
TEST = ("loss", "rmse", "ssim", "salt_iou")
HEADINGS = (
    *("optimizer", "s to target", "s, each", f"s to {NEAR:g} × target", "loss, 10⁸ (m/s)²"),
    *("SSIM", "test RMSE, m/s", "test SSIM", "test salt IoU", "s a run", "epochs", "runs"),
)
TUNING_HEADINGS = ("optimizer", "trials", "diverged", "tuning, s", "best settings")
TRIAL_HEADINGS = (
    *("trial", "epochs", "s", "loss, 10⁸ (m/s)²", "SSIM", "s to Adam's best loss", "settings"),
)
NEVER = "never"


@dataclass(frozen=True)
class AboutRace:
    """What all runs of a race have in common.

    Attributes
    ----------
    size
        Its name.
    identity
        What tells these results from others.
    seconds
        Optimizer time of every run, s.
    trials, repeats
        Of each optimizer.
    counts
        Samples of each split.
    machine
        As of `describe_machine`.
    command
        The command line.
    """

    size: str
    identity: Mapping[str, Any]
    seconds: float
    trials: int
    repeats: int
    counts: Mapping[str, int]
    machine: Mapping[str, Any]
    command: str


def write_race(
    folder: BenchmarkFolder, name: str, finishes: Sequence[Finish], about: AboutRace
) -> str:
    """Write ``NAME.md``, ``.json`` and ``.png``; return a line that says who was fastest.

    Parameters
    ----------
    folder, name
        Where.
    finishes
        What became of each optimizer, Adam among them.
    about
        What they have in common.
    """
    target = target_of(finishes)
    table = format_table([HEADINGS, *(_cells(one, target) for one in finishes)])
    folder.write_text(f"{name}.md", _page(table, finishes, target, about))
    folder.write_json(name, _record(finishes, target, about))
    curves = {
        _label(one): [run.columns() for run in one.outcomes if run.history]
        for one in finishes
        if any(run.history for run in one.outcomes)
    }
    figures.save(figures.tomography_race_figure(curves, target), folder.path / f"{name}.png")
    say(table)
    racing = [one for one in finishes if not one.control]
    told = ", ".join(f"{one.name} {_time(_median(one.times(target)))}" for one in racing)
    return f"{folder.path / name}.md: median time to a loss of {target:.3g} (m/s)²: {told}"


def _page(table: str, finishes: Sequence[Finish], target: float, about: AboutRace) -> str:
    racing = [one for one in finishes if not one.control]
    tuning = format_table([TUNING_HEADINGS, *map(_tuning_cells, racing)])
    adam = next(one for one in finishes if one.name == REFERENCE)
    lines = [_trial_cells(tried, adam.best.loss) for one in racing for tried in one.tried]
    return (
        f"## Seconds of optimizer time to Adam's loss, {about.size} size\n\n{table}\n"
        f"{_below(finishes, target, about)}\n## Tuning\n\n{tuning}\n"
        f"{about.trials} trials each with seed {about.identity['seed']}, each of {about.seconds:g}"
        " s of optimizer time, chosen by the validation split: Adam's by the lowest loss at the"
        " end, the others' by the time to that loss, and where none gets there by the lowest"
        " loss.\n\n## All trials\n\n"
        f"{format_table([TRIAL_HEADINGS, *lines])}\n`{about.command}`\n"
    )


def _below(finishes: Sequence[Finish], target: float, about: AboutRace) -> str:
    """Return what must be said below the first table."""
    counts = about.counts
    diverged = [
        f"- Diverged: {_label(one)}, seed {run.seed}: {run.diverged}."
        for one in finishes
        for run in one.outcomes
        if run.diverged
    ]
    failed = [f"- {_label(one)}: all trials diverged." for one in finishes if one.best is None]
    rivals = [one for one in finishes if one.name != REFERENCE and not one.control]
    lines = [
        f"Target: {target / LOSS_UNIT:.4g} · 10⁸ (m/s)², the mean validation loss at the end of"
        f" Adam's runs, so about half of them arrive. The best settings of each, {about.repeats}"
        f" runs with new seeds, {about.seconds:g} s of optimizer time each; mean ± standard"
        " deviation. Times are those of runs that arrived, at the end of the epoch in which they"
        f' did; "{NEVER}": not within the time (a run ends with the last epoch that fits). Loss'
        " and SSIM: validation split"
        f" ({counts['validation']} samples) at the end; test: {counts['test']} samples, at the"
        " end.",
        *(_verdict(one, finishes, target) for one in rivals),
        "- A cosine arrives at its end, so Adam's best settings ran once more with half the epochs:"
        " whoever is faster than the first row only may be slower than that schedule. Adam's trials"
        " have no larger or growing batches and no averages of weights.",
        *failed,
        *diverged,
        f"- {machine_line(dict(about.machine))}",
    ]
    return "\n".join([lines[0], "", *lines[1:], ""])


def _verdict(one: Finish, finishes: Sequence[Finish], target: float) -> str:
    """Return in words how an optimizer fared against Adam."""
    adam = next(finish for finish in finishes if finish.name == REFERENCE)
    parts = [
        f"{_arrivals(one, goal)} (Adam: {_arrivals(adam, goal)})"
        for goal in (target, NEAR * target)
    ]
    text = f"- {_label(one)}: target, {parts[0]}; {NEAR:g} times it, {parts[1]}."
    if one.whole:
        ours, adams = (
            _spread([run.history[-1].ssim for run in finish.whole], 3) for finish in (one, adam)
        )
        text += f" SSIM at the end: {ours} against {adams}."
    there = [ssim for run in one.whole for ssim in _ssim_at(run, target)]
    if there:
        text += f" SSIM where they arrive: {_spread(there, 3)}."
    return text


def _ssim_at(one: Outcome, loss: float) -> list[float]:
    """Return the SSIM of the first epoch with so low a loss, if there is one."""
    return [row.ssim for row in one.history if row.validation_loss <= loss][:1]


def _arrivals(one: Finish, loss: float) -> str:
    times = one.times(loss)
    arrived = sum(map(math.isfinite, times))
    return f"{arrived} of {len(times)} runs arrive, median {_time(_median(times))}"


def _cells(one: Finish, target: float) -> list[str]:
    times, ends = one.times(target), [run.history[-1] for run in one.whole]
    tests = [run.scores["last"] for run in one.whole if run.scores]
    return [
        _label(one),
        time_spread(times),
        " ".join(map(_short, times)) or NOTHING,
        time_spread(one.times(NEAR * target)),
        _spread([end.validation_loss / LOSS_UNIT for end in ends], 3),
        _spread([end.ssim for end in ends], 3),
        _spread([test["rmse"] for test in tests], 0),
        _spread([test["ssim"] for test in tests], 3),
        _spread([test["salt_iou"] for test in tests if test["salt_iou"] is not None], 2),
        _spread([end.seconds for end in ends], 1),
        _range([end.epoch for end in ends]),
        f"{len(one.whole)} of {len(one.outcomes)}",
    ]


def _tuning_cells(one: Finish) -> tuple[str, ...]:
    diverged = sum(bool(tried.outcome.diverged) for tried in one.tried)
    best = f"{one.best.trial.text}, {one.best.epochs} epochs" if one.best else NOTHING
    return (*(_label(one), str(len(one.tried)), str(diverged), _short(one.tuning_seconds()), best),)


def _trial_cells(tried: Tried, loss: float) -> list[str]:
    history = tried.outcome.history
    name, settings = f"{tried.trial.row.label} {tried.trial.number}", tried.trial.text
    if not history or tried.outcome.diverged:
        return [name, "diverged", *[NOTHING] * 4, settings]
    end = history[-1]
    return [
        *(name, str(end.epoch), f"{end.seconds:.1f}", f"{end.validation_loss / LOSS_UNIT:.3f}"),
        *(f"{end.ssim:.3f}", _short(seconds_to(history, loss)), settings),
    ]


def _record(finishes: Sequence[Finish], target: float, about: AboutRace) -> dict[str, Any]:
    return {
        "settings": dict(about.identity),
        "target": target,
        "near": NEAR,
        "trials": about.trials,
        "repeats": about.repeats,
        "samples": dict(about.counts),
        "machine": dict(about.machine),
        "command": about.command,
        "optimizers": {
            one.name: _summary(one, finishes, target) for one in finishes if not one.control
        },
        "controls": {one.name: _summary(one, finishes, target) for one in finishes if one.control},
    }


def _summary(one: Finish, finishes: Sequence[Finish], target: float) -> dict[str, Any]:
    adam = next(finish for finish in finishes if finish.name == REFERENCE)
    tests = [run.scores["last"] for run in one.whole if run.scores]
    return {
        "best": one.best and one.best.trial.name,
        "settings": one.best and _settings(one.best),
        "seeds": [run.seed for run in one.outcomes],
        "seconds_to_target": one.times(target),
        "seconds_to_near": one.times(NEAR * target),
        "never": sum(map(math.isinf, one.times(target))),
        "validation_loss": mean_and_deviation([final_loss(run) for run in one.whole]),
        "validation_ssim": mean_and_deviation([run.history[-1].ssim for run in one.whole]),
        "test": {
            name: mean_and_deviation([test[name] for test in tests if test[name] is not None])
            for name in TEST
        },
        "diverged": {run.seed: run.diverged for run in one.outcomes if run.diverged},
        "runs": [_run(run) for run in one.outcomes],
        "tuning_seconds": one.tuning_seconds(),
        "trials": [
            {
                **_settings(tried),
                **_run(tried.outcome),
                "seconds_to_adams_best": seconds_to(tried.outcome.history, adam.best.loss),
            }
            for tried in one.tried
        ],
    }


def _settings(tried: Tried) -> dict[str, Any]:
    trial = tried.trial
    return {
        "name": trial.name,
        "learning_rate": trial.row.learning_rate,
        "schedule": trial.schedule,
        "schedule_epochs": tried.epochs,
        "batch_size": trial.batch_size,
        "batch_doublings": trial.doublings,
        "averaging": trial.averaging,
        "curvature_share": trial.row.curvature_share,
        "options": dict(trial.row.options),
    }


def _run(one: Outcome) -> dict[str, Any]:
    end = one.history[-1] if one.history else None
    return {
        "run": one.path.name,
        "epochs": one.epochs,
        "seconds": end and end.seconds,
        "validation_loss": end and end.validation_loss,
        "validation_ssim": end and end.ssim,
        "diverged": one.diverged,
    }


def _label(one: Finish) -> str:
    label = one.tried[0].trial.row.label
    return f"{label}, half the time" if one.control else label


def _median(times: Sequence[float]) -> float:
    """Return the median; runs that never arrive count as late."""
    return statistics.median(times) if times else math.inf


def _time(seconds: float) -> str:
    return f"{_short(seconds)} s" if math.isfinite(seconds) else NEVER


def _short(seconds: float) -> str:
    if math.isinf(seconds):
        return NEVER
    return f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.2f}"


def _spread(values: Sequence[float], digits: int) -> str:
    return spread(values, digits) if values else NOTHING


def _range(values: Sequence[int]) -> str:
    if not values:
        return NOTHING
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
