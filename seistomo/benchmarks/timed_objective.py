"""An objective that takes the time of all it is asked for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from seistomo.optim import FullGradient, Linearization, Objective
from seistomo.optim.objective import Parameters, Vector

GRADIENT, FULL_GRADIENT = "gradient", "full gradient"
PRODUCT, LOSS = "curvature product", "loss"
PARTS = (GRADIENT, FULL_GRADIENT, PRODUCT, LOSS)


class StopWatch:
    """Adds up seconds by part.

    Parameters
    ----------
    device
        Where the work is done; a GPU is waited for before each look at the clock.

    Attributes
    ----------
    seconds
        Seconds of each of `PARTS` since the last reset.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self.reset()

    def reset(self) -> None:
        """Set all to zero."""
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def measuring(self, part: str) -> Iterator[None]:
        """Add the time inside a ``with`` block to a part."""
        started = self.now()
        yield
        self.seconds[part] += self.now() - started

    def now(self) -> float:
        """Return the time, in seconds, at which all work given to the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


class TimedObjective:
    """Stands for an objective, whose answers it passes on; see `seistomo.optim.Objective`.

    Parameters
    ----------
    objective
        The objective.
    watch
        What takes the time.
    """

    def __init__(self, objective: Objective, watch: StopWatch):
        self._objective, self._watch = objective, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def __call__(self) -> Tensor:
        """Pass on loss and gradient of a torch closure."""
        with self._watch.measuring(GRADIENT):
            return self._objective()

    def loss(self, *arguments: Any, **named: Any) -> Tensor:
        """Pass on the loss."""
        with self._watch.measuring(LOSS):
            return self._objective.loss(*arguments, **named)

    def gradient(self, *arguments: Any, **named: Any) -> Vector:
        """Pass on the gradient."""
        with self._watch.measuring(GRADIENT):
            return self._objective.gradient(*arguments, **named)

    def loss_and_gradient(self, *arguments: Any, **named: Any) -> tuple[Tensor, Vector]:
        """Pass on both."""
        with self._watch.measuring(GRADIENT):
            return self._objective.loss_and_gradient(*arguments, **named)

    def linearize(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> "TimedLinearization":
        """Pass on the linearization, which takes the time likewise."""
        return TimedLinearization(self._objective.linearize(params, samples), self._watch)

    def hessian_product(self, *arguments: Any, **named: Any) -> Vector:
        """Pass on the product with the Hessian."""
        with self._watch.measuring(PRODUCT):
            return self._objective.hessian_product(*arguments, **named)

    def full_gradient(self, *arguments: Any, **named: Any) -> FullGradient:
        """Pass on the gradient over the training set."""
        with self._watch.measuring(FULL_GRADIENT):
            return self._objective.full_gradient(*arguments, **named)


class TimedLinearization:
    """Stands for a linearization; see `seistomo.optim.Linearization`.

    What is asked for first pays for the forward pass that all share.
    """

    def __init__(self, linearized: Linearization, watch: StopWatch):
        self._linearized, self._watch = linearized, watch

    @property
    def loss(self) -> Tensor:
        """The loss."""
        with self._watch.measuring(GRADIENT):
            return self._linearized.loss

    @property
    def gradient(self) -> Vector:
        """The gradient."""
        with self._watch.measuring(GRADIENT):
            return self._linearized.gradient

    def product(self, vector: Sequence[Tensor]) -> Vector:
        """Pass on a Gauss–Newton product."""
        with self._watch.measuring(PRODUCT):
            return self._linearized.product(vector)
