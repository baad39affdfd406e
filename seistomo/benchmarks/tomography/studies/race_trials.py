"""The settings that the race tries for each optimizer: as many for one as for another.

Adam gets a grid, the published habit. The others have more options than trials: each option goes
through its values in a random order, and then again in another one, so that all values of an
option are tried equally often. Damping is given as a share of the number of pixels, which the
curvature of a loss summed over pixels grows with (see docs/benchmark-tomography.md).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seistomo.benchmarks.tomography.rows import Row
from seistomo.config import Config, with_overrides
from seistomo.errors import InputError

OPTIMIZERS = ("adam", "sqgn", "sgn")
TRIALS = 8
PREFIX = "race-"
SCHEDULES = ("cosine", "constant")
ADAM_RATES = (1e-3, 3e-3, 3e-4, 1e-2)
# Parts of the configuration's batch size; Adam's grid is at the first of them, then at the next.
BATCH_PARTS = (1.0, 0.5, 0.25)
# What the others go through: larger batches too, which suit curvature better than Adam.
DESIGNED_PARTS = (1.0, 0.5, 2.0, 0.25)
# With variance-reduced gradients SQGN does best with small ones.
SQGN_PARTS = (0.25, 0.5)
DOUBLINGS = (0, 2)
AVERAGING = ("none", "ema")
DAMPING = "damping"
SHARE, INTERVAL = "curvature_share", "full_gradient_interval"
HALF_AN_EPOCH = "half"

# What each option goes through, the first trial with the first of all. Damping in shares of the
# number of pixels. SQGN's values lie around the best that were found at the small size.
CHOICES: dict[str, dict[str, tuple[Any, ...]]] = {
    "sqgn": {
        "learning_rate": (0.4, 0.3, 0.5),
        DAMPING: (3e-2, 1e-2, 1e-1),
        SHARE: (0.2, 0.4, 1.0),
        INTERVAL: ("epoch", HALF_AN_EPOCH),
        "history": (20, 40),
    },
    "sgn": {
        "learning_rate": (1.0, 0.3, 0.1),
        DAMPING: (1e-7, 1e-4, 1e-3, 1e-2),
        SHARE: (1.0, 0.3, 0.1),
        "cg_iterations": (3, 10, 5),
        "adaptive_cg": (False, True),
        "damping_rule": ("trust_region", "constant"),
        "momentum": (0.0, 0.9, 0.5),
        "line_search": (True, False),
    },
    "svrg": {"learning_rate": (1e-2, 3e-3, 1e-3, 3e-2), INTERVAL: ("epoch", HALF_AN_EPOCH)},
    "sgd": {"learning_rate": (1e-2, 3e-3, 1e-3, 3e-2), "momentum": (0.9, 0.0)},
}
KNOWN = ("adam", *CHOICES)


@dataclass(frozen=True)
class Trial:
    """Settings of one optimizer.

    Attributes
    ----------
    number
        From 1.
    row
        The optimizer with its options.
    batch_size
        |S|.
    schedule
        Of the learning rate: ``constant`` or ``cosine``.
    doublings
        As ``training.batch_doublings``.
    averaging
        Of the weights: ``none`` or ``ema``.
    """

    number: int
    row: Row
    batch_size: int
    schedule: str
    doublings: int = 0
    averaging: str = "none"

    @property
    def name(self) -> str:
        """Name of its runs."""
        return f"{PREFIX}{self.row.name}-{self.number}"

    @property
    def text(self) -> str:
        """The settings in words."""
        options = "".join(f", {key} = {_short(one)}" for key, one in self.row.options.items())
        rate = f"α = {self.row.learning_rate:g}"
        text = f"{rate}, {self.schedule}, batches of {self.batch_size}"
        if self.doublings:
            text += f", doubled {self.doublings} times"
        if self.averaging != "none":
            text += ", moving average"
        if self.row.curvature_share < 1:
            which = "the first ones" if self.doublings else "them"
            text += f", curvature of {self.row.curvature_share:g} of {which}"
        return text + options

    def config(self, base: Config, epochs: int) -> Config:
        """Return the configuration of so many epochs."""
        changed = with_overrides(
            base,
            [
                f"training.batch_size={self.batch_size}",
                f'training.schedule="{self.schedule}"',
                f"training.batch_doublings={self.doublings}",
                f'training.averaging="{self.averaging}"',
                f"training.epochs={epochs}",
            ],
        )
        return self.row.config(changed)


@dataclass(frozen=True)
class Problem:
    """What settings depend on.

    Attributes
    ----------
    pixels
        Of a velocity model.
    samples
        To train with.
    batch_size
        Of the configuration that all start from.
    """

    pixels: int
    samples: int
    batch_size: int

    def batch_sizes(self, parts: Sequence[float]) -> tuple[int, ...]:
        """Return the batch sizes that are such parts of the configuration's, each once."""
        sizes = [round(part * self.batch_size) for part in parts]
        return tuple(dict.fromkeys(min(max(1, size), self.samples) for size in sizes))


