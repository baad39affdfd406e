"""Runs a study: what is done is not done again, what was begun goes on, what is there is shown."""

import math
import shutil
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from seistomo.config import LoopConfig
from seistomo.config.schema import first_difference
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.experiments import problems, records
from seistomo.experiments.machine import describe_machine
from seistomo.experiments.page import write_page
from seistomo.experiments.records import (
    RUNS,
    TUNING,
    Record,
    is_given_up,
    read_run,
    run_key,
)
from seistomo.experiments.study import History, MethodEntry, Study
from seistomo.files import write_text
from seistomo.optim import options_in_effect
from seistomo.progress import say
from seistomo.training import fit
from seistomo.training.batches import batch_count
from seistomo.training.checkpoint import FREE_KEYS
from seistomo.training.fit import Stop, build_optimizer, effective_settings
from seistomo.training.history import CHECKPOINT
from seistomo.training.problem import Method

STUDY, MACHINE = "study.toml", "machine.json"
# What a stuck run begins anew with: a seed that no repeat has.
NEXT_SEED = 2**31
# Under a limit of time all methods go on by so many parts of their epochs in turns.
ROUNDS = 10
# A run of so many seconds is as long as its first epochs say; see `planned_epochs`.
FAR_AWAY, PACE_EPOCHS, PACE_SHARE, PLANNED = 100_000, 2, 0.05, 0.95


@dataclass
class Work:
    """A study at work in its folder."""

    study: Study
    out: Path
    deadline: float = math.inf  # when to stop, by `time.monotonic`
    busy: set[str] = field(default_factory=set)  # runs that another process is at
    usual_epochs: dict[str, int] = field(default_factory=dict)  # of the problem, by method

    @property
    def time_is_up(self) -> bool:
        """Whether the limit of time is over."""
        return time.monotonic() >= self.deadline

    def problem(self, entry: MethodEntry, tuning: bool = False) -> Any:
        """Return what a method learns; for tuning, judged by a part of the training split."""
        options, training = problem_options(self.study, entry), dict(self.study.training)
        epochs = self.study.epochs or (FAR_AWAY if self.study.seconds else None)
        if epochs is not None:
            training["epochs"] = epochs
        return problems.make_problem(options, self.out, training, tuning)

    def epochs(self, entry: MethodEntry) -> int:
        """Return how many epochs a method's runs have: its own, the study's, the problem's."""
        known = entry.training.get("epochs") or self.study.epochs
        if known is None and self.study.seconds:
            return FAR_AWAY
        if known is None and entry.name not in self.usual_epochs:
            self.usual_epochs[entry.name] = self.problem(entry).settings.epochs
        return known or self.usual_epochs[entry.name]

    @contextmanager
    def held(self, key: str) -> Iterator[bool]:
        """Hold a run, or what else has a name; gives False if another process does."""
        path = self.out / RUNS / f".{key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            self.busy.add(key)
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def still_busy(self) -> list[str]:
        """Return the runs that another process had, and still has."""
        before, self.busy = self.busy, set()
        for key in before:
            with self.held(key):
                pass
        return sorted(self.busy)

    def train(
        self,
        entry: MethodEntry,
        key: str,
        seed: int,
        stop: Stop | None = None,
        tuning: bool = False,
    ) -> Record:
        """Train what is missing of a run; return what is there of it.

        It ends after its epochs or seconds, when ``stop`` says so, or when the time is up.
        """
        path, epochs = self.out / RUNS / key, self.epochs(entry)
        budget = self.seconds(tuning)

        def over(history: History) -> bool:
            return (
                (stop is not None and stop(history))
                or (budget is not None and _next_is_late(history, budget))
                or self.time_is_up
            )

        with self.held(key) as mine:
            record = read_run(path, seed)
            done = len(record.history)
            if not mine or record.diverged or done >= epochs or (done and over(record.history)):
                return record
            problem = self.problem(entry, tuning)
            method, settings = resolved(entry, problem)
            machine = describe_machine(settings.device, settings.threads)
            records.write_json(self.out / MACHINE, machine)
            say(f"{key}: {entry.label}")
            if budget is not None and epochs == FAR_AWAY and settings.schedule != "constant":
                # A cosine must know its end. The run begins with one far away, where a cosine is
                # as good as constant, until its pace is known.
                paced = partial(pace_is_known, seconds=budget)
                self._fit(problem, method, seed, path, lambda h: paced(h) or over(h))
                begun = read_run(path).history
                planned = planned_epochs(begun, budget) if begun else 1
                method = replace(method, training={**method.training, "epochs": planned})
            if not (path / records.DIVERGED).is_file():
                self._fit(problem, method, seed, path, over)
        return read_run(path, seed)

    def seconds(self, tuning: bool = False) -> float | None:
        """Return the optimizer time that a run, or a trial, may take."""
        own = self.study.tuning.seconds if tuning and self.study.tuning else None
        return own or self.study.seconds

    def _fit(self, problem: Any, method: Method, seed: int, path: Path, stop: Stop) -> None:
        try:
            fit(problem, method, seed, path, resume=path.exists(), stop=stop)
        except TrainingDivergedError as error:
            message = " ".join(str(error).partition(": ")[2].partition(";")[0].split())
            path.mkdir(parents=True, exist_ok=True)
            write_text(path / records.DIVERGED, message + "\n")
            say(f"{path.name}: {message}")

    def run(self, entry: MethodEntry, seed: int, level: int | None = None) -> Record:
        """Train a method's run with a seed, and anew with others where it gets stuck.

        A stuck run begins anew as often as the method's ``restarts`` allows: the rule of the SQGN
        paper (section 6.1.1) for its own method, which no study grants another one.
        """
        target, lost = self.study.target, []
        for attempt in range(entry.restarts + 1):
            last = attempt == entry.restarts

            def stop(history: History, last: bool = last) -> bool:
                return (
                    (level is not None and len(history) >= level)
                    or (not last and is_given_up(history))
                    or (target is not None and target.is_met(history))
                )

            key = run_key(entry.name, seed, attempt)
            record = self.train(entry, key, seed + attempt * NEXT_SEED, stop)
            stuck = is_given_up(record.history) or record.diverged
            if last or not stuck:
                break
            say(f"{key}: stuck, begins anew with another seed")
            lost.append(record.history)
        if key not in self.busy:
            self.score(entry, record)
        return replace(record, seed=seed, lost=tuple(lost))

    def score(self, entry: MethodEntry, record: Record, name: str = "") -> None:
        """Score the test split with the last and the best weights, where there is one."""
        file = records.SCORES.replace(".", f"-{name}.") if name else records.SCORES
        scorer = problems.test_scorer(str(problem_options(self.study, entry).get("name")))
        if scorer is None or not (record.path / CHECKPOINT).is_file() or not record.metrics:
            return
        epochs = {key: record.metrics[key]["epoch"] for key in ("last", "best")}
        kept = records.read_json(record.path / file)
        if all(kept.get(key, {}).get("epoch") == epoch for key, epoch in epochs.items()):
            return
        found = scorer(self.problem(entry), record.path)
        if found:
            records.write_json(record.path / file, found)


