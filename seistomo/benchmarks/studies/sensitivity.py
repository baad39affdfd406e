"""Accuracy against SQGN's options over decades, one at a time, beside Adam's learning rate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import ADAM_BASELINE, SQGN_BASELINE
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.tables import format_table, spread
from seistomo.evaluation import figures
from seistomo.progress import say

EPOCHS = 5
NAME = "study-sensitivity"
LEARNING_RATE = "learning_rate"


@dataclass(frozen=True)
class Sweep:
    """One option varied while the others stay as in the baseline experiment.

    Attributes
    ----------
    optimizer
        ``sqgn`` or ``adam``.
    option
        What is varied.
    symbol
        What the paper calls it.
    values
        Over decades, the baseline's among them.
    """

    optimizer: str
    option: str
    symbol: str
    values: tuple[float, ...]

    def settings(self, base: RunSettings, value: float) -> RunSettings:
        """Return the settings with the option at a value."""
        if self.option == LEARNING_RATE:
            return replace(base, learning_rate=value)
        options = {**base.options, self.option: value}
        if self.option == "curvature_samples" and value == base.batch_size:
            del options[self.option]
        return replace(base, options=options)

    def baseline(self, base: RunSettings) -> float:
        """Return the option's value in the baseline experiment."""
        if self.option == LEARNING_RATE:
            return base.learning_rate
        return base.options.get(self.option, base.batch_size)


SWEEPS = (
    Sweep("adam", LEARNING_RATE, "α", (1e-4, 1e-3, 1e-2, 1e-1, 1.0)),
    Sweep("sqgn", LEARNING_RATE, "α", (1e-3, 1e-2, 1e-1, 1.0)),
    Sweep("sqgn", "damping", "λ", (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)),
    Sweep("sqgn", "history", "L", (1, 2, 5, 10, 20, 50, 100)),
    Sweep("sqgn", "pair_interval", "M", (1, 2, 5, 10, 20, 50, 100)),
    # Divisors of 60, as the method wants them.
    Sweep("sqgn", "full_gradient_interval", "K", (2, 5, 10, 20, 60)),
    Sweep("sqgn", "curvature_samples", "|T|", (1, 10, 100, 1000)),
)


def run_sensitivity(options: BenchmarkOptions) -> str:
    """Run all sweeps; return a line that says how far accuracy moved."""
    identity = {"pixels": options.pixels, "seed": options.seed}
    runner = options.runner(NAME, identity)
    bases = {
        "sqgn": replace(SQGN_BASELINE.settings(options.epochs, options.pixels), restarts=0),
        "adam": ADAM_BASELINE.settings(options.epochs, options.pixels),
    }
    points = [(sweep, value) for sweep in SWEEPS for value in sweep.values]
    results: list[list[RunResult]] = [[] for _ in points]
    for number, seed in enumerate(options.seeds(), start=1):
        jobs = [
            Job(
                replace(sweep.settings(bases[sweep.optimizer], value), seed=seed),
                f"{sweep.optimizer}, {sweep.symbol} = {value:g}, {number}/{options.repeats}",
            )
            for sweep, value in points
        ]
        for collected, result in zip(results, runner.run_all(jobs), strict=True):
            collected.append(result)
    measured = {
        sweep: {v: found for (s, v), found in zip(points, results, strict=True) if s is sweep}
        for sweep in SWEEPS
    }
    return _write(measured, bases, options, runner, identity)


def _write(
    measured: Mapping[Sweep, Mapping[float, Sequence[RunResult]]],
    bases: Mapping[str, RunSettings],
    options: BenchmarkOptions,
    runner: Runner,
    identity: Mapping[str, Any],
) -> str:
    machine, lines, curves, summary = runner.machine(), [], [], []
    for sweep, found in measured.items():
        accuracy = {value: [run.accuracy for run in runs] for value, runs in found.items()}
        title = f"{sweep.optimizer.upper()}: {sweep.symbol}".replace("ADAM", "Adam")
        base = sweep.baseline(bases[sweep.optimizer])
        curves.append(figures.SensitivityCurve(title, accuracy, base))
        for value, values in accuracy.items():
            mark = " (baseline)" if value == base else ""
            lines.append(
                (title.replace("|", ""), f"{value:g}{mark}", spread([100 * a for a in values], 2))
            )
        summary.append(
            {
                "optimizer": sweep.optimizer,
                "option": sweep.option,
                "baseline": base,
                "values": list(accuracy),
                "test_accuracy": list(accuracy.values()),
            }
        )
    page = (
        f"## Accuracy against single options, {options.epochs} epochs, {options.pixels} pixels\n\n"
        + format_table([("option", "value", "accuracy, %"), *lines])
        + f"\n{runner.data.name}, {options.repeats} seeds from {options.seed};"
        f" {machine_line(machine)}\n\n`{options.command}`\n"
    )
    runner.folder.write_text(f"{NAME}.md", page)
    content = {
        "settings": {**identity, "data": runner.data.identity},
        "epochs": options.epochs,
        "repeats": options.repeats,
        "machine": machine,
        "command": options.command,
        "sweeps": summary,
    }
    runner.folder.write_json(NAME, content)
    picture = runner.folder.path / f"{NAME}.png"
    figures.save(figures.sensitivity_figure(curves), picture)
    say(page)
    return f"{picture}: {len(lines)} settings, {options.epochs} epochs each"
