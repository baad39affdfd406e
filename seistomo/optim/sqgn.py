"""SQGN: limited-memory BFGS on Gauss–Newton curvature and variance-reduced gradients."""

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer
from seistomo.optim.curvature_samples import CurvatureSamples
from seistomo.optim.errors import OptimizerError
from seistomo.optim.lbfgs import PairHistory, pair_measures, refusal, unit_vector
from seistomo.optim.objective import Objective
from seistomo.optim.options import (
    require_between,
    require_count,
    require_one_of,
    require_positive,
    require_zero_or_above,
)
from seistomo.optim.pairs import GAUSS_NEWTON, GRADIENT_DIFFERENCE, PAIR_SOURCES, LastStep, Pair
from seistomo.optim.step_guard import StepGuard
from seistomo.optim.variance_reduction import NEVER, ReducedGradient, VarianceReduction
from seistomo.optim.vectors import flatten

SAFE, CODE, PAPER = "safe", "code", "paper"
STORED, NOT_DUE = "stored", "not due"
# Scale of H while there is no pair, in the paper (line 11) and its authors' code.
EMPTY_SCALE = 1e-7


class SQGN(ObjectiveOptimizer):
    """Stochastic quasi-Gauss–Newton: L-BFGS on Gauss–Newton products, with variance reduction.

    Thiele, Araya-Polo and Hohl (2021), "Deep Neural Network Learning with Second-Order
    Optimizers", Algorithm 1. A step is s = α d with d = -H g: g is the variance-reduced gradient,
    H the inverse of the Gauss–Newton matrix plus λ I as far as L curvature pairs know it. A pair
    is (s, v), v = (JᵀBJ + λ I) s with B = ∇²ℓ, taken at the weights after the step. Where there
    is no pair yet, H is 10⁻⁷ I. What the paper leaves out is as in its authors' code; the
    defaults are the paper's but for ``first_step`` and ``undo_above``, which are ours: with
    ``"code"`` or ``"paper"`` and 0 every step is as published.

    Every K steps the gradient over the training set is taken; that pass gives the batches'
    gradients at w̃ as well, so a step costs one gradient of the batch (none where it follows that
    pass), 1/K of the pass, and a Gauss–Newton product every M steps. Memory, in numbers a weight:
    2 L for the history, 1 for the last step; for variance reduction up to K between steps, K + 4
    during that pass.

    *Stuck runs.* As published, some runs lose all their ReLUs in the first steps and stay at
    chance. The cause: a network with large outputs saturates the softmax, where cross-entropy is
    nearly linear. Along the first step the Gauss–Newton product then misses the curvature that a
    longer step meets, H comes out thousands of times too large, and the next step kills the
    network. Such a step gives itself away: its quadratic model falls far below zero, where no
    such loss can go (by 30 to 3,700 times the loss in the runs that got stuck, by 2 in the
    median of the others). ``first_step = "safe"`` goes only as far as the model stays positive.
    That also tames what an old snapshot does: where the loss has fallen far since w̃, the batch's
    gradient there is mostly noise. What it needs is a loss that cannot
    be negative, as mean squared error and cross-entropy; for others choose ``"code"``.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr``.
    lr
        α.
    history
        L, the pairs kept.
    pair_interval
        M: a pair is taken after the steps k ≡ 0 (mod M), from the last step alone; "hessian"
        takes it from averages over M steps.
    damping
        λ, in the unit of the loss over that of the weights, squared. It enters the pairs alone.
    full_gradient_interval
        K, in steps: a full gradient at each batch whose number within its epoch is a multiple of
        it. It must divide the batches of an epoch. "epoch": once an epoch; "never": no variance
        reduction, g is the batch's gradient.
    curvature
        Where pairs come from, see `seistomo.optim.pairs`: "gauss_newton"; "hessian", as in
        stochastic quasi-Newton (Byrd et al. 2016); "gradient_difference", as in online L-BFGS
        (Schraudolph et al. 2007).
    curvature_samples, curvature_from
        |T|, drawn anew for each pair out of the "batch" S, or out of the whole "training_set"
        independently of S. Left out: T = S.
    first_step
        What is done while there is no pair. "code": s = -α 10⁻⁷ g, as in the authors' code.
        "paper": s = -10⁻⁷ g, as in its line 11. "safe": along -α g by √ε (1 + |w|), ε the unit of
        rounding, whatever the scale of the loss; and every step is limited, see above.
    undo_above
        Where a batch's loss is more than this many times the median of the last ten, and above it
        by more than they differ, the last step is taken back and the next ones are kept shorter
        for a while; its pair goes, too (see `seistomo.optim.step_guard`). Not in the paper;
        0: never.
    seed
        Of the generator that draws T; its state is part of the optimizer's.

    Attributes
    ----------
    report
        Of the last step. ``finite``: whether loss, gradient and step were, or a step was taken
        back all the same; else no step was taken, and a full gradient taken for it is taken
        again at the next. ``undone``: whether the last step was taken back; a full gradient
        taken there is taken again, too. ``step_length``: |s|. ``fraction``: the part of α d that
        was taken. ``pair``: "stored", "not due", or why it was refused. ``pairs``: how many the
        history has. ``refused``: how many were refused so far, by reason.

    Raises
    ------
    OptimizerError
        At construction, for an option that cannot be; in `step`, for an interval that does not
        divide the epoch, an objective that does not reach the whole training set, and a batch
        other than the last full gradient was taken with.

    Examples
    --------
    >>> from seistomo.optim import ModelObjective
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = SQGN(model.parameters(), lr=1.0, damping=1e-3, full_gradient_interval="never")
    >>> loss = torch.nn.functional.mse_loss
    >>> for _ in range(3):
    ...     value = optimizer.step(ModelObjective(model, loss, torch.ones(8, 3), torch.ones(8, 1)))
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.1,
        *,
        history: int = 20,
        pair_interval: int = 1,
        damping: float = 0.1,
        full_gradient_interval: int | Literal["epoch", "never"] = 10,
        curvature: str = GAUSS_NEWTON,
        curvature_samples: int | None = None,
        curvature_from: str = "batch",
        first_step: str = SAFE,
        undo_above: float = 2.0,
        seed: int = 0,
    ):
        require_positive("lr", lr)
        require_count("history", history)
        require_count("pair_interval", pair_interval)
        require_between("damping", damping, 0, 1e30)
        require_one_of("curvature", curvature, PAIR_SOURCES)
        require_one_of("first_step", first_step, (SAFE, CODE, PAPER))
        require_zero_or_above("undo_above", undo_above, 1)
        samples = CurvatureSamples(curvature_samples, curvature_from, seed)
        if curvature == GRADIENT_DIFFERENCE and curvature_samples is not None:
            raise OptimizerError(
                f"curvature_samples = {curvature_samples}: cannot be with curvature ="
                f" {GRADIENT_DIFFERENCE}, whose gradients are the batch's"
            )
        never = full_gradient_interval == NEVER
        self._reduction = None if never else VarianceReduction(full_gradient_interval)
        self._pairs = PAIR_SOURCES[curvature](pair_interval, damping, samples)
        self._history_length, self._first_step = history, first_step
        self._guard = StepGuard(undo_above)
        shaping = {
            "history": history,
            "pair_interval": pair_interval,
            "full_gradient_interval": full_gradient_interval,
            "curvature": curvature,
        }
        super().__init__(params, {"lr": lr}, shaping)

    def _step(self, objective: Objective) -> Tensor:
        found = self._gradient(objective)
        if "pairs" not in self.memory:
            pairs = PairHistory.new(self._history_length, found.gradient)
            self.memory |= {"pairs": pairs, "iteration": 0, "refused": {}, "paired": False}
        step, shortened = self._planned_step(found)
        step, part, undone = self._guard.guarded(step, found.loss, self.memory)
        finite = torch.isfinite(step).all() & (torch.isfinite(found.loss) | undone)
        step = torch.where(finite, step, 0)
        self.add_(step)
        last = LastStep(
            objective, self.parameters(), step, found.batch_gradient, self.memory["iteration"]
        )
        pair = self._pairs.after(last, self.memory)
        self.memory["iteration"] += 1
        self._conclude(step, finite, undone, part * shortened, pair)
        if found.at_snapshot and (self.report["undone"] or not self.report["finite"]):
            self._reduction.forget(self.memory)
        return found.loss

    def _gradient(self, objective: Objective) -> ReducedGradient:
        """Return loss and gradients at the present weights (Algorithm 1, lines 3 to 8)."""
        own = self.parameters()
        if self._reduction is not None:
            return self._reduction.gradient(objective, own, self.memory)
        loss, gradient = objective.loss_and_gradient(own)
        gradient = flatten(gradient)
        return ReducedGradient(loss, gradient, gradient)

    def _planned_step(self, found: ReducedGradient) -> tuple[Tensor, Tensor]:
        """Return s [weight], and the fraction of α d that it is (lines 9 to 15)."""
        history, rates = PairHistory(self.memory["pairs"]), self.learning_rate()
        whole = found.loss.new_ones(())
        if len(history):
            step = -rates * history.inverse_product(found.gradient)
        elif self._first_step == PAPER:
            # Its length does not depend on α, but α = 0 keeps a group where it is.
            step = -EMPTY_SCALE * ((rates != 0) * found.gradient)
        elif self._first_step == CODE:
            step = -rates * (EMPTY_SCALE * found.gradient)
        else:
            length = torch.finfo(whole.dtype).eps ** 0.5 * (1 + self.weights().norm())
            step = -length * unit_vector(rates * found.gradient)
        if self._first_step != SAFE:
            return step, whole
        fraction = _believable_fraction(step, found, rates)
        return fraction * step, fraction

    def _conclude(
        self, step: Tensor, finite: Tensor, undone: Tensor, fraction: Tensor, pair: Pair | None
    ) -> None:
        """Store a safe pair and report; here alone a step waits for the device."""
        flags = [flag.to(step.dtype) for flag in (finite, undone)]
        told = [*flags, fraction, torch.linalg.vector_norm(step)]
        if pair is not None:
            told += pair_measures(*pair)
        was_finite, was_undone, fraction, length, *measures = torch.stack(told).tolist()
        history, refused = PairHistory(self.memory["pairs"]), self.memory["refused"]
        if was_undone and self.memory.get("paired"):
            # Taken where the loss had leapt, where units may be off and curvature next to nothing.
            history.drop_newest()
        outcome = NOT_DUE
        if pair is not None:
            reason = refusal(measures, step.dtype)
            if reason is None:
                history.store(*pair)
            else:
                refused[reason] = refused.get(reason, 0) + 1
            outcome = reason or STORED
        self.memory["paired"] = outcome == STORED
        self.report = {
            "finite": bool(was_finite),
            "undone": bool(was_undone),
            "step_length": length,
            "fraction": fraction,
            "pair": outcome,
            "pairs": len(history),
            "refused": dict(refused),
        }

    def __getstate__(self) -> dict[str, Any]:
        own = ("_reduction", "_pairs", "_history_length", "_first_step", "_guard")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}


def _believable_fraction(step: Tensor, found: ReducedGradient, rates: float | Tensor) -> Tensor:
    """Return the largest t ≤ 1 for which the model of the loss along t s stays positive.

    Along t s, with s = -α H g, the quadratic model is f - t p + ½ t² α p, p = -gᵀs. Where it
    falls below zero it is wrong, if the loss cannot: it has missed curvature.
    """
    largest_rate = rates.max() if isinstance(rates, Tensor) else rates
    promise = -found.gradient.dot(step)
    # The model's least value is negative where reach < 1; t solves the quadratic equation.
    reach = 2 * largest_rate * found.loss / promise
    root = (1 - reach).clamp(min=0).sqrt()
    fraction = (2 * found.loss / promise / (1 + root)).clamp(max=1)
    return torch.where((reach > 0) & (reach < 1), fraction, 1)
