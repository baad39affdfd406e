"""SGN: stochastic generalized Gauss–Newton steps from conjugate gradients."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer, options_of, require_curvature_samples
from seistomo.optim.cg import BREAKDOWN, MAX_ITERATIONS, CGResult, Product, conjugate_gradients
from seistomo.optim.checks import (
    OptimizerError,
    require_between,
    require_count,
    require_one_of,
    require_positive,
)
from seistomo.optim.objective import Objective, flatten, unflatten

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
TRUST_REGION = "trust_region"
DECAYS = ("linear", "cosine")
RULES = ("constant", *DECAYS, TRUST_REGION)
DEFAULT_FLOOR = 0.01
# How far a quadratic model is to be trusted, by the ratio of the loss's reduction to the one that
# it predicted (Nocedal and Wright 2006, Algorithm 4.1), and what then becomes of the damping.
POOR, GOOD = 1 / 4, 3 / 4
SHRINK, GROW = 2 / 3, 3 / 2
# ρ never grows beyond this many times its first value, however long nothing succeeds.
LARGEST_SCALE = 1e12
# Backtracking: Armijo's c, the factor of each reduction, and how many there are at most.
SUFFICIENT_DECREASE, BACKTRACK, MAX_REDUCTIONS = 1e-4, 0.5, 10

TAKEN, STATIONARY, NOT_FINITE = "taken", "stationary", "not_finite"
NO_DESCENT, FAILED = "no_descent", "failed"
REPORTED = (
    "status",
    "damping",
    "cg_status",
    "cg_iterations",
    "cg_bound",
    "cg_residual",
    "predicted_reduction",
    "ratio",
    "step_length",
    "loss_evaluations",
)


@dataclass(frozen=True)
class _Outcome:
    """What became of a step."""

    status: str
    length: float = 0.0  # the fraction of it that is taken
    ratio: float | None = None  # actual over predicted reduction; None: says nothing
    evaluations: int = 0  # of the loss


class SGN(ObjectiveOptimizer):
    """Stochastic generalized Gauss–Newton, or Newton–CG, with conjugate gradients.

    Gargiani et al. (2020), "On the Promise of the Stochastic Generalized Gauss-Newton Method for
    Training DNNs", Algorithms 1 and 2. Each step solves (B_T + ρI) d = −g_S by a few iterations
    of conjugate gradients from zero and adds α d to the weights: g_S is the gradient of the
    mini-batch's loss, B_T its Gauss–Newton matrix Jᵀ∇²ℓJ, on the same samples unless asked
    otherwise. With one iteration it is gradient descent whose step length minimizes the model.

    The defaults are those of the paper's runs with 10 iterations, as their authors' stored
    configurations say (trust region and line search on, ρ₀ = 10⁻⁴, floor 10⁻⁶); the paper varies
    the number of iterations alone: 2, 3, 5 and 10. What it does not say: there the first nine
    steps have 10 iterations whatever comes after, which takes sigmoid networks off the plateau.
    Its runs of 2, 3 and 5 iterations need ``opening_steps = 9`` beside ``cg_iterations``.

    In the paper's symbols θ is the weights, J_Lᵀ the gradient, H_L^GN the product, Δθ the
    direction d, ρ ``damping``, k_max ``cg_iterations``. Every ratio and line search is of the
    mini-batch's own loss, gradient and model, the damping included, as in the authors' code.

    What is not finite is never added to the weights: the step is left out, the damping rises by
    3/2, ``report`` says why, and the loss is returned as it came.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr`` and
        ``weight_decay``.
    lr
        α, a factor on the step; 1 in the paper throughout.
    cg_iterations, cg_min_iterations
        Most and fewest iterations of conjugate gradients. The code's: 10 and 1.
    cg_tolerance
        They stop when every entry of the residual is at most this, in the gradient's unit.
    opening_steps, opening_cg_iterations
        The first steps have a bound of their own on the iterations: how many steps (0: none),
        and the bound (10). Not with ``adaptive_cg``.
    adaptive_cg
        Begin with ``cg_iterations`` and adapt their number, between the two, to the ratio of
        actual to predicted reduction, the scheme that section 4.6 proposes without working it
        out: below 1/4 the number falls to 2/3, rounded down; above 3/4 of a solution that it had
        stopped it rises to 3/2, rounded up.
    preconditioner_power
        a of the preconditioner diag(g² + ρ)^a, from 0 (none) to 1: the squared gradient stands
        for the unknown diagonal of the curvature. Their code has it off, and 1 when on; Martens
        (2010), "Deep learning via Hessian-free optimization", section 4.7, has 3/4.
    damping
        ρ₀, in the unit of the loss over that of the weights, squared.
    damping_rule, damping_floor, decay_steps
        How ρ changes (section 3.1, and their code). ``trust_region``: by 3/2 where the ratio of
        the actual to the predicted reduction is below 1/4, by 2/3 above 3/4. ``linear``:
        ρ₀ (1 − (1 − floor) (t − 1)/(K − 1)), ``cosine``: ρ₀ max(cos(πt/2K), floor), t the step's
        number from 1, K ``decay_steps``. ``constant``. The floor is ρ's smallest value in units
        of ρ₀; left out: 0.01, as in the paper's runs. Under every rule ρ is 3/2 of what it would
        be for each step that failed (nothing finite, no curvature, no decrease), 2/3 of that
        again for each that did not; the raise after a failure is this package's.
    momentum
        β of the exponential average m ← βm + (1 − β)g, which with the bias taken out,
        m/(1 − βᵗ), replaces g in the linear system. 0 (theirs): none.
    line_search
        Halve the step until the mini-batch's loss falls enough (Armijo, c = 10⁻⁴, at most ten
        times); where nothing helps, or momentum leads uphill, take no step. (Their code takes the
        last one, even if the loss rises.)
    curvature
        B: ``gauss_newton``, or ``hessian`` (Newton–CG).
    curvature_samples, curvature_from
        |T|, drawn anew each step out of the ``batch`` S, or out of the whole ``training_set``
        independently of S. Left out: T = S, whose forward pass then serves for both.
    seed
        Of the generator that draws T; its state is part of the optimizer's.
    weight_decay
        c of a penalty ½ c w² on each weight, exact in gradients, products and the losses that
        are compared; the loss that is returned is without it.

    Attributes
    ----------
    report
        Of the last step. ``status``: ``taken``, ``stationary`` (no gradient, or one that
        promises less than the loss can show), ``not_finite``,
        ``breakdown`` (no curvature along the gradient), ``no_descent`` (uphill, by momentum or by
        groups with another ``lr``) or ``failed`` (line search). ``damping``: its ρ. ``cg_status
        cg_iterations cg_residual``: see `seistomo.optim.cg.CGResult`. ``cg_bound``: the most
        iterations that were allowed. ``predicted_reduction``: of the whole step, and ``ratio``:
        the actual one over it; both None where nothing asks for them, the ratio also where it
        would say nothing. ``step_length``: the part of the step that was taken.
        ``loss_evaluations``: beyond the gradient's.

    Raises
    ------
    OptimizerError
        At construction, for an option that cannot be.

    Examples
    --------
    >>> from seistomo.optim import ModelObjective
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = SGN(model.parameters(), cg_iterations=3)
    >>> loss = torch.nn.functional.mse_loss
    >>> for _ in range(3):
    ...     value = optimizer.step(ModelObjective(model, loss, torch.ones(8, 3), torch.ones(8, 1)))
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        cg_iterations: int = 10,
        cg_min_iterations: int = 1,
        cg_tolerance: float = 1e-6,
        opening_steps: int = 0,
        opening_cg_iterations: int = 10,
        adaptive_cg: bool = False,
        preconditioner_power: float = 0.0,
        damping: float = 1e-4,
        damping_rule: str = "trust_region",
        damping_floor: float | None = None,
        decay_steps: int | None = None,
        momentum: float = 0.0,
        line_search: bool = True,
        curvature: str = "gauss_newton",
        curvature_samples: int | None = None,
        curvature_from: str = "batch",
        weight_decay: float = 0.0,
        seed: int = 0,
    ):
        options = options_of(locals())
        _require_valid(SimpleNamespace(**options))
        shaping = ("cg_iterations", "adaptive_cg", "momentum", "damping_rule")
        super().__init__(params, options, shaping)

    def _step(self, objective: Objective) -> Tensor:
        options, own = self._options, self.parameters()
        memory = self.memory or {
            "damping": {"step": 1, "scale": 1.0},
            "cg_bound": options.cg_iterations,
            "momentum": None,
            "momentum_steps": 0,
        }
        damping = scheduled_damping(options, memory["damping"]["step"]) * memory["damping"]["scale"]
        opening = memory["damping"]["step"] <= options.opening_steps
        self.report = dict.fromkeys(REPORTED) | {
            "damping": damping,
            "cg_bound": options.opening_cg_iterations if opening else memory["cg_bound"],
        }
        loss, gradient, curved = self._model(objective, own, self._draw_samples(objective, memory))
        finite = torch.isfinite(loss + gradient.abs().max())
        self.memory = memory  # The objective has answered.
        if not finite:
            self._adapt(_Outcome(NOT_FINITE), None)
            return loss

        def product(vector: Tensor) -> Tensor:
            """Return A v, A = B_T + ρI (Gargiani et al. 2020, Eqs. 3 and 14)."""
            return flatten(curved(unflatten(vector, own))).add_(vector, alpha=damping)

        right_hand_side, preconditioner = self._averaged(gradient), None
        if options.preconditioner_power:
            diagonal = right_hand_side.square() + damping
            preconditioner = diagonal.pow(-options.preconditioner_power)
        found = conjugate_gradients(
            product,
            right_hand_side,
            max_iterations=self.report["cg_bound"],
            min_iterations=options.cg_min_iterations,
            tolerance=options.cg_tolerance,
            inverse_preconditioner=preconditioner,
        )
        outcome = self._outcome(objective, loss, gradient, right_hand_side, product, found)
        if outcome.length > 0:
            self.add_(outcome.length * (self.learning_rate() * found.solution))
        self._adapt(outcome, found)
        return loss

    def _model(
        self, objective: Objective, own: Sequence[Tensor], samples: Tensor | None
    ) -> tuple[Tensor, Tensor, Callable[[Sequence[Tensor]], Sequence[Tensor]]]:
        """Return f_S, ∇f_S [weight] and v ↦ B_T v; where T = S one forward pass serves for all."""
        if self._options.curvature == HESSIAN:
            loss, gradient = objective.loss_and_gradient(own)
            return loss, flatten(gradient), lambda v: objective.hessian_product(v, own, samples)
        linearized = objective.linearize(own, samples)
        if samples is None:
            loss, gradient = linearized.loss, linearized.gradient
        else:
            loss, gradient = objective.loss_and_gradient(own)
        return loss, flatten(gradient), linearized.product

    def _averaged(self, gradient: Tensor) -> Tensor:
        """Return m/(1 − βᵗ), the gradient itself without momentum."""
        beta, memory = self._options.momentum, self.memory
        if not beta:
            return gradient
        if memory["momentum"] is None:
            memory["momentum"] = torch.zeros_like(gradient)
        memory["momentum"] = beta * memory["momentum"] + (1 - beta) * gradient
        memory["momentum_steps"] += 1
        return memory["momentum"] / (1 - beta ** memory["momentum_steps"])

    def _outcome(
        self,
        objective: Objective,
        loss: Tensor,
        gradient: Tensor,
        right_hand_side: Tensor,
        product: Product,
        found: CGResult,
    ) -> _Outcome:
        """Measure the step on the batch's own loss, and shorten it where asked to."""
        if found.iterations == 0 and not found.model_value < 0:
            return _Outcome(BREAKDOWN if found.status == BREAKDOWN else STATIONARY)
        rate = self.learning_rate()
        step = rate * found.solution
        slope = float(gradient.dot(step))
        if not math.isfinite(slope):
            return _Outcome(NOT_FINITE)
        options, epsilon = self._options, torch.finfo(step.dtype).eps
        needs_ratio = options.damping_rule == TRUST_REGION or options.adaptive_cg
        if options.line_search and not slope < 0:
            return _Outcome(NO_DESCENT)
        if not (options.line_search or needs_ratio):
            return _Outcome(TAKEN, 1.0)
        before, weights = float(loss), self.weights()
        if options.line_search and is_lost_in_rounding(-slope, before, epsilon):
            return _Outcome(STATIONARY)

        def loss_at(length: float) -> float:
            return float(objective.loss(self.at(weights + length * step)))

        whole, ratio = loss_at(1.0), None
        if needs_ratio:
            predicted = _predicted_reduction(found, gradient, right_hand_side, product, rate)
            ratio = reduction_ratio(before, whole, predicted, epsilon)
            self.report["predicted_reduction"] = predicted
        if options.line_search:
            length, evaluations = backtrack(loss_at, whole, before, slope)
            return _Outcome(TAKEN if length else FAILED, length, ratio, evaluations)
        if not math.isfinite(whole):
            return _Outcome(NOT_FINITE, 0.0, ratio, 1)
        return _Outcome(TAKEN, 1.0, ratio, 1)

    def _adapt(self, outcome: _Outcome, found: CGResult | None) -> None:
        """Set damping and iteration bound of the next step; report on this one."""
        options, memory = self._options, self.memory
        self.report |= {
            "status": outcome.status,
            "ratio": outcome.ratio,
            "step_length": outcome.length,
            "loss_evaluations": outcome.evaluations,
        }
        if found is not None:
            self.report |= {
                "cg_status": found.status,
                "cg_iterations": found.iterations,
                "cg_residual": found.residual_norm,
            }
        # Momentum that leads uphill says nothing against the model: the damping need not rise.
        sound = (TAKEN, STATIONARY, *([NO_DESCENT] if options.momentum else []))
        failed = outcome.status not in sound
        memory["damping"] = {
            "step": memory["damping"]["step"] + 1,
            "scale": next_scale(options, memory["damping"]["scale"], outcome.ratio, failed),
        }
        if options.adaptive_cg:
            memory["cg_bound"] = next_iteration_bound(
                memory["cg_bound"],
                -math.inf if failed else outcome.ratio,
                found is not None and found.status == MAX_ITERATIONS,
                options.cg_min_iterations,
                options.cg_iterations,
            )


