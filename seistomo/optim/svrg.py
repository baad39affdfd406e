"""SVRG, and the variance-reduced gradients that it goes along: ∇f_S(w) - ∇f_S(w̃) + ∇f(w̃).

Johnson & Zhang 2013; Thiele et al. 2021, Eq. 12 and Algorithm 1, lines 3 to 8.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer, options_of
from seistomo.optim.checks import OptimizerError, require_count, require_positive
from seistomo.optim.objective import Objective, flatten

EPOCH, NEVER = "epoch", "never"
# Where the optimizers' memory holds w̃'s gradients.
SNAPSHOT = "snapshot"


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
        Parameters or groups of them, as in torch; a group may have its own ``lr`` and
        ``weight_decay``.
    lr
        α.
    full_gradient_interval
        K, in steps: a full gradient at each batch whose number within its epoch is a multiple of
        it. It must divide the batches of an epoch. "epoch": once an epoch.
    weight_decay
        c of a penalty ½ c w² on each weight. The loss that is returned is without it.

    Attributes
    ----------
    report
        Of the last step. ``finite``: whether loss and gradient were; else no step was taken.
        ``step_length``: that of the step, in the unit of the weights.

    Raises
    ------
    OptimizerError
        At construction, for an option that cannot be; in `step`, for an interval that does not
        divide the epoch, and a batch other than the last full gradient was taken with.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        *,
        full_gradient_interval: int | Literal["epoch"] = 10,
        weight_decay: float = 0.0,
    ):
        options = options_of(locals())
        require_positive("lr", lr)
        require_interval(full_gradient_interval)
        super().__init__(params, options, ("full_gradient_interval",))

    def _step(self, objective: Objective) -> Tensor:
        interval = self._options.full_gradient_interval
        found = reduced_gradient(objective, self.parameters(), interval, self.memory)
        step = -self.learning_rate() * found.gradient
        finite = torch.isfinite(step).all() & torch.isfinite(found.loss)
        step = torch.where(finite, step, 0)
        self.add_(step)
        told = torch.stack([finite.to(step.dtype), torch.linalg.vector_norm(step)])
        was_finite, length = told.tolist()  # Here alone a step waits for the device.
        self.report = {"finite": bool(was_finite), "step_length": length}
        if found.at_snapshot and not was_finite:
            del self.memory[SNAPSHOT]  # The next step takes another.
        return found.loss


class ReducedGradient(NamedTuple):
    """A batch's loss and gradients at the present weights."""

    loss: Tensor  # f_S(w)
    gradient: Tensor  # ∇f_S(w) - ∇f_S(w̃) + ∇f(w̃), [weight]
    batch_gradient: Tensor  # ∇f_S(w), [weight]
    at_snapshot: bool = False  # the snapshot was taken for it: w = w̃, and gradient is ∇f(w̃)


def require_interval(interval: int | Literal["epoch"]) -> None:
    """Refuse what is neither a number of steps nor "epoch"."""
    if interval != EPOCH:
        require_count("full_gradient_interval", interval)


def reduced_gradient(
    objective: Objective,
    parameters: Sequence[Tensor],
    interval: int | Literal["epoch"],
    memory: dict[str, Any],
) -> ReducedGradient:
    """Return the batch's loss and variance-reduced gradient at the parameters' present values.

    The snapshot, in ``memory``, is ∇f(w̃) and the batches' ∇f_S(w̃). It is taken where the
    batch's number within its epoch is a multiple of the interval K, which must divide the epoch.
    The pass over the training set gives ∇f_S(w̃) of the next K batches beside ∇f(w̃), so that a
    step needs no second gradient; the step of the snapshot itself has w = w̃ and needs none at
    all. w̃ itself is needed no more.

    Memory, in numbers a weight: K + 4 at most while a snapshot is taken (K batches' gradients,
    ∇f(w̃), that of the snapshot before, and two of a gradient at work); K from there on, and one
    less with each step, which uses up its batch's.
    """
    steps, index = steps_between(interval, objective.batches_per_epoch), objective.batch_index
    batches = memory[SNAPSHOT]["batches"] if SNAPSHOT in memory else {}
    if index % steps == 0 or index not in batches:
        loss, here, memory[SNAPSHOT] = _take(objective, parameters, steps)
        return ReducedGradient(loss, memory[SNAPSHOT]["gradient"], here, at_snapshot=True)
    samples = batches[index]["samples"]
    if not torch.equal(objective.samples.to(samples.device), samples):
        raise OptimizerError(
            f"batch {index + 1} of {objective.batches_per_epoch}: its samples are not those that"
            " the last full gradient was taken with; to resume inside an epoch, restore the"
            " generator that draws the batches"
        )
    loss, here = objective.loss_and_gradient(parameters)
    here, there = flatten(here), batches.pop(index)["gradient"]
    return ReducedGradient(loss, here - there + memory[SNAPSHOT]["gradient"], here)


def steps_between(interval: int | Literal["epoch"], batches_per_epoch: int) -> int:
    """Return K in steps; refuse one that does not divide the epoch."""
    if interval == EPOCH:
        return batches_per_epoch
    if batches_per_epoch % interval:
        batches = "1 batch" if batches_per_epoch == 1 else f"{batches_per_epoch} batches"
        divisors = ", ".join(
            str(n) for n in range(1, batches_per_epoch + 1) if batches_per_epoch % n == 0
        )
        raise OptimizerError(
            f"full_gradient_interval = {interval}: does not divide the epoch of"
            f' {batches}; allowed here: {divisors}, "{EPOCH}", and in SQGN'
            f' "{NEVER}" (no variance reduction)'
        )
    return interval


def _take(
    objective: Objective, parameters: Sequence[Tensor], steps: int
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return the batch's loss and gradient, and a snapshot that serves until the next is due."""
    index = objective.batch_index
    full = objective.full_gradient(parameters, cache_next=steps - index % steps)
    loss, gradient, samples = full.batch_losses[0], flatten(full.gradient), full.batch_samples
    gradients = list(full.batch_gradients)
    del full  # Each batch's gradient is then freed as soon as it is flat.
    here = flatten(gradients.pop(0))
    batches = {
        index + ahead: {"gradient": flatten(gradients.pop(0)), "samples": samples[ahead]}
        for ahead in range(1, len(samples))
    }
    return loss, here, {"gradient": gradient, "batches": batches}
