"""Weight decay: an objective plus ½ Σ λ w², in loss, gradient and curvature alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.objective import FullGradient, Linearization, Objective, Parameters, Vector


class Decayed:
    """An objective with a penalty on the weights; ``rates`` are λ by parameter.

    ``first_loss`` is the first loss of the objective that was asked for, without the penalty:
    that of a step's batch at its start.
    """

    def __init__(self, objective: Objective, rates: Mapping[Tensor, float]):
        self._objective, self._rates = objective, rates
        self.first_loss: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def loss(self, params: Parameters, samples: Tensor | None = None) -> Tensor:
        """Return f_S + ½ Σ λ w²; this and what follows are as in `Objective`."""
        return self.with_penalty(self._objective.loss(params, samples), params)

    def gradient(self, params: Parameters, samples: Tensor | None = None) -> Vector:
        return self.plus(self._objective.gradient(params, samples), params)

    def loss_and_gradient(
        self, params: Parameters, samples: Tensor | None = None
    ) -> tuple[Tensor, Vector]:
        loss, gradient = self._objective.loss_and_gradient(params, samples)
        return self.with_penalty(loss, params), self.plus(gradient, params)

    def linearize(self, params: Parameters, samples: Tensor | None = None) -> Linearization:
        return _DecayedLinearization(self, self._objective.linearize(params, samples), params)

    def hessian_product(
        self, vector: Sequence[Tensor], params: Parameters, samples: Tensor | None = None
    ) -> Vector:
        product = self._objective.hessian_product(vector, params, samples)
        return self.plus(product, params, vector)

    def full_gradient(self, params: Parameters, cache_next: int = 0) -> FullGradient:
        full = self._objective.full_gradient(params, cache_next)
        # One after the other: they are large.
        for index, gradient in enumerate(full.batch_gradients):
            full.batch_gradients[index] = self.plus(gradient, params)
        losses = [self.with_penalty(loss, params) for loss in full.batch_losses]
        return full._replace(
            loss=self.with_penalty(full.loss, params),
            gradient=self.plus(full.gradient, params),
            batch_losses=losses,
        )

    def with_penalty(self, loss: Tensor, params: Parameters) -> Tensor:
        """Return the loss and the penalty at the values of the parameters."""
        self.first_loss = loss if self.first_loss is None else self.first_loss
        squares = zip(self._factors(params), _values(params), strict=True)
        return loss + sum(rate / 2 * value.detach().square().sum() for rate, value in squares)

    def plus(
        self, vector: Vector, params: Parameters, of: Sequence[Tensor] | None = None
    ) -> Vector:
        """Return a vector plus λ times another; left out: the values of the parameters."""
        terms = zip(vector, self._factors(params), of or _values(params), strict=True)
        return tuple(torch.add(one, other.detach(), alpha=rate) for one, rate, other in terms)

    def _factors(self, params: Parameters) -> list[float]:
        return [self._rates.get(own, 0.0) for own in params]


class _DecayedLinearization:
    def __init__(self, objective: Decayed, linearized: Linearization, params: Parameters):
        self._objective, self._linearized, self._params = objective, linearized, params

    @property
    def loss(self) -> Tensor:
        return self._objective.with_penalty(self._linearized.loss, self._params)

    @property
    def gradient(self) -> Vector:
        return self._objective.plus(self._linearized.gradient, self._params)

    def product(self, vector: Sequence[Tensor]) -> Vector:
        product = self._linearized.product(vector)
        return self._objective.plus(product, self._params, vector)


def _values(params: Parameters) -> list[Tensor]:
    return list(params.values()) if isinstance(params, Mapping) else list(params)