def _require_valid(options: SimpleNamespace) -> None:
    """Refuse options, or combinations of them, that cannot be; `SGN` explains them."""
    require_positive("lr", options.lr)
    for name in ("adaptive_cg", "line_search"):
        require_one_of(name, getattr(options, name), (True, False))
    require_one_of("curvature", options.curvature, (GAUSS_NEWTON, HESSIAN))
    require_curvature_samples(options.curvature_samples, options.curvature_from, options.seed)
    require_between("momentum", options.momentum, 0, 1)
    if options.momentum == 1:
        raise OptimizerError("momentum = 1: must be below 1")

    rule, floor = options.damping_rule, options.damping_floor
    require_between("damping", options.damping, 0, 1e30)
    require_one_of("damping_rule", rule, RULES)
    if rule == TRUST_REGION and options.damping == 0:
        raise OptimizerError("damping = 0: must be positive with damping_rule = trust_region")
    if floor is not None:
        require_between("damping_floor", floor, 0, 1)
        if rule == "constant":
            raise OptimizerError(
                f"damping_floor = {floor!r}: means nothing with damping_rule = constant"
            )
    if rule in DECAYS:
        require_count("decay_steps", options.decay_steps, 2)
    elif options.decay_steps is not None:
        raise OptimizerError(
            f"decay_steps = {options.decay_steps!r}: only with damping_rule = linear or cosine,"
            f" not {rule}"
        )
    require_between("preconditioner_power", options.preconditioner_power, 0, 1)
    if options.preconditioner_power and options.damping * _floor(options) == 0:
        raise OptimizerError(
            f"preconditioner_power = {options.preconditioner_power:g}: needs a damping that stays"
            " positive (damping, damping_floor)"
        )

    least, most = options.cg_min_iterations, options.cg_iterations
    require_count("cg_iterations", most)
    require_count("cg_min_iterations", least)
    require_between("cg_tolerance", options.cg_tolerance, 0, 1e30)
    if least > most:
        raise OptimizerError(f"cg_min_iterations = {least}: must be at most cg_iterations = {most}")
    require_count("opening_steps", options.opening_steps, 0)
    fewest = least if options.opening_steps else 1
    require_count("opening_cg_iterations", options.opening_cg_iterations, fewest)
    if options.opening_steps and options.adaptive_cg:
        raise OptimizerError(
            f"opening_steps = {options.opening_steps}: cannot be with adaptive_cg = True, which"
            " sets the iterations itself"
        )


