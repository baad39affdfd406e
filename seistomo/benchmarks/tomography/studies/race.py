"""Seconds of optimizer time to the best-tuned Adam's validation loss; all tuned alike."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from seistomo.benchmarks.machine import describe_machine
from seistomo.benchmarks.tomography.budget import TimeIsUpError
from seistomo.benchmarks.tomography.command import TomographyOptions
from seistomo.benchmarks.tomography.runs import run_variants
from seistomo.benchmarks.tomography.studies.race_length import (
    FAR_AWAY,
    epochs_that_fit,
    stop_at,
    stop_at_pace,
)
from seistomo.benchmarks.tomography.studies.race_page import AboutRace, write_race
from seistomo.benchmarks.tomography.studies.race_result import (
    CONTROL,
    REFERENCE,
    Finish,
    Tried,
    best_of,
)
from seistomo.benchmarks.tomography.studies.race_trials import (
    PREFIX,
    TRIALS,
    Problem,
    Trial,
    most_trials,
    optimizers_for,
    trials_for,
)
from seistomo.benchmarks.tomography.studies.study import Study
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.progress import say
from seistomo.training.device import torch_settings

NAME = "race"
REPEATS = 5
# Optimizer time of a run if nothing is said, s.
SECONDS = {"paper": 600.0, "small": 120.0, "tiny": 0.5}
# What trials differ in, or what would end runs in its own way.
TAKEN = (
    *("training.schedule", "training.patience"),
    *("training.batch_doublings", "training.averaging"),
)


@dataclass(frozen=True)
class RaceOptions:
    """How the race is run.

    Attributes
    ----------
    trials
        Settings tried for each optimizer.
    seconds
        Optimizer time of every run, s; None: `SECONDS` of the size.
    """

    trials: int = TRIALS
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"--trials {self.trials}: must be at least 1")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"--trial-seconds {self.seconds:g}: must be a positive number")


class Race:
    """The race in its folder.

    Parameters
    ----------
    options
        As for the benchmark; ``optimizers`` are names out of `KNOWN`.
    race
        How it is run.

    Raises
    ------
    InputError
        For options that cannot be, or a folder with other settings.
    """

    def __init__(self, options: TomographyOptions, race: RaceOptions):
        asked = optimizers_for(options.optimizers)
        for setting in options.settings:
            if setting.partition("=")[0].strip() in TAKEN:
                raise InputError(f"--set {setting}: the race decides that itself")
        usual = SECONDS.get(options.size, math.nan)
        self.seconds = usual if race.seconds is None else race.seconds
        own = {"trial_seconds": self.seconds, "clock": _clock(options)}
        self.study = Study(NAME, options, own)
        before = self.study.before()
        # Who has run stays in the table.
        self.optimizers = list(dict.fromkeys([*before.get("optimizers", []), *asked]))
        self.lengths: dict[str, int] = dict(before.get("epochs", {}))
        self.trials_each = race.trials

    def run(self) -> str:
        """Do what is left to do; return a line that says what came out."""
        study = self.study
        with study.folder.locked(NAME) as mine:
            if not mine:
                raise InputError(
                    f"--out {study.folder.path}: another process is racing there; two at once"
                    " would slow each other down"
                )
            self._keep()
            if study.options.overwrite:
                study.forget_runs(lambda name: name.startswith(PREFIX))
            try:
                study.make_data()
                self._check_trials()
                with study.budget.enforced():
                    finishes = self._race()
            except TimeIsUpError:
                return f"{study.folder.path}: time is up; go on with the same command"
            return self._finish(finishes)

    def _keep(self) -> None:
        self.study.keep({"optimizers": self.optimizers, "epochs": self.lengths})

    def _problem(self) -> Problem:
        base, counts = self.study.base, self.study.counts()
        pixels = math.prod(base.velocity.shape)
        return Problem(pixels, counts["train"], base.training.batch_size)

    def _check_trials(self) -> None:
        most = most_trials(self._problem())
        if self.trials_each > most:
            raise InputError(
                f"--trials {self.trials_each}: at most {most}, which is Adam's grid at all batch"
                " sizes"
            )

    def _race(self) -> dict[str, Finish]:
        """Tune all, then run the best of each, seed after seed."""
        problem, seed = self._problem(), self.study.options.seed
        tried: dict[str, list[Tried]] = {}
        for name in self.optimizers:
            trials = trials_for(name, self.trials_each, problem, seed)
            tried[name] = [self._try(trial) for trial in trials]
        best = best_of(tried)
        for name, one in best.items():
            say(f"{name}: best is {one.trial.text}" if one else f"{name}: all trials diverged")
        repeats = range(seed + 1, seed + 1 + self.study.options.repeats)
        base, place = self.study.base, self.study.place
        configs = {
            one.trial.name: one.trial.config(base, one.epochs) for one in best.values() if one
        }
        found = run_variants(place, configs, repeats, stop_at(self.seconds))
        finishes = {
            name: Finish(name, tried[name], one, found[one.trial.name] if one else [])
            for name, one in best.items()
        }
        return {**finishes, CONTROL: self._control(best[REFERENCE], tried[REFERENCE], repeats)}

    def _control(self, best: Tried, tried: Sequence[Tried], seeds: Sequence[int]) -> Finish:
        """Run Adam's best settings with half the epochs: a cosine arrives at its end alone."""
        name, epochs = f"{best.trial.name}-half", max(1, best.epochs // 2)
        configs = {name: best.trial.config(self.study.base, epochs)}
        found = run_variants(self.study.place, configs, seeds, stop_at(self.seconds))
        return Finish(CONTROL, tried, best, found[name], control=True)

    def _try(self, trial: Trial) -> Tried:
        """Train a trial, on the first seed; the test split is left alone."""
        base, place, name = self.study.base, self.study.place, trial.name
        seeds = [self.study.options.seed]
        if name not in self.lengths:
            say(f"{name}: {trial.text}")
            config = trial.config(base, FAR_AWAY)
            stop = stop_at_pace(self.seconds)
            [begun] = run_variants(place, {name: config}, seeds, stop, scored=False)[name]
            if begun.diverged:
                return Tried(trial, None, begun)
            self.lengths[name] = epochs_that_fit(begun.history, self.seconds)
            self._keep()
        epochs = self.lengths[name]
        variant = {name: trial.config(base, epochs)}
        [done] = run_variants(place, variant, seeds, stop_at(self.seconds), scored=False)[name]
        return Tried(trial, epochs, done)

    def _finish(self, finishes: dict[str, Finish]) -> str:
        options = self.study.options
        about = AboutRace(
            size=options.size,
            identity=self.study.identity,
            seconds=self.seconds,
            trials=self.trials_each,
            repeats=options.repeats,
            counts=self.study.counts(),
            machine=self.study.machine(),
            command=options.command,
        )
        return write_race(self.study.folder, self.study.results, list(finishes.values()), about)


def _clock(options: TomographyOptions) -> dict[str, Any]:
    """Return what seconds were measured on: others cannot be compared with them."""
    device = choose_device(options.device)
    with torch_settings(device, options.threads, 0):
        machine = describe_machine(device)
    return {key: machine[key] for key in ("processor", "cores", "threads", "gpu") if key in machine}


def run_race(options: TomographyOptions, race: RaceOptions) -> str:
    """Run the race; return a line that says who was fastest.

    Parameters
    ----------
    options, race
        As for `Race`.
    """
    return Race(options, race).run()
