"""The ablation's table, numbers and figure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scipy.stats import t as student

from seistomo.benchmarks.ablation_variants import BASELINE, network_cost
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.benchmarks.tables import NOTHING, format_table, mean_and_deviation, spread
from seistomo.benchmarks.tomography.outcome import CHECKPOINTS, Outcome
from seistomo.benchmarks.tomography.rows import Row
from seistomo.config import Config
from seistomo.evaluation import figures
from seistomo.evaluation.figures import AblationRow

SHOWN = "best"
"""Checkpoint of the table: the best epoch by validation loss, which `seistomo predict` takes."""
METRICS = ("loss", "rmse", "ssim", "salt_iou")
LOSS_UNIT = 1e8
CONFIDENCE = 0.95
HEADINGS = (
    *("variant", "loss, 10⁸ (m/s)²", "RMSE, m/s", "change", "SSIM", "change", "salt IoU"),
    *("change", "s a training", "weights", "GFLOP", "best epoch", "runs"),
)
LAST_HEADINGS = ("variant", "what is changed", "RMSE, m/s", "SSIM", "salt IoU")


@dataclass(frozen=True)
class AboutAblation:
    """What all runs of an ablation have in common.

    Attributes
    ----------
    size
        Its name.
    identity
        What tells these results from others.
    epochs, repeats
        Of each run, and runs of each variant.
    counts
        Samples of each split.
    machine
        As of `describe_machine`.
    command
        The command line.
    complete
        Whether all runs are done.
    """

    size: str
    identity: Mapping[str, Any]
    epochs: int
    repeats: int
    counts: Mapping[str, int]
    machine: Mapping[str, Any]
    command: str
    complete: bool


@dataclass(frozen=True)
class MeasuredVariant:
    """The repeats of one variant with one optimizer.

    Attributes
    ----------
    row
        The optimizer.
    name, about
        The variant, and what it changes.
    config
        Its configuration.
    outcomes
        Of the seeds that are done.
    """

    row: Row
    name: str
    about: str
    config: Config
    outcomes: Sequence[Outcome]

    @cached_property
    def whole(self) -> list[Outcome]:
        """The runs that did not diverge."""
        return [one for one in self.outcomes if one.scores and not one.diverged]

    def scores(self, metric: str, checkpoint: str = SHOWN) -> dict[int, float]:
        """Return a score of the test split by seed; those that do not exist are left out."""
        found = {one.seed: one.scores[checkpoint][metric] for one in self.whole}
        return {seed: value for seed, value in found.items() if value is not None}

    @property
    def validation_loss(self) -> float:
        """The mean over the runs of their best validation loss, (m/s)²."""
        return statistics.fmean(
            min(entry.validation_loss for entry in one.history) for one in self.whole
        )

    def mean(self, metric: str) -> float:
        """Return the mean of a score over the runs."""
        return statistics.fmean(self.scores(metric).values())

    def seconds(self) -> list[float]:
        """Return the optimizer's seconds of each whole training."""
        return [one.history[-1].seconds for one in self.whole]


