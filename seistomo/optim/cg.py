"""Conjugate gradients: minimize m(x) = gᵀx + ½ xᵀAx, that is, solve Ax = −g, from products with A.

Gargiani et al. (2020), "On the Promise of the Stochastic Generalized Gauss-Newton Method for
Training DNNs", Algorithm 2; Nocedal and Wright (2006), "Numerical Optimization", Algorithm 5.3
(with a preconditioner). Everything stays on the vectors' device; each iteration waits for it
once, to decide how to go on.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

CONVERGED = "converged"  # The residual is within the tolerance, or exactly zero.
MAX_ITERATIONS = "max_iterations"  # The bound was reached first.
# pᵀAp is not positive, or something not finite came up: the solution is the last sound one, zero
# where there was none.
BREAKDOWN = "breakdown"


@dataclass(frozen=True)
class CGResult:
    """What conjugate gradients found, and why they stopped."""

    solution: Tensor  # x [weight]
    status: str
    iterations: int  # that the solution is made of
    residual_norm: float  # max |Ax + g|; NaN where no iteration succeeded
    model_value: float  # m(x), never positive


def conjugate_gradients(
    product: Product,
    gradient: Tensor,
    *,
    max_iterations: int = 10,
    min_iterations: int = 1,
    tolerance: float = 1e-6,
    inverse_preconditioner: Tensor | None = None,
) -> CGResult:
    """Minimize m(x) = gᵀx + ½ xᵀAx for a positive definite A, starting at zero.

    ``product`` is v ↦ Av, ``gradient`` g, both [weight]; at most k_max (Algorithm 2), at least so
    many iterations, unless a zero is exact. They stop when max |Ax + g| is at most the tolerance,
    as the authors' code does. ``inverse_preconditioner``: the diagonal of M⁻¹ [weight], positive.
    """

    def solved(r: Tensor) -> Tensor:
        return r if inverse_preconditioner is None else inverse_preconditioner * r

    # x, r = Ax + g, y = M⁻¹r, the search direction p, rᵀy, and m(x).
    x, r, model = torch.zeros_like(gradient), gradient, 0.0
    y = solved(r)
    p, ry = -y, r.dot(y)
    iterations, residual_norm, status = 0, math.nan, MAX_ITERATIONS
    while iterations < max_iterations:
        Ap = product(p)
        pAp = p.dot(Ap)
        alpha = ry / pAp
        next_x, next_r = torch.addcmul(x, alpha, p), torch.addcmul(r, alpha, Ap)
        y = solved(next_r)
        next_ry = next_r.dot(y)
        # The one wait for the device.
        facts = torch.stack([pAp, next_r.abs().amax(), alpha * ry])
        curvature, next_norm, fall = facts.tolist()
        if not curvature > 0:
            # Asked to go on beyond an exact solution, what comes is rounding, or 0/0.
            exact = residual_norm <= tolerance or ry == 0
            status = CONVERGED if exact else BREAKDOWN
            break
        if not (math.isfinite(next_norm) and math.isfinite(fall)):
            status = BREAKDOWN
            break
        p = torch.addcmul(-y, next_ry / ry, p)
        x, r, ry, residual_norm = next_x, next_r, next_ry, next_norm
        model -= fall / 2
        iterations += 1
        if residual_norm <= tolerance and iterations >= min_iterations:
            status = CONVERGED
            break
    return CGResult(x, status, iterations, residual_norm, model)
