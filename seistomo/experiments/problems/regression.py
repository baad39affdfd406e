"""Boston Housing and the noisy sine: regression problems of Gargiani et al. (2020), section 4."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from seistomo.config import LoopConfig
from seistomo.errors import InputError
from seistomo.experiments.problems import judged_splits, needed
from seistomo.networks import MLP
from seistomo.training.problem import Problem, TensorSamples

SHOWN = ("loss", "train_loss")
INPUTS = ("maximum", "raw", "standardized")
BOSTON_TRAIN, BOSTON_SEED, LARGEST_PRICE = 404, 113, 50.0
SINE_SAMPLES, SINE_TEST, SINE_NOISE = 10_000, 3_000, 0.01


class RegressionProblem(Problem):
    """Values to be fitted by a perceptron with sigmoids, by the mean squared error.

    Where the true function is known, "error" is that of the outputs against it, without noise.
    Each epoch is judged by the test split, as in the paper; for tuning by the last sixth of the
    training samples, which are then not trained with.
    """

    loss = staticmethod(mse_loss)

    def __init__(
        self,
        options: Mapping[str, Any],
        hidden: Sequence[int],
        start: str,
        inputs: NDArray[np.float64],
        targets: NDArray[np.float64],
        train: int,
        settings: LoopConfig,
        tuning: bool,
        truth: Callable[[Tensor], Tensor] | None = None,
    ):
        self._truth = truth
        self.score_names = ("error",) if truth else ()
        self.name, self.settings = options["name"], settings
        self._options = {**options, "start": start, "judged_by": "validation" if tuning else "test"}
        x, y = (torch.from_numpy(values.astype(np.float32)) for values in (inputs, targets))
        self._sizes, self._start = (x.shape[1], *hidden, 1), start
        self.network(torch.Generator())  # Refuses an unknown start.
        self.identity = hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()[:10]
        first, last = TensorSamples(x[:train], y[:train]), TensorSamples(x[train:], y[train:])
        self._splits = judged_splits(first, last, tuning)

    def network(self, generator: torch.Generator) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return MLP(self._sizes, generator=generator, start=self._start)

    def split(self, name: str) -> TensorSamples:
        return self._splits[name]

    @torch.no_grad()
    def scores(self, network: nn.Module, samples: TensorSamples) -> dict[str, float]:
        outputs = network(samples.inputs)
        found = {"loss": float(mse_loss(outputs, samples.targets))}
        if self._truth:
            found["error"] = float(mse_loss(outputs, self._truth(samples.inputs)))
        return found

    def description(self) -> dict[str, Any]:
        return {"problem": self._options}

    def scores_in_words(self, row: Mapping[str, Any]) -> str:
        return f"RMSE {math.sqrt(row['validation_loss']):.3g}"


def boston(
    training: Mapping[str, Any],
    tuning: bool = False,
    inputs: str = "maximum",
    start: str = "normal",
) -> RegressionProblem:
    """Return Boston Housing: 13 facts of a town, and its median price in units of 50,000 $.

    404 towns to train with and 102 to test with. ``inputs``: as they are ("raw"), divided by the
    largest of all ("maximum", as in the authors' code), or each of the 13 with mean 0 and standard
    deviation 1 ("standardized"). ``start``: see `seistomo.networks.MLP`.
    """
    settings = LoopConfig.model_validate({"batch_size": 101, **training})
    if inputs not in INPUTS:
        raise InputError(f"problem.inputs = {inputs}: must be one of {', '.join(INPUTS)}")
    x, y = needed("mlxtend.data", "Boston Housing").boston_housing_data()
    # The split of the loader that the authors' code uses.
    order = np.arange(len(x))
    np.random.RandomState(BOSTON_SEED).shuffle(order)
    x, y = x[order], y[order, None] / LARGEST_PRICE
    if inputs == "maximum":
        x = x / x[:BOSTON_TRAIN].max()
    elif inputs == "standardized":
        x = (x - x[:BOSTON_TRAIN].mean(0)) / x[:BOSTON_TRAIN].std(0)
    options = {"name": "boston", "inputs": inputs}
    return RegressionProblem(options, (100, 100), start, x, y, BOSTON_TRAIN, settings, tuning)


def sine(
    training: Mapping[str, Any],
    tuning: bool = False,
    frequency: float = 10.0,
    start: str = "normal",
) -> RegressionProblem:
    """Return y = sin(frequency · x) + N(0, 0.01²), x from -1 to 1: 7,000 samples and 3,000 to test.

    So the mean squared error of the true function is 10⁻⁴.
    """
    settings = LoopConfig.model_validate({"batch_size": 1000, **training})
    if not 0 < frequency < math.inf:
        raise InputError(f"problem.frequency = {frequency:g}: must be a positive number")
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (SINE_SAMPLES, 1))
    y = np.sin(frequency * x) + SINE_NOISE * random.standard_normal(x.shape)
    options = {"name": "sine", "frequency": float(frequency)}
    train = SINE_SAMPLES - SINE_TEST

    def truth(inputs: Tensor) -> Tensor:
        return torch.sin(frequency * inputs)

    return RegressionProblem(options, (20, 20, 20), start, x, y, train, settings, tuning, truth)


MAKERS = {"boston": boston, "sine": sine}
