"""Runs that are trained side by side to equal numbers of epochs, within a limit of time."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from seistomo.benchmarks.tomography.budget import Budget, Pace, TimeIsUpError, next_level
from seistomo.benchmarks.tomography.outcome import Outcome, read_history
from seistomo.benchmarks.tomography.runs import Job, Workplace, is_done, outcome, train_job
from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.progress import say
from seistomo.training import EpochRow

PACES = "paces"


def run_in_rounds(
    place: Workplace,
    variants: Mapping[str, Config],
    seeds: Sequence[int],
    budget: Budget,
    after_seed: Callable[[int], None] | None = None,
) -> tuple[dict[str, list[Outcome]], bool]:
    """Train variants in turns of some epochs, until all is done or the time is over.

    Seed after seed; all variants of a seed get the same number of epochs, but for what an
    interruption cuts off, and that is made up for first when the work goes on.

    Parameters
    ----------
    place, variants, seeds, after_seed
        As for `run_variants`.
    budget
        The time there is.

    Returns
    -------
    Outcomes by variant, one a seed that has at least an epoch of each; and whether all is done.

    Raises
    ------
    InputError
        As `run_variants`, and at once if another process is at a run.
    """
    found: dict[str, list[Outcome]] = {name: [] for name in variants}
    for seed in seeds:
        jobs = [Job.of(name, config, seed) for name, config in variants.items()]
        try:
            with budget.enforced():
                _rounds(place, jobs, budget)
        except TimeIsUpError:
            say("time is up")
        done = all(is_done(place, job) for job in jobs)
        outcomes = [outcome(place, job) for job in jobs]
        if all(one.history or one.diverged for one in outcomes):
            for one in outcomes:
                found[one.name].append(one)
        if not done:
            return found, False
        if after_seed is not None:
            after_seed(seed)
    return found, True


def _rounds(place: Workplace, jobs: Sequence[Job], budget: Budget) -> None:
    paces = _read_paces(place)
    while True:
        going = [job for job in jobs if not is_done(place, job)]
        levels = {job.key: _epochs(place, job) for job in going}
        if not levels:
            return
        known = {job.key: paces[job.name] for job in going if job.name in paces}
        # All go to the same number of epochs, which is that of the configurations.
        target = going[0].config.training.epochs
        level = next_level(levels, known, target, budget.remaining())
        if level is None:
            return
        for job in going:
            if levels[job.key] < level:
                paces[job.name] = _train_to(place, job, level)
                place.folder.write_json(PACES, {name: asdict(pace) for name, pace in paces.items()})


def _epochs(place: Workplace, job: Job) -> int:
    history = read_history(place.run_dir(job.key))
    return history[-1].epoch if history else 0


def _train_to(place: Workplace, job: Job, level: int) -> Pace:
    """Train a run up to a number of epochs; return what it cost."""
    started, ends = time.monotonic(), {}

    def stop(history: Sequence[EpochRow]) -> bool:
        # It may be asked twice of the same epoch, the second time when the data are loaded.
        ends[history[-1].epoch] = time.monotonic()
        return history[-1].epoch >= level

    with place.folder.locked(job.key) as mine:
        if not mine:
            raise InputError(
                f"--out {place.folder.path}: another process is training {job.key}; with --minutes"
                " wait for it"
            )
        say(f"{job.key}: up to epoch {level} of {job.config.training.epochs}")
        train_job(place, job, stop)
    wall = time.monotonic() - started
    marks = sorted(ends.values())
    if len(marks) < 2:
        # A fresh run of one epoch: its optimizer time is what is known of it.
        history = read_history(place.run_dir(job.key))
        epoch = history[-1].seconds / len(history) if history else wall
        return Pace(max(0.0, wall - epoch), epoch)
    epoch = (marks[-1] - marks[0]) / (len(marks) - 1)
    return Pace(max(0.0, wall - (level - min(ends)) * epoch), epoch)


def _read_paces(place: Workplace) -> dict[str, Pace]:
    path = place.folder.path / f"{PACES}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {name: Pace(**pace) for name, pace in content.items()}
    except (ValueError, TypeError):
        # They only serve to plan.
        return {}
