"""SQGN with its three sources of curvature pairs, one beside the other.

Gauss–Newton products (Thiele et al. 2021), Hessian products (Byrd et al. 2016) and differences
of gradients (Schraudolph et al. 2007), everything else alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import SQGN_BASELINE
from seistomo.benchmarks.runner import Runner
from seistomo.benchmarks.studies.variants import run_variants
from seistomo.benchmarks.tables import format_table, spread
from seistomo.evaluation import figures
from seistomo.progress import say

EPOCHS = 5
REPEATS = 3
NAME = "study-pairs"
SOURCES: dict[str, dict[str, Any]] = {
    "Gauss-Newton products": {"curvature": "gauss_newton"},
    "Hessian products, M = 1": {"curvature": "hessian"},
    "Hessian products, M = 10": {"curvature": "hessian", "pair_interval": 10},
    "gradient differences": {"curvature": "gradient_difference"},
}


def run_pairs(options: BenchmarkOptions, changes: Mapping[str, Any]) -> str:
    """Train SQGN with each source of pairs and several seeds; return a line about it.

    Parameters
    ----------
    options
        ``repeats`` seeds of ``epochs`` epochs.
    changes
        Options of SQGN that differ from the baseline experiment's.
    """
    identity = {"pixels": options.pixels, "seed": options.seed, "changes": dict(changes)}
    runner = options.runner(NAME, identity)
    base = replace(SQGN_BASELINE.settings(options.epochs, options.pixels), restarts=0)
    variants = {
        name: replace(base, options={**base.options, **changes, **source})
        for name, source in SOURCES.items()
    }
    results = run_variants(runner, variants, options.seeds())
    return _write(results, options, runner, identity)


def _write(
    results: Mapping[str, Sequence[RunResult]],
    options: BenchmarkOptions,
    runner: Runner,
    identity: Mapping[str, Any],
) -> str:
    lines = [("pairs from", "accuracy, %", "training loss", "stuck or diverged")]
    for name, runs in results.items():
        accuracy = [100 * run.accuracy for run in runs]
        loss = [run.last.train_loss for run in runs if not run.diverged]
        failed = f"{sum(run.stuck for run in runs)} of {len(runs)}"
        lines.append((name, spread(accuracy, 2), spread(loss, 3) if loss else "none", failed))
    machine = runner.machine()
    page = (
        f"## Where SQGN's curvature pairs come from, {options.epochs} epochs, {options.pixels}"
        f" pixels\n\n{format_table(lines)}\n{runner.data.name}, {options.repeats} seeds from"
        f" {options.seed}; {machine_line(machine)}\n\n`{options.command}`\n"
    )
    runner.folder.write_text(f"{NAME}.md", page)
    summary = {
        "settings": {**identity, "data": runner.data.identity},
        "epochs": options.epochs,
        "repeats": options.repeats,
        "histories": {
            name: [[asdict(entry) for entry in run.history] for run in runs]
            for name, runs in results.items()
        },
        "diverged": {name: [run.diverged for run in runs] for name, runs in results.items()},
        "machine": machine,
        "command": options.command,
    }
    runner.folder.write_json(NAME, summary)
    curves = {name: [run.columns() for run in runs] for name, runs in results.items()}
    figures.save(figures.learning_curves_figure(curves), runner.folder.path / f"{NAME}.png")
    say(page)
    best = max(lines[1:], key=lambda line: float(line[1].split()[0]))
    return f"{runner.folder.path / NAME}.md: best {best[0]}, {best[1]} %"
