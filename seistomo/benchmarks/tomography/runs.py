"""Variants of a configuration, each trained with several seeds; what is done is not done again.

Every run is an ordinary run directory, ``OUT/runs/NAME-sSEED``, for `seistomo evaluate`,
`predict`, `plot` and `info`.
"""

import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from seistomo.benchmarks.store import RUNS, BenchmarkFolder
from seistomo.benchmarks.tomography.outcome import Outcome, read_history, read_training
from seistomo.benchmarks.tomography.scores import ScoreBook
from seistomo.config import Config, load_config, with_overrides
from seistomo.device import choose_device
from seistomo.errors import InputError, TrainingDivergedError
from seistomo.progress import say
from seistomo.training import EpochRow, train
from seistomo.training.checkpoint import FREE_KEYS
from seistomo.training.directory import CHECKPOINT, CONFIG

SECTIONS = ("network", "training", "optimizer", "evaluation")
Stop = Callable[[Sequence[EpochRow]], bool]


@dataclass(frozen=True)
class Workplace:
    """Where runs are made.

    Attributes
    ----------
    folder
        The folder that receives ``runs/`` and ``scores/``.
    data
        The data set.
    split
        What scores are of.
    """

    folder: BenchmarkFolder
    data: str | Path
    split: str = "test"

    @property
    def book(self) -> ScoreBook:
        """The scores."""
        return ScoreBook(self.folder, self.data, self.split)

    def run_dir(self, key: str) -> Path:
        """Return the directory of a run."""
        return self.folder.path / RUNS / key

    def forget(self, key: str) -> None:
        """Remove a run and its scores.

        Raises
        ------
        InputError
            If another process is at it.
        """
        with self.folder.locked(key) as mine:
            if not mine:
                raise InputError(f"--out {self.folder.path}: another process is training {key}")
            self.book.forget(key)
            shutil.rmtree(self.run_dir(key), ignore_errors=True)


@dataclass(frozen=True)
class Job:
    """A run to be made.

    Attributes
    ----------
    name, seed
        The variant and its seed.
    config
        The variant's configuration with that seed.
    """

    name: str
    seed: int
    config: Config

    @classmethod
    def of(cls, name: str, config: Config, seed: int) -> "Job":
        """Return the run of a variant with a seed."""
        return cls(name, seed, with_overrides(config, [f"training.seed={seed}"]))

    @property
    def key(self) -> str:
        """Name of its directory."""
        return f"{self.name}-s{self.seed}"


def run_variants(
    place: Workplace,
    variants: Mapping[str, Config],
    seeds: Sequence[int],
    stop: Stop | None = None,
    scored: bool = True,
    after_seed: Callable[[int], None] | None = None,
) -> dict[str, list[Outcome]]:
    """Train every variant with every seed, seed after seed; return what came of each.

    Runs that are there are gone on with, or left as they are if they are done; on a CPU, with
    as many threads, they end with the same bits as if never interrupted. Two processes that are
    given the same share the runs: each takes what the other has not.

    Parameters
    ----------
    place
        Where.
    variants
        Configurations by name; the name is that of the run directory.
    seeds
        Of start weights and batches, in place of ``training.seed``.
    stop
        Leave a run once its history says so; see `seistomo.training.train`. It must go by the
        history alone.
    scored
        Whether ``place.split`` is predicted and scored.
    after_seed
        Called with a seed when all its variants are done, for tables that grow.

    Returns
    -------
    Outcomes by variant, one a seed. A run that diverges is an outcome too.

    Raises
    ------
    InputError
        If a run is there with other settings, or another process is still at some runs.
    """
    found: dict[str, list[Outcome]] = {name: [] for name in variants}
    for seed in seeds:
        jobs = [Job.of(name, config, seed) for name, config in variants.items()]
        for job in jobs:
            with place.folder.locked(job.key) as mine:
                if mine and not is_done(place, job, stop):
                    say(f"{job.key}: up to {job.config.training.epochs} epochs")
                    train_job(place, job, stop)
        # What another process had when its turn came may be done by now.
        busy = [job.key for job in jobs if not is_done(place, job, stop)]
        if busy:
            raise InputError(
                f"--out {place.folder.path}: another process is at {', '.join(busy)}; once it is"
                " done, the same command puts all of them together"
            )
        for job in jobs:
            found[job.name].append(outcome(place, job, scored))
        if after_seed is not None:
            after_seed(seed)
    return found


def train_job(place: Workplace, job: Job, stop: Stop | None = None) -> None:
    """Train what is missing of a run; note it if it diverges."""
    _begin_measuring(job)
    try:
        train(job.config, place.data, place.run_dir(job.key), resume=True, stop=stop)
    except TrainingDivergedError as error:
        message = str(error).partition(": ")[2].partition(";")[0]
        place.book.note_divergence(job.key, message)
        say(f"{job.key}: {message}")


def is_done(place: Workplace, job: Job, stop: Stop | None = None) -> bool:
    """Whether there is nothing to train.

    Raises
    ------
    InputError
        If the run is there with other settings, or longer than it should be.
    """
    run = place.run_dir(job.key)
    if not (run / CHECKPOINT).is_file():
        return bool(place.book.diverged(job.key))
    _require_same(job.config, run)
    history = read_history(run)
    epochs, done = job.config.training.epochs, history[-1].epoch if history else 0
    if done > epochs:
        raise InputError(
            f"--epochs {epochs}: {run} has done {done} already; ask for as many, or choose another"
            " --out"
        )
    left = bool(history) and stop is not None and stop(history)
    return done == epochs or left or bool(place.book.diverged(job.key))


def outcome(place: Workplace, job: Job, scored: bool = True) -> Outcome:
    """Return what has become of a run so far."""
    run = place.run_dir(job.key)
    history, training = read_history(run), read_training(run)
    scores = {}
    if scored and training:
        epochs = {name: training[name]["epoch"] for name in ("last", "best")}
        scores = place.book.scores(job.key, run, epochs, job.config.training.device)
    return Outcome(job.name, job.seed, run, history, training, scores, place.book.diverged(job.key))


def _begin_measuring(job: Job) -> None:
    """Make room, and let peak memory be that of the run to come."""
    gc.collect()
    device = choose_device(job.config.training.device)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _require_same(config: Config, run: Path) -> None:
    theirs = load_config(run / CONFIG, warns=False)
    for section in SECTIONS:
        ours = getattr(config, section).model_dump(mode="json")
        for key, before in getattr(theirs, section).model_dump(mode="json").items():
            if ours[key] != before and f"{section}.{key}" not in FREE_KEYS:
                raise InputError(
                    f"{section}.{key} = {ours[key]!r}: the run {run} was made with {before!r};"
                    " choose another --out, or --overwrite"
                )
