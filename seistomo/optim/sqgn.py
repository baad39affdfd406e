"""SQGN: limited-memory BFGS on Gauss–Newton curvature and variance-reduced gradients."""

import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer, options_of, require_curvature_samples
from seistomo.optim.checks import (
    OptimizerError,
    require_between,
    require_count,
    require_one_of,
    require_positive,
)
from seistomo.optim.lbfgs import PairHistory, pair_measures, refusal, unit_vector
from seistomo.optim.objective import Objective, flatten, unflatten
from seistomo.optim.svrg import (
    NEVER,
    SNAPSHOT,
    ReducedGradient,
    reduced_gradient,
    require_interval,
)

# Where pairs come from.
GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
GRADIENT_DIFFERENCE = "gradient_difference"
SAFE, CODE, PAPER = "safe", "code", "paper"
STORED, NOT_DUE = "stored", "not due"
# Scale of H while there is no pair, in the paper (line 11) and its authors' code.
EMPTY_SCALE = 1e-7
# Batch losses whose median is the usual loss, and how many there must be at least.
_RECENT, _FEWEST = 10, 5
# Median distances from that median within which a loss is as usual as they are: six standard
# deviations where they are normal.
_SPREAD = 9.0
# What becomes of the length of an undone step, and then of the limit with each step that is kept.
_SHRINK, _GROW = 0.5, 1.25


class Pair(NamedTuple):
    """A curvature pair at length 1, [weight]: the same curvature, safe from underflow."""

    step: Tensor  # s / |s|
    change: Tensor  # v / |s|


