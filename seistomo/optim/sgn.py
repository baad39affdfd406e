"""SGN: stochastic generalized Gauss–Newton steps from conjugate gradients."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.base import ObjectiveOptimizer
from seistomo.optim.cg import (
    BOUNDARY,
    BREAKDOWN,
    MAX_ITERATIONS,
    NEGATIVE_CURVATURE,
    CGResult,
    Product,
    conjugate_gradients,
    steihaug,
)
from seistomo.optim.curvature_samples import CurvatureSamples
from seistomo.optim.damping import Damping
from seistomo.optim.line_search import ACCEPTED, NO_DESCENT, backtrack
from seistomo.optim.objective import Objective
from seistomo.optim.preconditioner import inverse_gradient_preconditioner
from seistomo.optim.quadratic_model import QuadraticModel, quadratic_model
from seistomo.optim.sgn_settings import STEIHAUG, Settings
from seistomo.optim.trust_region import (
    is_lost_in_rounding,
    next_iteration_bound,
    next_radius,
    reduction_ratio,
)

TAKEN = "taken"
STATIONARY = "stationary"
NOT_FINITE = "not_finite"
REJECTED = "rejected"
# What says nothing against the model: the damping need not rise.
UNOBJECTIONABLE = (TAKEN, STATIONARY, NO_DESCENT)
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
    "radius",
)


@dataclass(frozen=True)
class _Outcome:
    """What became of a step; ``length`` is the fraction of it that is taken."""

    status: str
    length: float = 0.0
    ratio: float | None = None
    evaluations: int = 0


class SGN(ObjectiveOptimizer):
    """Stochastic generalized Gauss–Newton, or Newton–CG, with conjugate gradients.

    Gargiani et al. (2020), "On the Promise of the Stochastic Generalized Gauss-Newton Method for
    Training DNNs", Algorithms 1 and 2. Each step solves (B_T + ρI) d = −g_S by a few iterations
    of conjugate gradients from zero and adds α d to the weights: g_S is the gradient of the
    mini-batch's loss, B_T its Gauss–Newton matrix Jᵀ∇²ℓJ, on the same samples unless asked
    otherwise. With one iteration it is gradient descent whose step length minimizes the model.

    The defaults are those of the paper's runs with 10 iterations, as their authors' stored
    configurations say (trust region and line search on, ρ₀ = 10⁻⁴, floor 10⁻⁶; their code's own
    ρ₀ is 10⁻³). The number of iterations is the one thing that the paper varies: 2, 3, 5 and 10.
    What it does not say: by those configurations the first nine steps have 10 iterations whatever
    comes after, which takes sigmoid networks off the plateau where few iterations would stay for
    long. The default is the paper's text; its runs of 2, 3 and 5 iterations need
    ``opening_steps = 9`` beside ``cg_iterations``.

    In the paper's symbols θ is the weights, J_Lᵀ the gradient, H_L^GN the product, Δθ the
    direction d, ρ ``damping``, k_max ``cg_iterations``. Every ratio and line search is of the
    mini-batch's own loss, gradient and model, the damping included, as in the authors' code.

    What is not finite is never added to the weights: the step is left out, the damping rises by
    3/2, ``report`` says why, and the loss is returned as it came.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch; a group may have its own ``lr``.
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
        actual to predicted reduction: see `seistomo.optim.trust_region.next_iteration_bound`.
    warm_start
        Start conjugate gradients along the last step's solution (one more product a step)
        instead of at zero. Only with the solver ``cg``.
    preconditioner_power
        a of the preconditioner (g² + ρ)^a; 0: none. Their code has it off, and 1 when on.
    damping
        ρ₀, in the unit of the loss over that of the weights, squared.
    damping_rule, damping_floor, decay_steps
        How ρ changes: ``constant``, ``linear``, ``cosine``, ``trust_region``; its smallest value
        in units of ρ₀ (left out: 0.01); the step at which a decay ends. See
        `seistomo.optim.damping.Damping`.
    momentum
        β of the exponential average m ← βm + (1 − β)g, which with the bias taken out,
        m/(1 − βᵗ), replaces g in the linear system. 0 (theirs): none.
    line_search
        Halve the step until the mini-batch's loss falls enough (Armijo, c = 10⁻⁴, at most ten
        times); where nothing helps, or momentum leads uphill, take no step. See
        `seistomo.optim.line_search.backtrack`.
    reject_below
        Take no step whose ratio of actual to predicted reduction is below this, from 0 to 1/4
        (Nocedal and Wright's η). Left out: take it, as the authors do. Not with ``line_search``.
    curvature
        B: ``gauss_newton``, or ``hessian`` (Newton–CG).
    curvature_samples, curvature_from
        |T|, drawn anew each step out of the ``batch`` S, or out of the whole ``training_set``
        independently of S. Left out: T = S, whose forward pass then serves for both.
    solver
        ``cg``, or ``steihaug``: conjugate gradients in a trust region, which also know what to do
        with negative curvature. With ``reject_below = 0``, ``line_search = False`` and
        ``damping = 0`` (rule ``constant``) it is Nocedal and Wright's Algorithm 4.1.
    radius, max_radius
        The trust region's first and largest radius, in the unit of the weights. Only with
        ``steihaug``; left out: 1 and 1000.
    seed
        Of the generator that draws T; its state is part of the optimizer's.

    Attributes
    ----------
    report
        Of the last step. ``status``: ``taken``, ``stationary`` (no gradient, or one that
        promises less than the loss can show), ``not_finite``,
        ``breakdown`` (no curvature along the gradient), ``rejected``, ``no_descent`` or
        ``failed`` (line search). ``damping``: its ρ. ``cg_status cg_iterations cg_residual``: see
        `seistomo.optim.cg.CGResult`. ``cg_bound``: the most iterations that were allowed.
        ``predicted_reduction``: of the whole step, and ``ratio``: the actual one over it; both
        None where nothing asks for them, the ratio also where it would say nothing.
        ``step_length``: the part of the step that was taken. ``loss_evaluations``: beyond the
        gradient's. ``radius``: of the trust region, None without.

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
        warm_start: bool = False,
        preconditioner_power: float = 0.0,
        damping: float = 1e-4,
        damping_rule: str = "trust_region",
        damping_floor: float | None = None,
        decay_steps: int | None = None,
        momentum: float = 0.0,
        line_search: bool = True,
        reject_below: float | None = None,
        curvature: str = "gauss_newton",
        curvature_samples: int | None = None,
        curvature_from: str = "batch",
        solver: str = "cg",
        radius: float | None = None,
        max_radius: float | None = None,
        seed: int = 0,
    ):
        self._settings = Settings(
            lr=lr,
            cg_iterations=cg_iterations,
            cg_min_iterations=cg_min_iterations,
            cg_tolerance=cg_tolerance,
            opening_steps=opening_steps,
            opening_cg_iterations=opening_cg_iterations,
            adaptive_cg=adaptive_cg,
            warm_start=warm_start,
            preconditioner_power=preconditioner_power,
            damping=Damping(damping, damping_rule, damping_floor, decay_steps),
            momentum=momentum,
            line_search=line_search,
            reject_below=reject_below,
            curvature=curvature,
            samples=CurvatureSamples(curvature_samples, curvature_from, seed),
            solver=solver,
            radius=radius,
            max_radius=max_radius,
        )
        super().__init__(params, {"lr": lr}, self._settings.shaping())

    def _step(self, objective: Objective) -> Tensor:
        settings = self._settings
        memory = self.memory or settings.begin()
        damping = settings.damping.value(memory["damping"])
        opening = memory["damping"]["step"] <= settings.opening_steps
        self.report = dict.fromkeys(REPORTED) | {
            "damping": damping,
            "cg_bound": settings.opening_cg_iterations if opening else memory["cg_bound"],
            "radius": memory["radius"],
        }
        samples = settings.samples.draw(objective, memory)
        model = quadratic_model(objective, self.parameters(), samples, damping, settings.curvature)
        finite = torch.isfinite(model.loss + model.gradient.abs().max())
        self.memory = memory  # The objective has answered.
        if not finite:
            self._adapt(_Outcome(NOT_FINITE), None)
            return model.loss
        right_hand_side = self._averaged(model.gradient)
        found = self._solve(model.product, right_hand_side, damping)
        outcome = self._outcome(objective, model, right_hand_side, found)
        if outcome.length > 0:
            self.add_(outcome.length * (self.learning_rate() * found.solution))
        self._adapt(outcome, found)
        return model.loss

    def _averaged(self, gradient: Tensor) -> Tensor:
        """Return m/(1 − βᵗ), the gradient itself without momentum."""
        beta, memory = self._settings.momentum, self.memory
        if not beta:
            return gradient
        if memory["momentum"] is None:
            memory["momentum"] = torch.zeros_like(gradient)
        memory["momentum"] = beta * memory["momentum"] + (1 - beta) * gradient
        memory["momentum_steps"] += 1
        return memory["momentum"] / (1 - beta ** memory["momentum_steps"])

    def _solve(self, product: Product, gradient: Tensor, damping: float) -> CGResult:
        settings, preconditioner = self._settings, None
        if settings.preconditioner_power:
            preconditioner = inverse_gradient_preconditioner(
                gradient, damping, settings.preconditioner_power
            )
        common = {
            "max_iterations": self.report["cg_bound"],
            "min_iterations": settings.cg_min_iterations,
            "tolerance": settings.cg_tolerance,
            "inverse_preconditioner": preconditioner,
        }
        if settings.solver == STEIHAUG:
            return steihaug(product, gradient, self.memory["radius"], **common)
        return conjugate_gradients(product, gradient, start=self.memory["direction"], **common)

    def _outcome(
        self,
        objective: Objective,
        model: QuadraticModel,
        right_hand_side: Tensor,
        found: CGResult,
    ) -> _Outcome:
        if found.iterations == 0 and not found.model_value < 0:
            return _Outcome(BREAKDOWN if found.status == BREAKDOWN else STATIONARY)
        rate = self.learning_rate()
        step = rate * found.solution
        slope = float(model.gradient.dot(step))
        if not math.isfinite(slope):
            return _Outcome(NOT_FINITE)
        settings, epsilon = self._settings, torch.finfo(step.dtype).eps
        if settings.line_search and not slope < 0:
            return _Outcome(NO_DESCENT)
        if not (settings.line_search or settings.needs_ratio):
            return _Outcome(TAKEN, 1.0)
        loss, weights = float(model.loss), self.weights()
        if settings.line_search and is_lost_in_rounding(-slope, loss, epsilon):
            return _Outcome(STATIONARY)

        def loss_at(length: float) -> float:
            return float(objective.loss(self.at(weights + length * step)))

        whole, ratio = loss_at(1.0), None
        if settings.needs_ratio:
            predicted = model.predicted_reduction(found, right_hand_side, rate)
            ratio = reduction_ratio(loss, whole, predicted, epsilon)
            self.report["predicted_reduction"] = predicted
        if settings.line_search:
            return _searched(loss_at, whole, loss, slope, ratio)
        if not math.isfinite(whole):
            return _Outcome(NOT_FINITE, 0.0, ratio, 1)
        least = settings.reject_below
        if least is not None and ratio is not None and ratio < least:
            return _Outcome(REJECTED, 0.0, ratio, 1)
        return _Outcome(TAKEN, 1.0, ratio, 1)

    def _adapt(self, outcome: _Outcome, found: CGResult | None) -> None:
        """Set damping, iteration bound and radius of the next step; report on this one."""
        settings, memory = self._settings, self.memory
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
        failed = outcome.status not in UNOBJECTIONABLE
        memory["damping"] = settings.damping.after(memory["damping"], outcome.ratio, failed)
        ratio = -math.inf if failed else outcome.ratio
        ended = "" if found is None else found.status
        if settings.adaptive_cg:
            memory["cg_bound"] = next_iteration_bound(
                memory["cg_bound"],
                ratio,
                ended == MAX_ITERATIONS,
                settings.cg_min_iterations,
                settings.cg_iterations,
            )
        if settings.solver == STEIHAUG:
            memory["radius"] = next_radius(
                memory["radius"],
                ratio,
                ended in (BOUNDARY, NEGATIVE_CURVATURE),
                settings.largest_radius,
            )
        if settings.warm_start:
            memory["direction"] = found.solution if outcome.length > 0 else None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_settings": self._settings}


def _searched(
    loss_at: Callable[[float], float],
    whole: float,
    loss: float,
    slope: float,
    ratio: float | None,
) -> _Outcome:
    """Search along the step, whose loss at its whole length is known."""
    found = backtrack(lambda length: whole if length == 1 else loss_at(length), loss, slope)
    status = TAKEN if found.status == ACCEPTED else found.status
    return _Outcome(status, found.length, ratio, found.evaluations)
