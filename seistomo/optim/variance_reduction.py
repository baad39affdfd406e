"""Variance-reduced gradients: ∇f_S(w) - ∇f_S(w̃) + ∇f(w̃), with a full gradient now and then.

Johnson & Zhang 2013; Thiele et al. 2021, Eq. 12 and Algorithm 1, lines 3 to 8.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
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
    at_snapshot
        Whether the snapshot was taken for it: w = w̃, and ``gradient`` is ∇f(w̃).
    """

    loss: Tensor
    gradient: Tensor
    batch_gradient: Tensor
    at_snapshot: bool = False


class VarianceReduction:
    """Gives variance-reduced gradients from a snapshot: ∇f(w̃) and the batches' ∇f_S(w̃).

    The snapshot is taken where the batch's number within its epoch is a multiple of the
    interval K. The pass over the training set gives ∇f_S(w̃) of the next K batches beside
    ∇f(w̃), so that a step needs no second gradient; the step of the snapshot itself has w = w̃
    and needs none at all. w̃ itself is needed no more.

    Memory, in numbers a weight: K + 4 at most while a snapshot is taken (K batches' gradients,
    ∇f(w̃), that of the snapshot before, and two of a gradient at work); K from there on, and one
    less with each step, which uses up its batch's.

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
            If the interval does not divide the batches of an epoch, and if the batch is not the
            one of this number that the snapshot was taken with.
        """
        steps, index = self._steps(objective.batches_per_epoch), objective.batch_index
        batches = memory["snapshot"]["batches"] if "snapshot" in memory else {}
        if index % steps == 0 or index not in batches:
            loss, here, memory["snapshot"] = _take(objective, parameters, steps)
            return ReducedGradient(loss, memory["snapshot"]["gradient"], here, at_snapshot=True)
        _require_same(objective, batches[index]["samples"])
        loss, here = objective.loss_and_gradient(parameters)
        here, there = flatten(here), batches.pop(index)["gradient"]
        return ReducedGradient(loss, here - there + memory["snapshot"]["gradient"], here)

    def forget(self, memory: dict[str, Any]) -> None:
        """Forget the snapshot, where it turned out useless; the next step takes another."""
        memory.pop("snapshot", None)

    def _steps(self, batches_per_epoch: int) -> int:
        """Return K in steps; refuse one that does not divide the epoch."""
        if self._interval == EPOCH:
            return batches_per_epoch
        if batches_per_epoch % self._interval:
            batches = "1 batch" if batches_per_epoch == 1 else f"{batches_per_epoch} batches"
            raise OptimizerError(
                f"full_gradient_interval = {self._interval}: does not divide the epoch of"
                f' {batches}; allowed here: {_divisors(batches_per_epoch)}, "{EPOCH}", and in SQGN'
                f' "{NEVER}" (no variance reduction)'
            )
        return self._interval


def _take(
    objective: Objective, parameters: Sequence[Tensor], steps: int
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return the batch's loss and gradient, and a snapshot that serves until the next is due."""
    index = objective.batch_index
    full = objective.full_gradient(parameters, cache_next=steps - index % steps)
    loss, gradient = full.batch_losses[0], flatten(full.gradient)
    gradients = list(full.batch_gradients)
    samples = list(full.batch_samples) or [None] * len(gradients)
    del full  # Each batch's gradient is then freed as soon as it is flat.
    here = flatten(gradients.pop(0))
    batches = {
        index + ahead: {"gradient": flatten(gradients.pop(0)), "samples": samples[ahead]}
        for ahead in range(1, len(samples))
    }
    return loss, here, {"gradient": gradient, "batches": batches}


def _require_same(objective: Objective, samples: Tensor | None) -> None:
    """Refuse a batch of other samples than the snapshot's."""
    if samples is None or torch.equal(objective.samples.to(samples.device), samples):
        return
    raise OptimizerError(
        f"batch {objective.batch_index + 1} of {objective.batches_per_epoch}: its samples are not"
        " those that the last full gradient was taken with; to resume inside an epoch, restore"
        " the generator that draws the batches"
    )


def _divisors(number: int) -> str:
    return ", ".join(str(n) for n in range(1, number + 1) if number % n == 0)
