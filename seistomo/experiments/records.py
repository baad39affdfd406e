"""What run directories tell: the runs of a study's methods, as far as they are there."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from seistomo.errors import InputError
from seistomo.experiments.study import History, MethodEntry, Study, judged, reaches
from seistomo.files import read_text, reading, write_text
from seistomo.training.history import HISTORY, METRICS, read_history

RUNS, TUNING, MACHINE = "runs", "tuning", "machine.json"
SCORES, DIVERGED = "scores.json", "diverged.txt"
STUCK_EPOCHS = 5  # "a few epochs" (Thiele et al. 2021, section 6.1.1)
STUCK_ACCURACY, CHANCE_LOSS, CHANCE_MARGIN = 0.2, math.log(10), 0.05


@dataclass(frozen=True)
class Record:
    """One run of a method, with the attempts before it that were given up."""

    path: Path
    seed: int
    history: History
    metrics: Mapping[str, Any] = field(default_factory=dict)  # what training left
    scores: Mapping[str, Any] = field(default_factory=dict)  # of the test split, by checkpoint
    diverged: str = ""
    lost: Sequence[History] = ()  # of the attempts that were stuck

    @property
    def stuck(self) -> bool:
        """Whether it does no better than guessing, or diverged."""
        return bool(self.diverged) or (bool(self.history) and is_guess(self.history[-1]))

    def value(self, score: str, checkpoint: str = "last") -> float:
        """Return a score of the test split, or of what the run was judged by each epoch."""
        found = self.scores.get(checkpoint, {}).get(score)
        if self.scores:
            return math.nan if found is None else float(found)
        row = self.history[-1]
        if checkpoint == "best":
            row = min(self.history, key=lambda one: judged(one, "loss"))
        return judged(row, score)

    def seconds_per_iteration(self) -> float:
        """Return the optimizer's seconds an iteration: the median over the epochs."""
        ends = [(0, 0.0), *((row["iteration"], row["seconds"]) for row in self.history)]
        return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(ends))

    def seconds_to(self, score: str, target: float) -> float:
        """Return the optimizer time to a score, attempts given up included; infinity: never."""
        return sum(one[-1]["seconds"] for one in self.lost if one) + seconds_to(
            self.history, score, target
        )

    def first_epochs(self, count: int) -> "Record":
        """Return the run as it was after so many epochs."""
        if len(self.history) <= count:
            return self
        return Record(self.path, self.seed, self.history[:count], lost=self.lost)

    def first_seconds(self, seconds: float) -> "Record":
        """Return the run as it was after so many seconds, by its last epoch until then."""
        return self.first_epochs(sum(row["seconds"] <= seconds for row in self.history))


def seconds_to(history: History, score: str, target: float) -> float:
    """Return the optimizer time at the end of the first epoch that reaches a score."""
    for row in history:
        if reaches(judged(row, score), score, target):
            return row["seconds"]
    return math.inf


def is_guess(row: Mapping[str, float]) -> bool:
    """Whether ten classes are told apart no better than by guessing, in accuracy and in loss.

    A small learning rate may take epochs to pass 20 %, with a loss far from that of guessing.
    """
    near = abs(judged(row, "loss") - CHANCE_LOSS) < CHANCE_MARGIN
    return "accuracy" in row and row["accuracy"] < STUCK_ACCURACY and near


def is_given_up(history: History) -> bool:
    """Whether a run is stuck after a few epochs, so that the paper would begin it anew."""
    return len(history) >= STUCK_EPOCHS and is_guess(history[STUCK_EPOCHS - 1])


def run_key(name: str, seed: int, attempt: int = 0) -> str:
    """Return the name of a run directory."""
    return f"{name}-s{seed}" + (f"-r{attempt}" if attempt else "")


def trial_name(name: str, number: int) -> str:
    """Return the name of a tuned method with the settings of one of its trials."""
    return f"{name}-trial{number}"


def read_run(path: Path, seed: int = 0) -> Record:
    """Return a run as far as it is there."""
    note = path / DIVERGED
    history = read_history(path / HISTORY)
    return Record(
        path,
        seed,
        history,
        read_json(path / METRICS),
        read_json(path / SCORES),
        note.read_text(encoding="utf-8").strip() if note.is_file() else "",
    )


def read_attempts(out: Path, entry: MethodEntry, seed: int) -> Record | None:
    """Return a method's run with a seed, its last attempt; None where there is none."""
    lost: list[History] = []
    for attempt in range(entry.restarts + 1):
        path = out / RUNS / run_key(entry.name, seed, attempt)
        record = read_run(path, seed)
        if not record.history and not record.diverged:
            return None
        last = attempt == entry.restarts
        following = out / RUNS / run_key(entry.name, seed, attempt + 1)
        if last or not any((following / name).is_file() for name in (HISTORY, DIVERGED)):
            return replace(record, lost=tuple(lost))
        lost.append(record.history)
    return None


@dataclass(frozen=True)
class Row:
    """A method with the runs that are there."""

    entry: MethodEntry
    records: Sequence[Record]
    trials: Mapping[str, Any] = field(default_factory=dict)  # what tuning left

    @property
    def whole(self) -> list[Record]:
        """The runs that did not diverge."""
        return [one for one in self.records if one.history and not one.diverged]

    def values(self, score: str, checkpoint: str = "last") -> list[float]:
        """Return a score of the runs that did not diverge, where they have it."""
        found = (one.value(score, checkpoint) for one in self.whole)
        return [value for value in found if not math.isnan(value)]


def read_rows(study: Study, out: Path) -> list[Row]:
    """Return all methods of a study that have runs."""
    rows = []
    for entry in study.methods:
        trials = read_trials(out, entry.runs_of or entry.name) if study.tuned(entry) else {}
        of = entry
        if entry.runs_of:
            of = entry.model_copy(update={"name": entry.runs_of})
        if trials.get("best") is not None:
            of = of.model_copy(update={"name": trial_name(of.name, trials["best"])})
            entry = entry.with_values(trials["values"])
        seeds = {*study.seed_range, *_seeds_there(out, of.name)}
        # A trial had the first seed, and was judged otherwise.
        seeds -= {study.first_seed} if trials else set()
        records = [read_attempts(out, of, seed) for seed in sorted(seeds)]
        found = [one for one in records if one is not None]
        if entry.epochs:
            found = [one.first_epochs(entry.epochs) for one in found]
        if entry.runs_of:
            found = [_scored_anew(one, entry.name) for one in found]
        if found or trials:
            rows.append(Row(entry, found, trials))
    return rows


def read_trials(out: Path, name: str) -> dict[str, Any]:
    """Return what tuning left of a method: ``best``, ``values``, ``trials``; or nothing."""
    return read_json(out / TUNING / f"{name}.json")


def refuse_results(path: Path, overwrite: bool) -> None:
    """Refuse to replace results that are there unless it was asked for."""
    if path.exists() and not overwrite:
        raise InputError(f"--out {path.parent}: holds {path.name} already; give --overwrite")


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all; numbers that are not finite become null."""
    write_text(path, json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")


def _scored_anew(record: Record, name: str) -> Record:
    """Return a borrowed run with the scores that the borrower's way to predict gives."""
    path = record.path / SCORES.replace(".", f"-{name}.")
    return replace(record, scores=read_json(path)) if path.is_file() else record


def _seeds_there(out: Path, name: str) -> list[int]:
    ends = [path.name.removeprefix(f"{name}-s") for path in (out / RUNS).glob(f"{name}-s*")]
    return [int(seed) for seed in ends if seed.isdecimal()]


def read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    with reading(path, "remove it"):
        return json.loads(read_text(path))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