# The damping is ρ = scheduled(step) · scale, and the scale begins at 1.


def _floor(options: SimpleNamespace) -> float:
    if options.damping_rule == "constant":
        return 1.0
    return DEFAULT_FLOOR if options.damping_floor is None else options.damping_floor


def scheduled_damping(options: SimpleNamespace, step: int) -> float:
    """Return ρ of a step, from 1, as the rule has it where nothing fails."""
    first, end, floor = options.damping, options.decay_steps, _floor(options)
    if options.damping_rule not in DECAYS:
        return first
    if step >= end:
        return first * floor
    if options.damping_rule == "linear":
        passed = (step - 1) / (end - 1)
        return first * (1 - (1 - floor) * passed)
    return first * max(math.cos(math.pi / 2 * step / end), floor)


def next_scale(options: SimpleNamespace, scale: float, ratio: float | None, failed: bool) -> float:
    """Return the scale after a step with a ratio of actual to predicted reduction."""
    adaptive = options.damping_rule == TRUST_REGION
    if failed or (adaptive and ratio is not None and ratio < POOR):
        return min(scale * GROW, LARGEST_SCALE)
    if not adaptive:
        return max(scale * SHRINK, 1.0)
    if ratio is not None and ratio > GOOD:
        return max(scale * SHRINK, _floor(options))
    return scale