def optimizers_for(text: str) -> list[str]:
    """Return the optimizers that a list with commas names.

    Raises
    ------
    InputError
        For one that the race has no settings for, or without Adam, whose loss is the target.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in KNOWN:
            raise InputError(f"--optimizers {name}: the race knows {', '.join(KNOWN)}")
    if "adam" not in names:
        raise InputError(f"--optimizers {text}: the race needs adam, whose loss is the target")
    return names


def trials_for(optimizer: str, count: int, problem: Problem, seed: int) -> list[Trial]:
    """Return the settings to try; more of them begin with the same ones.

    Parameters
    ----------
    optimizer
        One of `KNOWN`.
    count
        How many.
    problem
        What they depend on.
    seed
        Of the orders in which values are gone through.
    """
    drawn = _grid(problem) if optimizer == "adam" else _designed(optimizer, problem, seed)
    trials: list[Trial] = []
    seen: set[str] = set()
    for settings in drawn:
        trial = Trial(len(trials) + 1, **settings)
        if trial.text not in seen:
            trials.append(trial)
            seen.add(trial.text)
        if len(trials) == count:
            break
    return trials


def most_trials(problem: Problem) -> int:
    """Return how many trials there are at most: Adam's grid at all batch sizes."""
    return len(ADAM_RATES) * len(SCHEDULES) * len(problem.batch_sizes(BATCH_PARTS))


Settings = dict[str, Any]
"""What a `Trial` is made of, without its number."""


def _grid(problem: Problem) -> Iterator[Settings]:
    for batch_size in problem.batch_sizes(BATCH_PARTS):
        for rate in ADAM_RATES:
            for schedule in SCHEDULES:
                row = Row("adam", "Adam", "adam", rate)
                yield {"row": row, "batch_size": batch_size, "schedule": schedule}


def _designed(optimizer: str, problem: Problem, seed: int) -> Iterator[Settings]:
    training = {
        "schedule": SCHEDULES,
        "batch_size": problem.batch_sizes(SQGN_PARTS if optimizer == "sqgn" else DESIGNED_PARTS),
        "doublings": DOUBLINGS,
        "averaging": AVERAGING,
    }
    choices = {**CHOICES[optimizer], **training}
    place = KNOWN.index(optimizer)
    orders = {
        key: _in_turns(values, np.random.default_rng([seed, place, number]))
        for number, (key, values) in enumerate(choices.items())
    }
    while True:
        options = {key: next(order) for key, order in orders.items()}
        settings = {key: options.pop(key) for key in training}
        rate = options.pop("learning_rate")
        share = options.pop(SHARE, 1.0)
        _fit(options, problem, settings["batch_size"], settings["doublings"])
        row = Row(optimizer, optimizer.upper(), optimizer, rate, options, curvature_share=share)
        yield {"row": row, **settings}


def _in_turns(values: Sequence[Any], random: np.random.Generator) -> Iterator[Any]:
    """Yield all values in a random order, again and again; the first of all is the first one."""
    order = [0, *(1 + random.permutation(len(values) - 1))]
    while True:
        yield from (values[int(place)] for place in order)
        order = list(random.permutation(len(values)))


def _fit(options: dict[str, Any], problem: Problem, batch_size: int, doublings: int) -> None:
    """Turn shares and parts into what the optimizer takes."""
    if DAMPING in options:
        options[DAMPING] = float(f"{options[DAMPING] * problem.pixels:.2g}")
    if options.get(INTERVAL) == HALF_AN_EPOCH:
        batches = math.ceil(problem.samples / batch_size)
        # An interval must divide the epoch, all epochs.
        fits = batches % 2 == 0 and not doublings
        options[INTERVAL] = batches // 2 if fits else "epoch"


def _short(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
