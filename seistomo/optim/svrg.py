"""SVRG: gradient descent along variance-reduced gradients."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer
from seistomo.optim.objective import Objective
from seistomo.optim.options import require_positive
from seistomo.optim.variance_reduction import VarianceReduction


class SVRG(ObjectiveOptimizer):
    """Stochastic variance-reduced gradient descent: w ← w - α (∇f_S(w) - ∇f_S(w̃) + μ).

    Johnson and Zhang (2013), "Accelerating Stochastic Gradient Descent using Predictive Variance
    Reduction"; Thiele et al. (2021), Eq. 12. w̃ is the snapshot, the weights at the last full
    gradient μ = ∇f(w̃). The direction is an unbiased estimate of ∇f(w) whose variance vanishes
    as w and w̃ come to the minimum, so that a constant learning rate converges, linearly on a
    strongly convex problem. The snapshot follows the last iterate (Johnson and Zhang's option I).

    A step costs one gradient of the batch, and 1/K of a pass over the training set: the pass
    that gives μ gives ∇f_S(w̃) of the next K batches too. Memory: up to K numbers a weight
    between steps, K + 4 during that pass. Where the batch is the training set, as an objective
    built without ``batches`` takes it to be, this is gradient descent.

    What is not finite is never added to the weights: the step is left out. A full gradient that
    is not finite is taken again at the next step.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr``.
    lr
        α.
    full_gradient_interval
        K, in steps: a full gradient at each batch whose number within its epoch is a multiple of
        it. It must divide the batches of an epoch. "epoch": once an epoch.

    Attributes
    ----------
    report
        Of the last step. ``finite``: whether loss and gradient were; else no step was taken.
        ``step_length``: that of the step, in the unit of the weights.

    Raises
    ------
    OptimizerError
        At construction, for an option that cannot be; in `step`, for an interval that does not
        divide the epoch, an objective that does not reach the whole training set, and a batch
        other than the last full gradient was taken with.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        full_gradient_interval: int | Literal["epoch"] = 10,
    ):
        require_positive("lr", lr)
        self._reduction = VarianceReduction(full_gradient_interval)
        super().__init__(params, {"lr": lr}, {"full_gradient_interval": full_gradient_interval})

    def _step(self, objective: Objective) -> Tensor:
        found = self._reduction.gradient(objective, self.parameters(), self.memory)
        step = -self.learning_rate() * found.gradient
        finite = torch.isfinite(step).all() & torch.isfinite(found.loss)
        step = torch.where(finite, step, 0)
        self.add_(step)
        told = torch.stack([finite.to(step.dtype), torch.linalg.vector_norm(step)])
        was_finite, length = told.tolist()  # Here alone a step waits for the device.
        self.report = {"finite": bool(was_finite), "step_length": length}
        if found.at_snapshot and not was_finite:
            self._reduction.forget(self.memory)
        return found.loss

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_reduction": self._reduction}
