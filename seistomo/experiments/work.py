"""The runs of a study in its folder: trained as far as they are missing, and scored."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seistomo.config import LoopConfig
from seistomo.errors import TrainingDivergedError
from seistomo.experiments import problems, records
from seistomo.experiments.machine import describe_machine
from seistomo.experiments.records import RUNS, Record, is_given_up, read_run, run_key
from seistomo.experiments.study import History, MethodEntry, Study
from seistomo.files import write_text
from seistomo.progress import say
from seistomo.training import fit
from seistomo.training.fit import Stop, effective_settings
from seistomo.training.history import CHECKPOINT
from seistomo.training.problem import Method

# What a stuck run begins anew with: a seed that no repeat has.
NEXT_SEED = 2**31
# A run of so many seconds is as long as its first epochs say; see `planned_epochs`.
FAR_AWAY, FIRST_EPOCHS, FIRST_SHARE, PLANNED = 100_000, 2, 0.05, 0.95


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
            records.write_json(self.out / records.MACHINE, machine)
            say(f"{key}: {entry.label}")
            if budget is not None and epochs == FAR_AWAY and settings.schedule != "constant":
                # A cosine must know its end. The run begins with one far away, where a cosine is
                # as good as constant, until its speed is known.
                timed = partial(speed_is_known, seconds=budget)
                self._fit(problem, method, seed, path, lambda h: timed(h) or over(h))
                begun = read_run(path).history
                planned = planned_epochs(begun, budget) if begun else 1
                method = replace(method, training={**method.training, "epochs": planned})
            if not (path / records.DIVERGED).is_file():
                self._fit(problem, method, seed, path, over)
        return read_run(path, seed)

    def seconds(self, tuning: bool = False) -> float | None:
        """Return the optimizer time that a run, or a trial, may take."""
        return (tuning and self.study.tuning.seconds) or self.study.seconds

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


def problem_options(study: Study, entry: MethodEntry) -> dict[str, Any]:
    """Return the options of the problem that a method learns: the study's, and its own."""
    own = entry.problem
    return dict(own) if "name" in own else merged(study.problem, own)


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables of settings in which the second one's values come before the first one's."""
    found = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def _next_is_late(history: History, seconds: float) -> bool:
    """Whether the next epoch would end after so many seconds."""
    done = history[-1]["seconds"]
    return done + done / len(history) > seconds


def speed_is_known(history: History, seconds: float) -> bool:
    """Whether a run of so many seconds has shown how long an epoch takes."""
    done = history[-1]["seconds"]
    return done >= seconds or (len(history) >= FIRST_EPOCHS and done >= FIRST_SHARE * seconds)


def planned_epochs(history: History, seconds: float) -> int:
    """Return how many epochs fit into so many seconds, by the first ones that told the speed."""
    for done in range(1, len(history) + 1):
        if speed_is_known(history[:done], seconds):
            break
    first, last = history[0], history[done - 1]
    if done == 1:
        return 1
    # The first epoch also warms up.
    each = (last["seconds"] - first["seconds"]) / (done - 1)
    return done + max(0, math.floor((PLANNED * seconds - last["seconds"]) / each))
