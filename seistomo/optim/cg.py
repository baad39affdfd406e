"""Conjugate gradients, and Steihaug's truncation of them at a trust region.

Both minimize the quadratic model m(x) = gᵀx + ½ xᵀAx, that is, solve Ax = −g, from products with
A alone. Gargiani et al. (2020), "On the Promise of the Stochastic Generalized Gauss-Newton
Method for Training DNNs", Algorithm 2; Nocedal and Wright (2006), "Numerical Optimization",
Algorithms 5.3 (with a preconditioner) and 7.2 (Steihaug).

Everything stays on the vectors' device; each iteration waits for it once, to decide how to go on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

CONVERGED = "converged"
MAX_ITERATIONS = "max_iterations"
BREAKDOWN = "breakdown"
BOUNDARY = "boundary"
NEGATIVE_CURVATURE = "negative_curvature"


@dataclass(frozen=True)
class CGResult:
    """What conjugate gradients found, and why they stopped.

    Attributes
    ----------
    solution
        x [weight].
    status
        - ``converged``: the residual is within the tolerance, or exactly zero;
        - ``max_iterations``: the bound was reached first;
        - ``breakdown``: pᵀAp is not positive, or something not finite came up: the solution is
          the last sound one, zero where there was none;
        - ``boundary``, ``negative_curvature`` (Steihaug alone): the trust region ended the
          iteration, or a direction along which the model has no minimum.
    iterations
        Steps that the solution is made of.
    products
        Products with A that were taken.
    residual_norm
        max |Ax + g|, of the solution; NaN where no iteration succeeded.
    model_value
        m(x): the predicted reduction is −m(x). Never positive.
    """

    solution: Tensor
    status: str
    iterations: int
    products: int
    residual_norm: float
    model_value: float


def conjugate_gradients(
    product: Product,
    gradient: Tensor,
    *,
    max_iterations: int = 10,
    min_iterations: int = 1,
    tolerance: float = 1e-6,
    inverse_preconditioner: Tensor | None = None,
    start: Tensor | None = None,
) -> CGResult:
    """Minimize m(x) = gᵀx + ½ xᵀAx for a positive definite A.

    Parameters
    ----------
    product
        v ↦ Av, both [weight].
    gradient
        g [weight], finite.
    max_iterations
        k_max of Algorithm 2, at least 1.
    min_iterations
        Iterations before the tolerance counts. An exact zero ends them all the same.
    tolerance
        Stop when max |Ax + g| is at most this (in the gradient's unit), as the authors' code does.
    inverse_preconditioner
        Diagonal of M⁻¹ [weight], positive; None: the identity.
    start
        Direction of Δθ₀ [weight]: the iteration starts where the model is lowest along it, so
        that the result never lies above zero's. It costs one product. None: start at zero.
    """
    limits = _Limits(max_iterations, min_iterations, tolerance)
    solver = _Solver(product, inverse_preconditioner, limits)
    return solver.run(solver.begin(gradient, start))


def steihaug(
    product: Product,
    gradient: Tensor,
    radius: float,
    *,
    max_iterations: int = 10,
    min_iterations: int = 1,
    tolerance: float = 1e-6,
    inverse_preconditioner: Tensor | None = None,
) -> CGResult:
    """Minimize m(x) = gᵀx + ½ xᵀAx roughly over ‖x‖ ≤ radius, for any symmetric A.

    Conjugate gradients from zero, whose iterates grow in norm: at the first that leaves the
    trust region, and along the first direction without positive curvature, they go on to its
    boundary and stop.

    Parameters
    ----------
    radius
        Δ, in the unit of x. With a preconditioner M the norm is √(xᵀMx).
    product, gradient, max_iterations, min_iterations, tolerance, inverse_preconditioner
        As in `conjugate_gradients`.
    """
    limits = _Limits(max_iterations, min_iterations, tolerance, radius)
    solver = _Solver(product, inverse_preconditioner, limits)
    return solver.run(solver.begin(gradient, None))


@dataclass(frozen=True)
class _Limits:
    max_iterations: int
    min_iterations: int
    tolerance: float
    radius: float = math.inf


@dataclass(frozen=True)
class _Iterate:
    """x, r = Ax + g, the search direction p, rᵀy with y = M⁻¹r, and m(x)."""

    x: Tensor
    r: Tensor
    p: Tensor
    ry: Tensor
    model: Tensor
    iterations: int = 0
    residual_norm: float = math.nan


class _Solver:
    """The iteration that both methods share."""

    def __init__(self, product: Product, minv: Tensor | None, limits: _Limits):
        self._product, self._minv, self._limits = product, minv, limits
        self._products = 0

    def begin(self, gradient: Tensor, start: Tensor | None) -> _Iterate:
        x, r, model = torch.zeros_like(gradient), gradient, gradient.new_zeros(())
        if start is not None:
            image = self._times(start)
            slope, curvature = gradient.dot(start), start.dot(image)
            length, lowest = -slope / curvature, -slope.square() / (2 * curvature)
            if curvature > 0 and lowest.isfinite():
                x, r, model = length * start, torch.addcmul(gradient, length, image), lowest
        y = self._solved(r)
        return _Iterate(x, r, -y, r.dot(y), model)

    def run(self, now: _Iterate) -> CGResult:
        limits = self._limits
        for _ in range(limits.max_iterations):
            Ap = self._times(now.p)
            pAp = now.p.dot(Ap)
            new, curvature, norm = self._advanced(now, Ap, pAp)
            if not curvature > 0:
                return self._without_minimum(now, Ap, pAp)
            if limits.radius < math.inf and not norm < limits.radius:
                return self._to_boundary(now, Ap, pAp, BOUNDARY)
            if new is None:
                return self._result(now, BREAKDOWN)
            now = new
            if now.residual_norm <= limits.tolerance and now.iterations >= limits.min_iterations:
                return self._result(now, CONVERGED)
        return self._result(now, MAX_ITERATIONS)

    def _advanced(
        self, now: _Iterate, Ap: Tensor, pAp: Tensor
    ) -> tuple[_Iterate | None, float, float]:
        """Return the next iterate (None: not finite), pᵀAp and the norm of the next x."""
        alpha = now.ry / pAp
        x, r = torch.addcmul(now.x, alpha, now.p), torch.addcmul(now.r, alpha, Ap)
        y = self._solved(r)
        ry, model = r.dot(y), now.model - alpha * now.ry / 2
        facts = [pAp, torch.linalg.vector_norm(r, math.inf), model]
        if self._limits.radius < math.inf:
            facts.append(x.dot(self._weighted(x)).sqrt())
        # The one wait for the device.
        curvature, residual_norm, value, *norm = torch.stack(facts).tolist()
        norm = norm[0] if norm else math.nan
        if not (math.isfinite(residual_norm) and math.isfinite(value)):
            return None, curvature, norm
        p = torch.addcmul(-y, ry / now.ry, now.p)
        new = _Iterate(x, r, p, ry, model, now.iterations + 1, residual_norm)
        return new, curvature, norm

    def _without_minimum(self, now: _Iterate, Ap: Tensor, pAp: Tensor) -> CGResult:
        """End at a direction whose curvature is not positive, or not a number."""
        if now.residual_norm <= self._limits.tolerance or now.ry == 0:
            # Asked to go on beyond an exact solution: what comes is rounding, or 0/0.
            return self._result(now, CONVERGED)
        if self._limits.radius < math.inf:
            return self._to_boundary(now, Ap, pAp, NEGATIVE_CURVATURE)
        return self._result(now, BREAKDOWN)

    def _to_boundary(self, now: _Iterate, Ap: Tensor, pAp: Tensor, status: str) -> CGResult:
        """Go from x along p to the trust region's boundary: the positive τ with ‖x + τp‖ = Δ."""
        Mp = self._weighted(now.p)
        xp, pp = now.x.dot(Mp), now.p.dot(Mp)
        room = (self._limits.radius**2 - now.x.dot(self._weighted(now.x))).clamp(min=0)
        # xᵀMp is never negative, so that this form of the root cancels nothing.
        tau = room / (xp + (xp.square() + pp * room).sqrt())
        x, r = torch.addcmul(now.x, tau, now.p), torch.addcmul(now.r, tau, Ap)
        model = now.model - tau * now.ry + tau.square() * pAp / 2  # rᵀp = −rᵀy
        facts = torch.stack([torch.linalg.vector_norm(r, math.inf), model])
        residual_norm, value = facts.tolist()
        if not (math.isfinite(residual_norm) and math.isfinite(value)):
            return self._result(now, BREAKDOWN)
        end = _Iterate(x, r, now.p, now.ry, model, now.iterations + 1, residual_norm)
        return self._result(end, status)

    def _times(self, vector: Tensor) -> Tensor:
        self._products += 1
        return self._product(vector)

    def _solved(self, r: Tensor) -> Tensor:
        return r if self._minv is None else self._minv * r

    def _weighted(self, x: Tensor) -> Tensor:
        return x if self._minv is None else x / self._minv

    def _result(self, at: _Iterate, status: str) -> CGResult:
        return CGResult(
            at.x, status, at.iterations, self._products, at.residual_norm, float(at.model)
        )
