"""Rows of settings, each repeated with several seeds, and the table and curves they make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.paper import PAPER_EPOCHS, TABLES, TITLES, PaperRow, paper_row
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.tables import MeasuredRow, markdown_table
from seistomo.benchmarks.tuning import tune_learning_rate
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.progress import say


@dataclass(frozen=True)
class Row:
    """A row to be run.

    Attributes
    ----------
    label
        What it is called.
    settings
        What to run; the seed is each repeat's.
    paper
        The paper's experiment that it repeats, if any; the row is shown after as many epochs at
        most.
    note
        What to say below the table.
    """

    label: str
    settings: RunSettings
    paper: PaperRow | None = None
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """A table to be made.

    Attributes
    ----------
    name, title
        Name of its files, and its heading.
    rows
        What to run.
    identity
        What tells it from other tables of that name.
    """

    name: str
    title: str
    rows: Sequence[Row]
    identity: Mapping[str, Any]


def run_table(table: str, options: BenchmarkOptions, tune: bool = False) -> str:
    """Run one of the SQGN paper's tables; return a line that says what came out.

    Parameters
    ----------
    table
        ``1``, ``2``, ``3`` or ``ablation``.
    options
        How.
    tune
        Whether the learning rates of first-order methods are chosen anew from the paper's set,
        on the validation split.

    Raises
    ------
    InputError
        For a table that the paper does not have, and results with other settings in the folder.
    """
    if table not in TABLES:
        raise InputError(f"--table {table}: must be one of {', '.join(TABLES)}")
    pixels, name = options.pixels, f"table-{table}-{options.pixels}"
    identity = {"table": table, "pixels": pixels, "tune": tune, "seed": options.seed}
    runner = options.runner(name, identity)
    rows = []
    for paper in TABLES[table]:
        if paper.epochs < PAPER_EPOCHS and paper.epochs > options.epochs:
            continue
        settings, note = paper.settings(options.epochs, pixels), ""
        if tune and paper.tuned:
            rate, note = tune_learning_rate(runner, settings, paper.label)
            settings = replace(settings, learning_rate=rate)
        rows.append(Row(paper.label, settings, paper, note))
    title = f"{TITLES[table]}; {pixels} pixels"
    return compare(Comparison(name, title, rows, identity), options, runner)


def run_optimizer(settings: RunSettings, options: BenchmarkOptions) -> str:
    """Run one optimizer; return a line that says what came out.

    Parameters
    ----------
    settings
        What to run; where it is an experiment of the paper, its numbers are put beside.
    options
        How.
    """
    identity = {
        key: getattr(settings, key)
        for key in ("optimizer", "learning_rate", "options", "batch_size", "pixels", "schedule")
    }
    identity["seed"] = options.seed
    label = settings.optimizer.rpartition(".")[2]
    name = f"{label}-{settings.learning_rate:g}-b{settings.batch_size}-{settings.pixels}"
    runner = options.runner(name, identity)
    paper = paper_row(settings)
    row = Row(paper.label if paper else label, settings, paper)
    title = f"{row.label} on MNIST; {settings.pixels} pixels"
    return compare(Comparison(name, title, [row], identity), options, runner)


def compare(comparison: Comparison, options: BenchmarkOptions, runner: Runner) -> str:
    """Run all rows, repeat after repeat, and write what they give; return a line about it.

    ``NAME.md`` and ``NAME.json`` are written after every round of repeats, so that there is
    something to look at early.
    """
    results: list[list[RunResult]] = [[] for _ in comparison.rows]
    for number, seed in enumerate(options.seeds(), start=1):
        jobs = [
            Job(replace(row.settings, seed=seed), f"{row.label}, {number}/{options.repeats}")
            for row in comparison.rows
        ]
        for collected, result in zip(results, runner.run_all(jobs), strict=True):
            collected.append(result)
        measured = [
            _measured(row, collected)
            for row, collected in zip(comparison.rows, results, strict=True)
        ]
        page = _write(comparison, measured, options, runner)
    draw_curves(comparison.name, measured, runner)
    say(page)
    best = max(measured, key=lambda row: row.summary()["test_accuracy"]["mean"])
    accuracy = best.summary()["test_accuracy"]["mean"]
    return f"{runner.folder.path / comparison.name}.md: {best.label} reached {accuracy:.2%}"


def draw_curves(name: str, measured: Sequence[MeasuredRow], runner: Runner) -> None:
    """Draw loss and accuracy of all rows against epochs and against seconds (Figure 1)."""
    shown = [
        row
        for place, row in enumerate(measured)
        if not any(_goes_on(row, other) for other in measured[place + 1 :])
    ]
    methods = {row.label: [result.columns() for result in row.results] for row in shown}
    for against in ("epoch", "seconds"):
        figure = figures.learning_curves_figure(methods, against)
        figures.save(figure, runner.folder.path / f"{name}-{against}.png")


def _goes_on(row: MeasuredRow, other: MeasuredRow) -> bool:
    """Whether the other row is the same runs, as long or longer."""
    pairs = list(zip(row.results, other.results, strict=True))
    return all(
        len(short.history) <= len(long.history)
        and long.history[: len(short.history)] == short.history
        for short, long in pairs
    )


def _measured(row: Row, results: Sequence[RunResult]) -> MeasuredRow:
    if row.paper is not None:
        results = [result.first_epochs(row.paper.epochs) for result in results]
    return MeasuredRow(row.label, row.settings.learning_rate, results, row.paper, row.note)


def _write(
    comparison: Comparison,
    measured: Sequence[MeasuredRow],
    options: BenchmarkOptions,
    runner: Runner,
) -> str:
    """Write table and summary; return the table with what belongs to it."""
    machine, name = runner.machine(), comparison.name
    adam = next((row for row in measured if row.label.startswith("Adam")), None)
    notes = "".join(f"- {row.note}\n" for row in measured if row.note)
    page = (
        f"## {comparison.title}\n\n{markdown_table(measured, adam)}\n"
        'Mean ± standard deviation over runs; time of optimizer steps, median. "paper": Thiele'
        f" et al. (2021), section 6.1, five runs.\n{runner.data.name}, seeds from {options.seed};"
        f" {machine_line(machine)}\n{notes}\n`{options.command}`\n"
    )
    runner.folder.write_text(f"{name}.md", page)
    summary = {
        "settings": {**comparison.identity, "data": runner.data.identity},
        "epochs": options.epochs,
        "repeats": len(measured[0].results),
        "data": runner.data.name,
        "machine": machine,
        "command": options.command,
        "rows": [row.summary() for row in measured],
    }
    runner.folder.write_json(name, summary)
    return page