def paired_change(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> dict[str, float | int | None]:
    """Return how far values lie above those of the baseline with the same seed.

    Parameters
    ----------
    values, baseline
        By seed; seeds that are not in both are left out.

    Returns
    -------
    ``mean`` of the differences, its ``standard_error`` (None for fewer than two), and ``pairs``.
    """
    differences = [value - baseline[seed] for seed, value in values.items() if seed in baseline]
    count = len(differences)
    error = statistics.stdev(differences) / math.sqrt(count) if count > 1 else None
    mean = statistics.fmean(differences) if differences else None
    return {"mean": mean, "standard_error": error, "pairs": count}


def write_ablation(
    folder: BenchmarkFolder, name: str, measured: Sequence[MeasuredVariant], about: AboutAblation
) -> str:
    """Write ``NAME.md``, ``.json`` and ``.png``; return the tables.

    Parameters
    ----------
    folder, name
        Where.
    measured
        All variants, those of an optimizer together.
    about
        What they have in common.
    """
    rows = list({one.row.name: one.row for one in measured}.values())
    groups = [[one for one in measured if one.row is row] for row in rows]
    tables = "\n".join(f"### {_of(group).row.label}\n\n{_table(group)}" for group in groups)
    last = "\n".join(f"### {_of(group).row.label}\n\n{_last_table(group)}" for group in groups)
    page = (
        f"## What makes predictions better, {about.size} size\n\n{tables}\n"
        f"{_below(measured, about)}\n## The same at the last epoch\n\n{last}\n`{about.command}`\n"
    )
    folder.write_text(f"{name}.md", page)
    folder.write_json(name, _record(groups, about))
    drawn = {_of(group).row.label: _figure_rows(group) for group in groups}
    drawn = {label: lines for label, lines in drawn.items() if lines}
    figures.save(figures.ablation_figure(drawn), folder.path / f"{name}.png")
    return tables


def _of(group: Sequence[MeasuredVariant]) -> MeasuredVariant:
    """Return the baseline of an optimizer's variants."""
    return next(one for one in group if one.name == BASELINE)


def _table(group: Sequence[MeasuredVariant]) -> str:
    baseline = _of(group)
    return format_table([HEADINGS, *(_cells(one, baseline) for one in group)])


def _cells(one: MeasuredVariant, baseline: MeasuredVariant) -> list[str]:
    cost = network_cost(one.config)
    loss = [value / LOSS_UNIT for value in one.scores("loss").values()]
    return [
        one.name,
        _spread(loss, 3),
        *_pair(one, baseline, "rmse", 0),
        *_pair(one, baseline, "ssim", 3),
        *_pair(one, baseline, "salt_iou", 2),
        _spread(one.seconds(), 0 if min(one.seconds(), default=0) >= 10 else 2),
        f"{cost.weights:,}",
        f"{cost.gigaflops:.3g}",
        _range([one.scores[SHOWN]["epoch"] for one in one.whole]),
        str(len(one.whole)),
    ]


def _pair(
    one: MeasuredVariant, baseline: MeasuredVariant, metric: str, digits: int
) -> tuple[str, str]:
    """Return a score and its change as text."""
    values = one.scores(metric)
    score = _spread(list(values.values()), digits)
    if one is baseline:
        return score, NOTHING
    change = paired_change(values, baseline.scores(metric))
    if not change["pairs"]:
        return score, NOTHING
    # A change is smaller than what changes: one digit more, where there is but one.
    digits = max(digits, 1) if metric == "rmse" else digits
    text = f"{change['mean']:+.{digits}f}".replace("-", "−")
    if change["standard_error"] is not None:
        text += f" ± {change['standard_error']:.{digits}f}"
    return score, text


def _last_table(group: Sequence[MeasuredVariant]) -> str:
    lines = [
        (
            one.name,
            one.about,
            _spread(list(one.scores("rmse", "last").values()), 0),
            _spread(list(one.scores("ssim", "last").values()), 3),
            _spread(list(one.scores("salt_iou", "last").values()), 2),
        )
        for one in group
    ]
    return format_table([LAST_HEADINGS, *lines])


def _below(measured: Sequence[MeasuredVariant], about: AboutAblation) -> str:
    """Return what must be said below the table."""
    counts = about.counts
    text = (
        f"Test split ({counts['test']} samples, without noise), weights of the **best epoch by"
        " validation loss**; mean ± standard deviation over runs. Loss: Eq. 9. Change: difference"
        " to the baseline's run with the same seed (same start weights where the network is the"
        " same, same batches), mean ± its standard error"
    )
    if about.repeats > 1:
        quantile = student.ppf((1 + CONFIDENCE) / 2, about.repeats - 1)
        text += (
            f"; with {about.repeats} pairs one above {quantile:.1f} standard errors is significant"
            f" at {1 - CONFIDENCE:.0%}, one variant taken by itself"
        )
    lines = [
        f"{text}. s a training: optimizer time of {about.epochs} epochs; GFLOP: of the gradient of"
        " one sample.",
        f"- {machine_line(dict(about.machine))}",
        *(
            f"- Diverged: {one.row.name}, {one.name}, seed {run.seed}: {run.diverged}."
            for one in measured
            for run in one.outcomes
            if run.diverged
        ),
    ]
    if not about.complete:
        lines.append(
            f"- **Not complete**: {about.repeats} runs of each variant are wanted; the same command"
            " goes on."
        )
    return "\n".join([lines[0], "", *lines[1:], ""])


def _record(groups: Sequence[Sequence[MeasuredVariant]], about: AboutAblation) -> dict[str, Any]:
    return {
        "settings": dict(about.identity),
        "complete": about.complete,
        "epochs": about.epochs,
        "repeats": about.repeats,
        "samples": dict(about.counts),
        "checkpoint": SHOWN,
        "machine": dict(about.machine),
        "command": about.command,
        "variants": [_summary(one, _of(group)) for group in groups for one in group],
    }


def _summary(one: MeasuredVariant, baseline: MeasuredVariant) -> dict[str, Any]:
    cost = network_cost(one.config)
    return {
        "optimizer": one.row.name,
        "name": one.name,
        "about": one.about,
        "seeds": [run.seed for run in one.whole],
        "diverged": {run.seed: run.diverged for run in one.outcomes if run.diverged},
        "test": {
            checkpoint: {
                metric: {
                    **mean_and_deviation(list(one.scores(metric, checkpoint).values())),
                    "runs": one.scores(metric, checkpoint),
                    "change": paired_change(
                        one.scores(metric, checkpoint), baseline.scores(metric, checkpoint)
                    ),
                }
                for metric in METRICS
            }
            for checkpoint in CHECKPOINTS
        },
        "best_epochs": [run.scores[SHOWN]["epoch"] for run in one.whole],
        "seconds": one.seconds(),
        "weights": cost.weights,
        "gradient_gflop": cost.gigaflops,
    }


def _figure_rows(group: Sequence[MeasuredVariant]) -> list[AblationRow]:
    return [
        AblationRow(one.name, *(list(one.scores(name).values()) for name in ("rmse", "ssim")))
        for one in group
        if one.whole
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    return spread(values, digits) if values else NOTHING


def _range(values: Sequence[int]) -> str:
    if not values:
        return NOTHING
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