class SQGN(ObjectiveOptimizer):
    """Stochastic quasi-Gauss–Newton: L-BFGS on Gauss–Newton products, with variance reduction.

    Thiele, Araya-Polo and Hohl (2021), "Deep Neural Network Learning with Second-Order
    Optimizers", Algorithm 1. A step is s = α d with d = -H g: g is the variance-reduced gradient,
    H the inverse of the Gauss–Newton matrix plus λ I as far as L curvature pairs know it. A pair
    is (s, v), v = (JᵀBJ + λ I) s with B = ∇²ℓ, taken at the weights after the step. Where there
    is no pair yet, H is 10⁻⁷ I. What the paper leaves out is as in its authors' code; the
    defaults are the paper's but for ``first_step`` and ``undo_above``, which are ours: with
    ``"code"`` or ``"paper"`` and 0 every step is as published.

    A step costs one gradient of the batch (none where it follows a full one), 1/K of a pass over
    the training set, and a Gauss–Newton product every M steps. Memory, in numbers a weight: 2 L
    for the history, 1 for the last step; for variance reduction up to K between steps, K + 4
    during a full gradient.

    *Stuck runs.* As published, some runs lose all their ReLUs in the first steps: where the
    softmax is saturated, the Gauss–Newton product along a tiny first step misses the curvature
    that a longer step meets, and H comes out thousands of times too large. Such a step gives
    itself away: its quadratic model falls far below zero, where no such loss can go.
    ``first_step = "safe"`` goes only as far as the model stays positive, in every step. It needs
    a loss that cannot be negative, as mean squared error and cross-entropy; for others choose
    ``"code"``. See docs/optimizers.md.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr`` and
        ``weight_decay``.
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
        Where pairs come from: "gauss_newton"; "hessian", as in stochastic quasi-Newton (Byrd et
        al. 2016); "gradient_difference", as in online L-BFGS (Schraudolph et al. 2007).
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
        for a while; its pair goes, too. Not in the paper; 0: never.
    seed
        Of the generator that draws T; its state is part of the optimizer's.
    weight_decay
        c of a penalty ½ c w² on each weight, exact in gradients, pairs and the losses that steps
        are judged by; the loss that is returned is without it.

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
        divide the epoch, and a batch other than the last full gradient was taken with.

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
        weight_decay: float = 0.0,
        seed: int = 0,
    ):
        options = options_of(locals())
        require_positive("lr", lr)
        require_count("history", history)
        require_count("pair_interval", pair_interval)
        require_between("damping", damping, 0, 1e30)
        if full_gradient_interval != NEVER:
            require_interval(full_gradient_interval)
        require_one_of("curvature", curvature, (GAUSS_NEWTON, HESSIAN, GRADIENT_DIFFERENCE))
        require_curvature_samples(curvature_samples, curvature_from, seed)
        require_one_of("first_step", first_step, (SAFE, CODE, PAPER))
        require_between("undo_above", undo_above, 0, 1e30)
        if 0 < undo_above <= 1:
            raise OptimizerError(f"undo_above = {undo_above!r}: must be 0 or a number above 1")
        if curvature == GRADIENT_DIFFERENCE and curvature_samples is not None:
            raise OptimizerError(
                f"curvature_samples = {curvature_samples}: cannot be with curvature ="
                f" {GRADIENT_DIFFERENCE}, whose gradients are the batch's"
            )
        shaping = ("history", "pair_interval", "full_gradient_interval", "curvature")
        super().__init__(params, options, shaping)

    def _step(self, objective: Objective) -> Tensor:
        found = self._gradient(objective)
        if "pairs" not in self.memory:
            pairs = PairHistory.new(self._options.history, found.gradient)
            self.memory |= {"pairs": pairs, "iteration": 0, "refused": {}, "paired": False}
        step, shortened = self._planned_step(found)
        step, part, undone = guarded(step, found.loss, self._options.undo_above, self.memory)
        finite = torch.isfinite(step).all() & (torch.isfinite(found.loss) | undone)
        step = torch.where(finite, step, 0)
        self.add_(step)
        pair = self._pair(objective, step, found.batch_gradient)
        self.memory["iteration"] += 1
        self._conclude(step, finite, undone, part * shortened, pair)
        if found.at_snapshot and (self.report["undone"] or not self.report["finite"]):
            del self.memory[SNAPSHOT]  # The next step takes another.
        return found.loss

    def _gradient(self, objective: Objective) -> ReducedGradient:
        """Return loss and gradients at the present weights (Algorithm 1, lines 3 to 8)."""
        own, interval = self.parameters(), self._options.full_gradient_interval
        if interval != NEVER:
            return reduced_gradient(objective, own, interval, self.memory)
        loss, gradient = objective.loss_and_gradient(own)
        gradient = flatten(gradient)
        return ReducedGradient(loss, gradient, gradient)

    def _planned_step(self, found: ReducedGradient) -> tuple[Tensor, Tensor]:
        """Return s [weight], and the fraction of α d that it is (lines 9 to 15)."""
        history, rates = PairHistory(self.memory["pairs"]), self.learning_rate()
        whole, first_step = found.loss.new_ones(()), self._options.first_step
        if len(history):
            step = -rates * history.inverse_product(found.gradient)
        elif first_step == PAPER:
            # Its length does not depend on α, but α = 0 keeps a group where it is.
            step = -EMPTY_SCALE * ((rates != 0) * found.gradient)
        elif first_step == CODE:
            step = -rates * (EMPTY_SCALE * found.gradient)
        else:
            length = torch.finfo(whole.dtype).eps ** 0.5 * (1 + self.weights().norm())
            step = -length * unit_vector(rates * found.gradient)
        if first_step != SAFE:
            return step, whole
        fraction = _believable_fraction(step, found, rates)
        return fraction * step, fraction

    def _pair(self, objective: Objective, step: Tensor, batch_gradient: Tensor) -> Pair | None:
        """Return the pair that is due after a step s, or None; it may be unsafe.

        v = (B + λ I) s at the weights after the step (lines 17 to 19), after the steps k ≡ 0
        (mod M). ``step`` is s as computed, [weight]; the difference of the weights has lost what
        rounding took. ``batch_gradient`` is ∇f_S before the step.

        "gradient_difference": B s = ∇f_S(w + s) - ∇f_S(w) (Schraudolph et al. 2007, Eq. 11 and
        Algorithm 3). "hessian": of the mean weights, see `_step_of_means`. On a loss that is not
        convex both may be unsafe.
        """
        options, own, at = self._options, self.parameters(), None
        if options.curvature == HESSIAN:
            step, at = self._step_of_means(step)
        elif self.memory["iteration"] % options.pair_interval:
            return None
        if step is None:
            return None
        if options.curvature == GRADIENT_DIFFERENCE:
            difference = flatten(objective.gradient(own)) - batch_gradient
            length, unit = torch.linalg.vector_norm(step), unit_vector(step)
            return Pair(unit, difference / length + options.damping * unit)
        samples = self._draw_samples(objective, self.memory)
        unit = unit_vector(step)
        vector = unflatten(unit, own)
        if options.curvature == HESSIAN:
            image = objective.hessian_product(vector, at, samples)
        else:
            image = objective.linearize(own, samples).product(vector)
        return Pair(unit, flatten(image) + options.damping * unit)

    def _step_of_means(self, step: Tensor) -> tuple[Tensor | None, dict[Tensor, Tensor] | None]:
        """Return s = w̄ - w̄₋, the means of M weights and of the M before, and the weights at w̄.

        Stochastic quasi-Newton, Byrd et al. 2016, Algorithm 1; for the first pair w̄₋ is where the
        run began. With M = 1 s is the last step. None inside a block of M steps.
        """
        # With steps p of the block before and q of this one, i = 1..M, the difference of the
        # means is s = Σ p_i (i - 1)/M + Σ q_i (M - i + 1)/M, and w̄ = w - Σ q_i (i - 1)/M.
        interval = self._options.pair_interval
        if "means" not in self.memory:
            self.memory["means"] = {name: torch.zeros_like(step) for name in ("behind", "moved")}
        means = self.memory["means"]
        done = self.memory["iteration"] % interval
        means["behind"].add_(step, alpha=done / interval)
        means["moved"].add_(step, alpha=1 - done / interval)
        if done < interval - 1:
            return None, None
        moved, behind = means["moved"], means["behind"]
        self.memory["means"] = {"behind": torch.zeros_like(step), "moved": behind}
        return moved, self.at(self.weights() - behind)

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


def guarded(
    step: Tensor, loss: Tensor, factor: float, memory: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Undo a step after which the loss leaps, and keep the next ones shorter.

    Curvature that a few samples or old pairs have missed makes a step far too long now and then;
    what follows such a step is mostly noise, and units that it has switched off do not come back.
    A batch's loss is known before its step, so nothing is computed for it. Where it is more than
    ``factor`` times the median of the last ten (0: never), and above it by more than batches
    differ anyway, the step before is taken back; a limit on the length of steps begins at half of
    it, and grows by a quarter with every step from there on. Nothing is taken back before there
    were five losses, nor two steps in a row. All work stays on the device of the loss.

    ``step`` [weight] is what is planned; returned are the step to take, its part of the plan, and
    whether it is the way back. What is remembered is in the memory under "guard".
    """
    if "guard" not in memory:
        memory["guard"] = {
            "losses": step.new_full((_RECENT,), torch.nan),
            "last": torch.zeros_like(step),
            "limit": step.new_full((), torch.inf),
        }
    state = memory["guard"]
    recent, last, limit = state["losses"], state["last"], state["limit"]
    moved = torch.linalg.vector_norm(last)
    back = (loss > _highest(recent, factor or math.inf)) & (moved > 0)
    length = torch.linalg.vector_norm(step)
    # 1 where there is no limit, so that nothing changes, not even rounding.
    part = torch.where(length > limit, limit / length, 1)
    taken = torch.where(back, -last, part * step)
    known = torch.cat([recent[1:], loss.to(recent.dtype).reshape(1)])
    moves = torch.isfinite(taken).all() & torch.isfinite(loss)
    state["limit"] = torch.where(back, _SHRINK * moved, _GROW * limit)
    state["losses"] = torch.where(back | ~torch.isfinite(loss), recent, known)
    state["last"] = torch.where(back, 0, torch.where(moves, taken, last))
    return taken, torch.where(back, 0, part), back


def _highest(recent: Tensor, factor: float) -> Tensor:
    """Return the highest usual loss."""
    known = (~recent.isnan()).sum()
    median = _median(recent, known)
    spread = _median((recent - median).abs(), known)
    margin = torch.maximum((factor - 1) * median.abs(), _SPREAD * spread)
    return torch.where(known < _FEWEST, torch.inf, median + margin)


def _median(values: Tensor, known: Tensor) -> Tensor:
    """Return the median of those that are not nan; unlike torch's without waiting for a GPU."""
    middle = ((known - 1) // 2).clamp(min=0)
    return values.sort().values.gather(0, middle.reshape(1))[0]


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
