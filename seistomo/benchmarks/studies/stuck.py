"""How often SQGN gets stuck near 10 %, with the first step of the authors' code and the safe one.

Thiele et al. (2021), section 6.1.1: about 3 % of their experiments did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from seistomo.benchmarks.history import STUCK_ACCURACY, RunResult
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import SQGN_BASELINE
from seistomo.benchmarks.runner import Runner
from seistomo.benchmarks.studies.variants import run_variants
from seistomo.benchmarks.tables import format_table, spread
from seistomo.evaluation import figures
from seistomo.progress import say

# As published, and cured; steps are not taken back in either, so that the first step is judged.
CURES = {first: {"first_step": first, "undo_above": 0} for first in ("code", "safe")}
EPOCHS = 2
SEEDS = 200
NAME = "study-stuck"


def run_stuck(options: BenchmarkOptions, changes: Mapping[str, Any]) -> str:
    """Train SQGN for a few epochs with many seeds, both ways; return a line about it.

    Parameters
    ----------
    options
        ``repeats`` seeds of ``epochs`` epochs.
    changes
        Options of SQGN that differ from the baseline experiment's.
    """
    identity = {"pixels": options.pixels, "changes": dict(changes)}
    runner = options.runner(NAME, identity)
    base = replace(SQGN_BASELINE.settings(options.epochs, options.pixels), restarts=0)
    variants = {
        first: replace(base, options={**base.options, **changes, **cure})
        for first, cure in CURES.items()
    }
    results = run_variants(runner, variants, options.seeds())
    return _write(results, options, runner, identity)


def _write(
    results: Mapping[str, Sequence[RunResult]],
    options: BenchmarkOptions,
    runner: Runner,
    identity: Mapping[str, Any],
) -> str:
    accuracies = {first: [result.accuracy for result in found] for first, found in results.items()}
    stuck = {first: sum(result.stuck for result in found) for first, found in results.items()}
    lines = [("first step", "runs", "stuck", "accuracy, %", "lowest, %")]
    for first, values in accuracies.items():
        percent = [100 * value for value in values]
        lines.append(
            (first, str(len(values)), str(stuck[first]), spread(percent, 2), f"{min(percent):.2f}")
        )
    machine = runner.machine()
    page = (
        f"## SQGN runs that get stuck, {options.epochs} epochs, {options.pixels} pixels\n\n"
        f"{format_table(lines)}\nStuck: test accuracy below {STUCK_ACCURACY:.0%} with the loss of"
        f" guessing, or a loss that is not finite.\n{runner.data.name}, seeds from {options.seed};"
        f" {machine_line(machine)}\n\n`{options.command}`\n"
    )
    runner.folder.write_text(f"{NAME}.md", page)
    summary = {
        "settings": {**identity, "data": runner.data.identity},
        "epochs": options.epochs,
        "seeds": list(options.seeds()),
        "stuck": stuck,
        "stuck_seeds": {
            first: [seed for seed, run in zip(options.seeds(), found, strict=True) if run.stuck]
            for first, found in results.items()
        },
        "test_accuracy": accuracies,
        "last_epochs": {
            first: [asdict(run.last) for run in found] for first, found in results.items()
        },
        "machine": machine,
        "command": options.command,
    }
    runner.folder.write_json(NAME, summary)
    figures.save(
        figures.stuck_figure(
            {f"first step: {first}": values for first, values in accuracies.items()}
        ),
        runner.folder.path / f"{NAME}.png",
    )
    say(page)
    counts = ", ".join(
        f"{first} {count} of {len(results[first])}" for first, count in stuck.items()
    )
    return f"{runner.folder.path / NAME}.md: stuck with first step {counts}"