def resolved(entry: MethodEntry, problem: Any) -> tuple[Method, LoopConfig]:
    """Return a method with options that are numbers, and how it is trained."""
    method = entry.method()
    settings = effective_settings(problem, method, 0)
    options = problems.resolved(method.options, problem, settings.batch_size)
    return replace(method, options=options), settings


def check_methods(work: Work, entries: Iterable[MethodEntry]) -> None:
    """Refuse methods that cannot be before any is run, where one has runs yet to begin."""
    known: dict[str, tuple[Any, int]] = {}
    for entry in entries:
        keys = [run_key(entry.name, seed) for seed in work.study.seed_range]
        if all((work.out / RUNS / key).is_dir() for key in keys):
            continue
        name = str(problem_options(work.study, entry))
        if name not in known:
            problem = work.problem(entry)
            known = {name: (problem, problems.training_samples(problem))}
        problem, samples = known[name]
        method, settings = resolved(entry, problem)
        optimizer = build_optimizer(method, [torch.nn.Parameter(torch.zeros(1))])
        interval = options_in_effect(optimizer, method.options).get("full_gradient_interval")
        batches = batch_count(settings, 0, samples)
        if isinstance(interval, int) and batches % interval:
            raise InputError(
                f"method {entry.name}: options.full_gradient_interval = {interval}: must divide an"
                f" epoch of {batches} batches ({samples} samples, training.batch_size ="
                f" {settings.batch_size})"
            )


def problem_options(study: Study, entry: MethodEntry) -> dict[str, Any]:
    """Return the options of the problem that a method learns: the study's, and its own."""
    own = entry.problem
    return dict(own) if "name" in own else _merged(study.problem, own)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


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
        from seistomo.experiments.tuning import tune

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
        before, now = tomllib.loads(path.read_text(encoding="utf-8")), study.model_dump()
        held = before.get("name")
        if held != study.name:
            raise InputError(f"--out {out}: holds the study {held}; choose another folder")
        known = {one["name"] for one in before.get("methods", ())} - {*anew}
        for entry in study.methods:
            runs = (out / RUNS).glob(f"{entry.name}-s[0-9]*")
            if entry.name not in known or entry.runs_of or not any(runs):
                continue
            made = (_made_by(content, entry.name) for content in (now, before))
            found = first_difference(*made, FREE_KEYS)
            if found:
                key, ours, theirs = found
                raise InputError(
                    f"{key} = {ours}: the runs of {entry.name} in {out} were made with {theirs};"
                    " choose another folder, or --overwrite"
                )
    elif out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}: exists and holds no study; choose another name")
    write_text(path, study.to_toml())


def _made_by(study: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what makes a method's runs what they are, by the content of a study's file."""
    entry = next(one for one in study["methods"] if one["name"] == name)
    own = entry.get("problem", {})
    found = {key: entry.get(key) for key in ("optimizer", "learning_rate")}
    return found | {
        "options": entry.get("options", {}),
        "training": {**study.get("training", {}), **entry.get("training", {})},
        "problem": own if "name" in own else _merged(study.get("problem", {}), own),
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


def _next_is_late(history: History, seconds: float) -> bool:
    """Whether the next epoch would end after so many seconds."""
    done = history[-1]["seconds"]
    return done + done / len(history) > seconds


def pace_is_known(history: History, seconds: float) -> bool:
    """Whether a run of so many seconds has shown how long an epoch takes."""
    done = history[-1]["seconds"]
    return done >= seconds or (len(history) >= PACE_EPOCHS and done >= PACE_SHARE * seconds)


def planned_epochs(history: History, seconds: float) -> int:
    """Return how many epochs fit into so many seconds, by the first ones that told the pace."""
    for done in range(1, len(history) + 1):
        if pace_is_known(history[:done], seconds):
            break
    first, last = history[0], history[done - 1]
    if done == 1:
        return 1
    # The first epoch also warms up.
    pace = (last["seconds"] - first["seconds"]) / (done - 1)
    return done + max(0, math.floor((PLANNED * seconds - last["seconds"]) / pace))
