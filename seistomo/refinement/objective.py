"""Data misfit and regularization as a function of the scaled model: what optimizers see."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from seistomo.refinement.misfit import Misfit
from seistomo.refinement.modelling import Modelling
from seistomo.refinement.regularization import Regularization

Result = TypeVar("Result")
# Open graphs of all shots are kept for many products up to this size, bytes.
KEPT = 2**31


class WaveformObjective:
    """f(θ) = misfit(d(m)) + regularization(m), m = s θ within the bounds.

    An `seistomo.optim.Objective` of one parameter θ [depth, x], as far as first-order optimizers
    and Gauss-Newton ones need it, and a torch closure. Beyond the bounds m stays on them; nodes
    that a descent step would push further out have no gradient in the closure and when linearized,
    and Gauss-Newton products leave them where they are. ``scale`` is s, m/s a unit of θ, float64
    [depth, x]; ``bounds`` are the least and the greatest speed, m/s.
    """

    def __init__(
        self,
        modelling: Modelling,
        misfit: Misfit,
        regularization: Regularization,
        scale: Tensor,
        bounds: tuple[float, float],
        theta: Tensor,
    ):
        self.modelling, self.misfit, self.regularization = modelling, misfit, regularization
        self.scale, self.bounds, self.theta = scale, bounds, theta
        # The shots that count, int64 [shot]; the misfit of some is scaled up to all.
        self.shots = torch.arange(modelling.shots, device=theta.device)
        # Wave equations solved so far, in units of the sample's whole survey: one for gathers, one
        # more for a gradient, three for a product.
        self.solves = 0.0
        # The misfit's share of the last loss, doubled: of gathers of zeros it is 1.
        self.data = float("nan")
        # Of the last closure or linearization: data, solves, and the gradient's largest entry.
        self.before = (float("nan"), 0.0, float("inf"))

    def velocity(self, theta: Tensor) -> Tensor:
        """Return m [depth, x], m/s."""
        return (self.scale * theta.detach()).clamp(*self.bounds)

    def __call__(self) -> Tensor:
        """Set the parameter's gradient; return the loss: a torch closure."""
        loss, (gradient,) = self.loss_and_gradient()
        self.theta.grad = self.inward(self._at(None), gradient)
        return loss

    def loss(self, params: Mapping[Tensor, Tensor] | None = None) -> Tensor:
        """Return f."""
        model = self.velocity(self._at(params))

        @torch.no_grad()
        def work(call: Tensor) -> Tensor:
            return self.misfit.values(self.modelling.shoot(self.fine(model, call), call), call)

        parts = self.modelling.each(work, self.shots)
        self.spent(1)
        return self.total(model, parts)

    def loss_and_gradient(
        self, params: Mapping[Tensor, Tensor] | Sequence[Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor]]:
        """Return f and its gradient, as if there were no bounds."""
        model = self.velocity(self._at(params))

        @torch.enable_grad()
        def work(call: Tensor) -> tuple[Tensor, Tensor]:
            fine = self.fine(model, call).requires_grad_()
            values = self.misfit.values(self.modelling.shoot(fine, call), call)
            return values.detach(), torch.autograd.grad(values.sum(), fine)[0]

        parts = self.modelling.each(work, self.shots)
        self.spent(2)
        loss = self.total(model, [values for values, _ in parts])
        gradient = self.gathered(model, [gradient for _, gradient in parts])
        gradient += self.regularization.gradient(model)
        return loss, (self.scale * gradient,)

    def linearize(
        self, params: Sequence[Tensor] | None = None, samples: Tensor | None = None
    ) -> "Linearization":
        """Return loss, gradient and products with the Gauss-Newton matrix at θ."""
        return Linearization(self, self._at(params))

    def _at(self, params: Mapping[Tensor, Tensor] | Sequence[Tensor] | None) -> Tensor:
        theta = params[self.theta] if isinstance(params, Mapping) else self.theta
        return theta.detach()

    def fine(self, model: Tensor, call: Tensor) -> Tensor:
        return self.modelling.carry(model).float().expand(len(call), -1, -1).clone()

    def spent(self, solves: float) -> None:
        self.solves += solves * len(self.shots) / self.modelling.shots

    def share(self) -> float:
        return self.modelling.shots / len(self.shots)

    def total(self, model: Tensor, values: Sequence[Tensor]) -> Tensor:
        misfit = torch.cat(list(values)).sum() * self.share()
        self.data = 2 * float(misfit)
        return misfit + self.regularization.value(model)

    def gathered(self, model: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """Return the sum of shots' gradients on the modelling grid, in the model's nodes."""
        total = torch.zeros_like(gradients[0][0], dtype=torch.float64)
        for gradient in gradients:
            for shot in gradient:
                total += shot
        return self.modelling.carry_back(model, total * self.share())

    def inward(self, theta: Tensor, gradient: Tensor) -> Tensor:
        """Return a gradient in θ, zero where a step down it would lead beyond the bounds."""
        speed, (low, high) = self.scale * theta, self.bounds
        outward = ((speed <= low) & (gradient > 0)) | ((speed >= high) & (gradient < 0))
        inward = torch.where(outward, 0.0, gradient)
        self.before = (self.data, self.solves, float(inward.abs().max()))
        return inward


class Linearization:
    """`WaveformObjective` at a fixed θ: see `seistomo.optim.objective.Linearization`.

    The shots' open gradients are kept from one product to the next where there is room.
    """

    def __init__(self, objective: WaveformObjective, theta: Tensor):
        self._own, self._theta, self._model = objective, theta, objective.velocity(theta)
        shots = len(objective.shots)
        self._keeps = shots * objective.modelling.shot_bytes <= KEPT
        self._opened: dict[int, tuple[Tensor, Tensor]] = {}

        def work(call: Tensor, fine: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
            values = residual.detach().double().square().sum(dim=(1, 2)) / 2
            return values, self._back(fine, residual, residual.detach())

        parts = self._each(work)
        objective.spent(2)
        self.loss = objective.total(self._model, [values for values, _ in parts])
        gradient = objective.gathered(self._model, [gradient for _, gradient in parts])
        gradient += objective.regularization.gradient(self._model)
        self.gradient = (objective.inward(theta, objective.scale * gradient),)
        speed, (low, high) = objective.scale * theta, objective.bounds
        self._free = ((speed > low) & (speed < high)) | (self.gradient[0] != 0)

    def product(self, vector: Sequence[Tensor]) -> tuple[Tensor]:
        """Return the Gauss-Newton matrix times a vector [depth, x]."""
        own, model = self._own, self._model
        change = torch.where(self._free, own.scale * vector[0], 0.0)
        moved = own.modelling.carry_change(model, change).float()

        def work(call: Tensor, fine: Tensor, residual: Tensor) -> Tensor:
            with torch.no_grad():
                scattered = own.modelling.born(
                    fine.detach(), moved.expand(len(call), -1, -1).contiguous(), call
                )
                tangent = own.misfit.weighted(scattered, call)
            return self._back(fine, residual, tangent)

        product = own.gathered(model, self._each(work))
        own.spent(3 if self._keeps else 4)
        product += own.regularization.product(model, change)
        return (torch.where(self._free, own.scale * product, 0.0),)

    def _each(self, work: Callable[[Tensor, Tensor, Tensor], Result]) -> list[Result]:
        """Return ``work`` of each call of shots, its models and its residual, with a graph."""

        @torch.enable_grad()
        def with_graph(call: Tensor) -> Result:
            number = int(call[0])
            opened = self._opened.get(number)
            if opened is None:
                fine = self._own.fine(self._model, call).requires_grad_()
                gathers = self._own.modelling.shoot(fine, call)
                opened = fine, self._own.misfit.residual(gathers, call)
                if self._keeps:
                    self._opened[number] = opened
            return work(call, *opened)

        return self._own.modelling.each(with_graph, self._own.shots)

    def _back(self, fine: Tensor, residual: Tensor, cotangent: Tensor) -> Tensor:
        return torch.autograd.grad(residual, fine, cotangent, retain_graph=self._keeps)[0]
