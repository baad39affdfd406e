"""SVRG: gradient descent along variance-reduced gradients."""

from collections.abc import Iterable
from typing import Any, Literal

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
    that gives μ gives ∇f_S(w̃) of the next K batches too. Memory: K + 1 numbers a weight.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr``.
    lr
        α.
    full_gradient_interval
        K, in steps: a full gradient at each batch whose number within its epoch is a multiple of
        it. It must divide the batches of an epoch. "epoch": once an epoch.

    Raises
    ------
    OptimizerError
        At construction, for an option that cannot be; in `step`, for an interval that does not
        divide the epoch, and an objective that does not reach the whole training set.
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
        super().__init__(params, {"lr": lr})

    def _step(self, objective: Objective) -> Tensor:
        found = self._reduction.gradient(objective, self.parameters(), self.memory)
        self.add_(-self.learning_rate() * found.gradient)
        return found.loss

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_reduction": self._reduction}
