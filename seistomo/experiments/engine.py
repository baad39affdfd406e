"""Runs a study: what is done is not done again, what was begun goes on, what is there is shown."""

import math
import shutil
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from seistomo.config.schema import require_same
from seistomo.errors import InputError
from seistomo.experiments import problems, records
from seistomo.experiments.page import write_page
from seistomo.experiments.records import RUNS, TUNING, run_key
from seistomo.experiments.study import MethodEntry, Study, parse_study
from seistomo.experiments.work import Work, problem_options, resolved
from seistomo.files import read_text, reading, write_text
from seistomo.training.batches import check_interval
from seistomo.training.checkpoint import FREE_KEYS
from seistomo.training.fit import build_optimizer

STUDY = "study.toml"
# Under a limit of time all methods go on by so many parts of their epochs in turns.
ROUNDS = 10


def check_methods(work: Work, entries: Iterable[MethodEntry]) -> None:
    """Refuse methods that cannot be before any is run, where one has runs yet to begin."""
    known: dict[str, Any] = {}
    for entry in entries:
        keys = [run_key(entry.name, seed) for seed in work.study.seed_range]
        if all((work.out / RUNS / key).is_dir() for key in keys):
            continue
        name = str(problem_options(work.study, entry))
        if name not in known:
            known = {name: work.problem(entry)}
        problem = known[name]
        method, settings = resolved(entry, problem)
        optimizer = build_optimizer(method, [torch.nn.Parameter(torch.zeros(1))])
        try:
            samples = problems.training_samples(problem, settings)
            check_interval(settings, optimizer, method.options, samples)
        except InputError as error:
            raise InputError(f"method {entry.name}: {error}") from None


def run_study(
    study: Study,
    out: str | Path,
    *,
    shard: tuple[int, int] = (1, 1),
    minutes: float | None = None,
    overwrite: bool = False,
    command: str = "",
) -> str:
    """Run what is missing of a study and write its page; return a line that says what came out.

    Parameters
    ----------
    study
        The study.
    out
        Its folder: runs in ``runs/``, the page ``index.md``, numbers in ``table.json``, figures.
    shard
        This process's number and how many share the runs, as (1, 4); the page shows what is there.
    minutes
        Stop after so many; the same call goes on. None: go on to the end.
    overwrite
        Whether the runs of the study's methods that are there are made anew.
    command
        The command line, for the page.

    Raises
    ------
    InputError
        For settings that cannot be, a folder of another study, and runs with other settings.
    """
    out = Path(out)
    tuned = [entry for entry in study.trained if study.tuned(entry)]
    if tuned and shard != (1, 1) and study.target and study.target.method:
        raise InputError(
            "--shard: this study's target is what a method's trials reach: run it whole"
        )
    if overwrite and shard != (1, 1):
        raise InputError("--overwrite: with --shard it would remove the others' runs; give one")
    _prepare(study, out, [entry.name for entry in study.trained if overwrite])
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    work = Work(study, out, deadline)
    for entry in study.trained if overwrite else ():
        _forget(work, entry)
    ready = {entry.name: entry for entry in study.trained if not study.tuned(entry)}
    check_methods(work, ready.values())
    mine = _share(shard)
    if tuned:
        from seistomo.experiments.tuning import tune  # Needs Optuna.

        found = {entry.name: tune(work, entry) for n, entry in enumerate(tuned) if mine(n)}
        ready |= {name: entry for name, entry in found.items() if entry is not None}
    _run_all(work, ready, mine if not tuned else lambda number: True)
    _score_borrowed(work)
    return write_page(study, out, command, work.still_busy())


def _run_all(work: Work, ready: Mapping[str, MethodEntry], mine: Callable[[int], bool]) -> None:
    """Run the methods seed after seed; under a limit of time in turns of some epochs."""
    study, number = work.study, 0
    # Trials have had the first seed.
    shift = int(any(study.tuned(entry) for entry in study.trained))
    for seed in study.seed_range:
        jobs = []
        for entry in ready.values():
            if mine(number):
                jobs.append(entry)
            number += 1
        for level in _levels(work):
            for entry in jobs:
                if work.time_is_up:
                    return
                work.run(entry, seed + shift, level)


def _score_borrowed(work: Work) -> None:
    """Score runs as the methods predict that show another one's."""
    for row in records.read_rows(work.study, work.out):
        own = row.entry.problem != work.study.entry(row.entry.runs_of or row.entry.name).problem
        for record in row.records if own and not work.time_is_up else ():
            work.score(row.entry, record, row.entry.name)


def _levels(work: Work) -> list[int | None]:
    if math.isinf(work.deadline):
        return [None]
    epochs = max(work.epochs(entry) for entry in work.study.trained)
    return sorted({math.ceil(epochs * part / ROUNDS) for part in range(1, ROUNDS + 1)})


def _share(shard: tuple[int, int]) -> Callable[[int], bool]:
    part, parts = shard
    return lambda number: number % parts == part - 1


def _prepare(study: Study, out: Path, anew: Collection[str]) -> None:
    """Make the folder of a study, or check that its runs, but those made ``anew``, are the same."""
    path = out / STUDY
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is no folder")
    if path.is_file():
        with reading(path):
            content = tomllib.loads(read_text(path))
        before = parse_study(content, content.get("name", ""))
        if before.name != study.name:
            raise InputError(f"--out {out}: holds the study {before.name}; choose another folder")
        known = {entry.name for entry in before.methods} - {*anew}
        for entry in study.methods:
            runs = (out / RUNS).glob(f"{entry.name}-s[0-9]*")
            if entry.name not in known or entry.runs_of or not any(runs):
                continue
            made = (_made_by(one, one.entry(entry.name)) for one in (study, before))
            runs = f"the runs of {entry.name} in {out} were made"
            require_same(runs, *made, "choose another folder, or --overwrite", FREE_KEYS)
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: exists and holds no study; choose another name")
    write_text(path, study.to_toml())


def _made_by(study: Study, entry: MethodEntry) -> dict[str, Any]:
    """Return what makes a method's runs what they are."""
    return {
        "optimizer": entry.optimizer,
        "learning_rate": entry.learning_rate,
        "options": entry.options,
        "training": {**study.training, **entry.training},
        "problem": problem_options(study, entry),
    }


def _forget(work: Work, entry: MethodEntry) -> None:
    """Remove the runs and trials of a method."""
    patterns = (f"{entry.name}-s[0-9]*", f"{entry.name}-trial[0-9]*")
    for path in [path for one in patterns for path in (work.out / RUNS).glob(one)]:
        with work.held(path.name) as mine:
            if not mine:
                raise InputError(f"--out {work.out}: another process is at {path.name}")
            shutil.rmtree(path)
    for path in (work.out / TUNING).glob(f"{entry.name}.*"):
        path.unlink()