def next_iteration_bound(
    bound: int, ratio: float | None, at_bound: bool, smallest: int, largest: int
) -> int:
    """Return the next bound on the iterations of conjugate gradients (`SGN`, ``adaptive_cg``)."""
    if ratio is None:
        return bound
    if ratio < POOR:
        return max(math.floor(bound * SHRINK), smallest)
    if ratio > GOOD and at_bound:
        return min(math.ceil(bound * GROW), largest)
    return bound


def _predicted_reduction(
    found: CGResult,
    gradient: Tensor,
    right_hand_side: Tensor,
    product: Product,
    rate: float | Tensor,
) -> float:
    """Return m(0) − m(αd) = −(α gᵀd + ½ α² dᵀAd) of a solution d for b, which is g or its average.

    With α as one number it costs nothing more; weight by weight, [weight], a product.
    """
    direction = found.solution
    if isinstance(rate, Tensor):
        step = rate * direction
        return -float(gradient.dot(step) + step.dot(product(step)) / 2)
    slopes = torch.stack([gradient.dot(direction), right_hand_side.dot(direction)])
    slope, solved_slope = slopes.tolist()
    half_curvature = found.model_value - solved_slope
    return -(rate * slope + rate**2 * half_curvature)


def reduction_ratio(
    loss: float, trial_loss: float, predicted: float, epsilon: float
) -> float | None:
    """Return (actual reduction) / (predicted reduction) of a step.

    −∞ where the trial loss is not finite. None where the ratio says nothing: the model predicts
    no reduction (its right-hand side was another one than f's gradient), or one that is lost in
    the losses' rounding, ``epsilon``.
    """
    if not math.isfinite(trial_loss):
        return -math.inf
    if not predicted > 0 or is_lost_in_rounding(predicted, loss, epsilon):
        return None
    return (loss - trial_loss) / predicted


def is_lost_in_rounding(reduction: float, loss: float, epsilon: float) -> bool:
    """Return whether a loss is too coarse for a reduction."""
    return reduction <= 10 * epsilon * abs(loss)


def backtrack(
    loss_at: Callable[[float], float], whole: float, loss: float, slope: float
) -> tuple[float, int]:
    """Return the first length t among 1, ½, ¼, ... with f(t) ≤ f(0) + c t slope, and the tries.

    Nocedal and Wright (2006), "Numerical Optimization", Algorithm 3.1, Eq. 3.4. Where no length
    will do it is 0. ``whole`` is f(1), ``loss`` f(0), ``slope`` gᵀs < 0 for the whole step s.
    """
    length, trial = 1.0, whole
    for tries in range(1, MAX_REDUCTIONS + 2):
        if tries > 1:
            trial = loss_at(length)
        if math.isfinite(trial) and trial <= loss + SUFFICIENT_DECREASE * length * slope:
            return length, tries
        length *= BACKTRACK
    return 0.0, tries
