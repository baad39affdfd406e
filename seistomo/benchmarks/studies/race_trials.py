"""What the race's optimizers may be set to, and the settings that are drawn for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seistomo.benchmarks.mnist import epoch_batches
from seistomo.benchmarks.paper import default_settings
from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError

OPTIMIZERS = ("adam", "sqgn", "sgn")
TRIALS = 20
TARGET = 0.97
MOST_EPOCHS = 60
# What a trial may cost, in seconds of optimizer time.
TRIAL_SECONDS = 60.0

# Iterations after which accuracy is looked at; it is not counted as optimizer time.
JUDGE_ITERATIONS = 20

BATCH_SIZES = (100, 200, 500, 1000, 2500)
PIXELS = ("raw", "unit")
# Epochs until a cosine has brought the learning rate to zero; None: it stays as it is.
HORIZONS = (None, None, 5, 10, 20, 40)
# Learning rates to draw from, log-uniformly: two decades and a half about the usual ones.
RATES = {
    "adam": (3e-4, 1e-1),
    "sgd": (3e-3, 1.0),
    "svrg": (3e-3, 1.0),
    "sqgn": (1e-2, 3.0),
    "sgn": (1e-2, 3.0),
}
# What else each is tried with.
OWN_OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "adam": {"betas": ([0.9, 0.999], [0.9, 0.99], [0.95, 0.999])},
    "sgd": {"momentum": (0.0, 0.9)},
    "svrg": {},
    "sqgn": {
        "full_gradient_interval": (10, "epoch", "never"),
        "pair_interval": (1, 2, 5),
        "damping": (0.01, 0.1, 1.0),
    },
    "sgn": {"cg_iterations": (2, 3, 5, 10), "line_search": (True, False)},
}
# |T| as a fraction of |S|, of those that have it.
CURVATURE_FRACTIONS = (1.0, 0.25, 0.1)
WITH_CURVATURE = ("sqgn", "sgn")


@dataclass(frozen=True)
class RaceSettings:
    """How the race is run.

    Attributes
    ----------
    optimizers
        Who runs.
    trials
        Settings tried for each.
    target
        Accuracy to reach, 0 to 1.
    trial_seconds
        Optimizer time after which a run is given up, s.
    options
        Options that differ from the paper's, by ``OPTIMIZER.OPTION``.
    """

    optimizers: tuple[str, ...] = OPTIMIZERS
    trials: int = TRIALS
    target: float = TARGET
    trial_seconds: float = TRIAL_SECONDS
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InputError(f"--trials {self.trials}: must be at least 1")
        if not 0 < self.target < 1:
            raise InputError(f"--target {self.target:g}: must lie between 0 and 1")
        if not 0 < self.trial_seconds < math.inf:
            raise InputError(f"--trial-seconds {self.trial_seconds:g}: must be positive")
        unknown = [name for name in self.optimizers if name not in RATES]
        if unknown:
            raise InputError(f"--optimizer {unknown[0]}: the race knows {', '.join(RATES)}")
        for key in self.options:
            if key.partition(".")[0] not in self.optimizers:
                raise InputError(
                    f"--set {key}: the race takes OPTIMIZER.OPTION of {', '.join(self.optimizers)}"
                )

    def changes(self, optimizer: str) -> dict[str, Any]:
        """Return an optimizer's options that were given, which are not drawn."""
        start = f"{optimizer}."
        return {k.removeprefix(start): v for k, v in self.options.items() if k.startswith(start)}


def draw_trials(optimizer: str, race: RaceSettings, seed: int, samples: int) -> list[RunSettings]:
    """Return the settings that an optimizer tries.

    Trial n of all optimizers has the same batch size, pixels and schedule, and its learning rate
    lies at the same place in each one's range; its own options are drawn besides. Batches are
    such that ten or more of them fit into the training samples.

    Raises
    ------
    InputError
        If the training samples are too few.
    """
    sizes = [size for size in BATCH_SIZES if epoch_batches(samples, size) >= 10]
    if not sizes:
        raise InputError(f"--data: {samples} training samples are too few for a race")
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    low, high = RATES[optimizer]
    trials = []
    for _ in range(race.trials):
        rate = low * (high / low) ** shared.random()
        horizon = _draw(HORIZONS, shared)
        batch_size, pixels = _draw(sizes, shared), _draw(PIXELS, shared)
        options = _own_options(optimizer, batch_size, own) | race.changes(optimizer)
        settings = RunSettings(
            optimizer,
            float(f"{rate:.2g}"),
            options,
            batch_size,
            epochs=horizon or MOST_EPOCHS,
            seed=seed,
            pixels=pixels,
            schedule="cosine" if horizon else "constant",
            stop_accuracy=race.target,
            stop_seconds=race.trial_seconds,
            judge_iterations=JUDGE_ITERATIONS,
        )
        trials.append(settings)
    return trials


def _own_options(optimizer: str, batch_size: int, random: np.random.Generator) -> dict[str, Any]:
    _, options = default_settings(optimizer, 1.0)
    options |= {key: _draw(values, random) for key, values in OWN_OPTIONS[optimizer].items()}
    if optimizer in WITH_CURVATURE:
        fraction = _draw(CURVATURE_FRACTIONS, random)
        if fraction < 1:
            options["curvature_samples"] = round(fraction * batch_size)
    return options


def _draw(values: Sequence[Any], random: np.random.Generator) -> Any:
    return values[random.integers(len(values))]
