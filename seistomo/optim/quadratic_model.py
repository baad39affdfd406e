"""The damped quadratic model of a mini-batch's loss that SGN minimizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seistomo.optim.cg import CGResult, Product
from seistomo.optim.objective import Objective
from seistomo.optim.vectors import flatten, unflatten

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"


@dataclass(frozen=True)
class QuadraticModel:
    """m(s) = f_S(w) + gᵀs + ½ sᵀAs with A = B_T + ρI (Gargiani et al. 2020, Eqs. 3 and 14).

    Attributes
    ----------
    loss
        f_S(w), a scalar without a graph.
    gradient
        g = ∇f_S(w) [weight].
    product
        v ↦ Av, both [weight].
    """

    loss: Tensor
    gradient: Tensor
    product: Product

    def predicted_reduction(
        self, found: CGResult, right_hand_side: Tensor, rate: float | Tensor
    ) -> float:
        """Return m(0) − m(αd) = −(α gᵀd + ½ α² dᵀAd) of a solution d.

        Parameters
        ----------
        found
            d, and the value bᵀd + ½ dᵀAd that conjugate gradients kept count of.
        right_hand_side
            b [weight] that they solved for: g, or with momentum another one.
        rate
            α. As one number it costs nothing more; weight by weight, [weight], a product.
        """
        direction = found.solution
        if isinstance(rate, Tensor):
            step = rate * direction
            return -float(self.gradient.dot(step) + step.dot(self.product(step)) / 2)
        slopes = torch.stack([self.gradient.dot(direction), right_hand_side.dot(direction)])
        slope, solved_slope = slopes.tolist()
        half_curvature = found.model_value - solved_slope
        return -(rate * slope + rate**2 * half_curvature)


def quadratic_model(
    objective: Objective,
    parameters: Sequence[Tensor],
    samples: Tensor | None,
    damping: float,
    curvature: str = GAUSS_NEWTON,
) -> QuadraticModel:
    """Build the model at the parameters' present values.

    Parameters
    ----------
    objective
        S.
    parameters
        w, in the optimizer's order.
    samples
        T as global sample indices, int64 [sample]; None: S, whose forward pass then serves loss,
        gradient and Gauss–Newton products alike.
    damping
        ρ.
    curvature
        B: ``gauss_newton`` or ``hessian``.
    """
    if curvature == HESSIAN:
        loss, gradient = objective.loss_and_gradient(parameters)

        def curved(vector: Sequence[Tensor]) -> Sequence[Tensor]:
            return objective.hessian_product(vector, parameters, samples)
    else:
        linearized = objective.linearize(parameters, samples)
        curved = linearized.product
        if samples is None:
            loss, gradient = linearized.loss, linearized.gradient
        else:
            loss, gradient = objective.loss_and_gradient(parameters)

    def product(vector: Tensor) -> Tensor:
        return flatten(curved(unflatten(vector, parameters))).add_(vector, alpha=damping)

    return QuadraticModel(loss, flatten(gradient), product)
