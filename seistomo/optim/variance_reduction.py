"""Variance-reduced gradients: ∇f_S(w) - ∇f_S(w̃) + ∇f(w̃), with a full gradient now and then.

Johnson & Zhang 2013; Thiele et al. 2021, Eq. 12 and Algorithm 1, lines 3 to 8.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor

from seistomo.optim.errors import OptimizerError
from seistomo.optim.objective import Objective
from seistomo.optim.options import require_count
from seistomo.optim.vectors import flatten

EPOCH, NEVER = "epoch", "never"


class ReducedGradient(NamedTuple):
    """A batch's loss and gradients at the present weights.

    Attributes
    ----------
    loss
        f_S(w), a scalar.
    gradient
        ∇f_S(w) - ∇f_S(w̃) + ∇f(w̃), [weight].
    batch_gradient
        ∇f_S(w), [weight].
    """

    loss: Tensor
    gradient: Tensor
    batch_gradient: Tensor


class VarianceReduction:
    """Gives variance-reduced gradients from a snapshot: ∇f(w̃) and the batches' ∇f_S(w̃).

    The snapshot is taken where the batch's number within its epoch is a multiple of the
    interval K. The pass over the training set gives ∇f_S(w̃) of the next K batches beside
    ∇f(w̃), so that a step needs no second gradient; the step of the snapshot itself has w = w̃
    and needs none at all. The snapshot holds K + 1 numbers a weight;
    w̃ itself is needed no more.

    Parameters
    ----------
    interval
        K, in steps; "epoch": once an epoch. It must divide the batches of an epoch.
    """

    def __init__(self, interval: int | Literal["epoch"]):
        if interval != EPOCH:
            require_count("full_gradient_interval", interval)
        self._interval = interval

    def gradient(
        self, objective: Objective, parameters: Sequence[Tensor], memory: dict[str, Any]
    ) -> ReducedGradient:
        """Return the batch's loss and gradients at the parameters' present values.

        Parameters
        ----------
        objective
            The batch S.
        parameters
            What to differentiate with respect to.
        memory
            The optimizer's memory, which holds the snapshot under "snapshot".

        Raises
        ------
        OptimizerError
            If the interval does not divide the batches of an epoch.
        """
        steps = self._steps(objective.batches_per_epoch)
        snapshot = memory.get("snapshot")
        if objective.batch_index % steps == 0 or not _covers(snapshot, objective.batch_index):
            snapshot = memory["snapshot"] = _take(objective, parameters, steps)
            here = snapshot["batch_gradients"][0]
            return ReducedGradient(snapshot["batch_loss"], snapshot["gradient"], here)
        loss, here = objective.loss_and_gradient(parameters)
        here = flatten(here)
        there = snapshot["batch_gradients"][objective.batch_index - snapshot["batch_index"]]
        return ReducedGradient(loss, here - there + snapshot["gradient"], here)

    def _steps(self, batches_per_epoch: int) -> int:
        """Return K in steps; refuse one that does not divide the epoch."""
        if self._interval == EPOCH:
            return batches_per_epoch
        if batches_per_epoch % self._interval:
            raise OptimizerError(
                f"full_gradient_interval = {self._interval}: does not divide the epoch of"
                f" {batches_per_epoch} batches; allowed here: {_divisors(batches_per_epoch)}, or"
                f' "{EPOCH}"'
            )
        return self._interval


def _take(objective: Objective, parameters: Sequence[Tensor], steps: int) -> dict[str, Any]:
    """Return a snapshot at the parameters' values that serves until the next is due."""
    index = objective.batch_index
    full = objective.full_gradient(parameters, cache_next=steps - index % steps)
    return {
        "gradient": flatten(full.gradient),
        "batch_index": index,
        "batch_loss": full.batch_losses[0],
        "batch_gradients": [flatten(gradient) for gradient in full.batch_gradients],
    }


def _covers(snapshot: dict[str, Any] | None, batch_index: int) -> bool:
    if snapshot is None:
        return False
    return 0 <= batch_index - snapshot["batch_index"] < len(snapshot["batch_gradients"])


def _divisors(number: int) -> str:
    return ", ".join(str(n) for n in range(1, number + 1) if number % n == 0)
