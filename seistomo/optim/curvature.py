"""Gauss–Newton products: G v = Jᵀ ∇²ℓ J v, without the matrix.

J is the Jacobian of the network's outputs with respect to the weights, ∇²ℓ the Hessian of the
loss with respect to the outputs. G is symmetric, and positive semidefinite for a convex ℓ
(Thiele et al. 2021, section 3.2; Gargiani et al. 2020, Eq. 13).

There are two ways to J v. *Forward*: one pass with dual numbers, whose outputs also carry the
graph for the pass back through Jᵀ; further products at the same weights replay what depends on v
alone (see `seistomo.optim.replay`). *Reverse*: by differentiating u ↦ Jᵀu, which is linear in u,
once more (Thiele et al. 2021, Algorithm 2), for layers without forward mode.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from seistomo.optim.network_at import NetworkAt, require_tensor, twice_differentiable
from seistomo.optim.objective import Loss, Vector
from seistomo.optim.ranks import Ranks
from seistomo.optim.replay import Replay

Mode = Literal["auto", "forward", "reverse"]

# Models whose layers turned out to lack forward mode.
_WITHOUT_FORWARD: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class WeightedPart(NamedTuple):
    """Inputs and targets [sample, ...].

    ``weight`` is their share of all the samples asked for; ``alone`` says that no other part
    falls to this rank.
    """

    inputs: Tensor
    targets: Tensor
    weight: float
    alone: bool


class LinearizedPart:
    """One part of the samples, linearized; what was computed once is kept.

    Parameters
    ----------
    network
        The network at its parameters.
    loss
        ℓ(outputs, targets).
    part
        The samples.
    """

    def __init__(self, network: NetworkAt, loss: Loss, part: WeightedPart):
        self._network, self._ell, self._part = network, loss, part
        self._outputs: Tensor | None = None
        self._slope: Tensor | None = None
        self._transposed: tuple[Tensor, Vector] | None = None
        self._replay: Replay | None = None
        self._asked_for_replay = False
        self._witness: tuple[list[Tensor], Tensor] | None = None

    @torch.enable_grad()
    @twice_differentiable()
    def loss_and_gradient(self) -> Vector:
        """Return the part's share of loss and gradient: [loss, gradient...]."""
        slope = self._loss_slope()
        return self._loss.detach(), *self._back(slope.detach())

    @torch.enable_grad()
    @twice_differentiable()
    def product(self, vector: Sequence[Tensor], mode: Mode) -> Vector:
        """Return the part's share of loss and G v: [loss, product...]."""
        tangent = self._reverse(vector) if mode == "reverse" else self._forward(vector)
        product = self._back(self._loss_hessian(tangent))
        return self._loss.detach(), *product

    def _forward(self, vector: Sequence[Tensor]) -> Tensor:
        if self._replay is not None:
            return self._replay.tangent(vector)
        if self._outputs is None:
            self._outputs, tangent = self._network.tangent(self._part.inputs, vector)
        elif self._witness is None:
            with torch.no_grad():
                tangent = self._network.tangent(self._part.inputs, vector)[1]
        else:
            return self._second_forward(vector)
        if self._part.alone:
            self._witness = [v.detach().clone() for v in vector], tangent
        return tangent

    def _second_forward(self, vector: Sequence[Tensor]) -> Tensor:
        """Return J v where one is known: from here on a replay pays, if there is one."""
        inputs = self._part.inputs
        if not self._asked_for_replay:
            self._asked_for_replay = True
            self._replay = self._network.replay(inputs, self._outputs.detach(), self._witness)
        if self._replay is not None:
            return self._replay.tangent(vector)
        with torch.no_grad():
            return self._network.tangent(inputs, vector)[1]

    def _reverse(self, vector: Sequence[Tensor]) -> Tensor:
        """Return J v as the derivative of u ↦ Jᵀu along v (Algorithm 2, line 3)."""
        if self._transposed is None:
            outputs = self._primal()
            u = torch.zeros_like(outputs, requires_grad=True)
            transposed = self._network.derivative(outputs, u, create_graph=True, unused="error")
            self._transposed = u, transposed
        u, transposed = self._transposed
        (tangent,) = torch.autograd.grad(transposed, u, vector, retain_graph=True)
        return tangent

    def _primal(self) -> Tensor:
        if self._outputs is None:
            self._outputs = require_tensor(self._network(self._part.inputs))
        return self._outputs

    def _loss_slope(self) -> Tensor:
        """Return ∇ℓ in the outputs, with a graph where ℓ is curved."""
        if self._slope is None:
            self._leaf = self._primal().detach().requires_grad_()
            self._loss = self._ell(self._leaf, self._part.targets) * self._part.weight
            (self._slope,) = torch.autograd.grad(self._loss, self._leaf, create_graph=True)
        return self._slope

    def _loss_hessian(self, tangent: Tensor) -> Tensor:
        """Return ∇²ℓ J v (Algorithm 2, line 2)."""
        slope = self._loss_slope()
        if not slope.requires_grad:  # ℓ is linear in the outputs.
            return torch.zeros_like(tangent)
        (curved,) = torch.autograd.grad(
            slope, self._leaf, tangent, retain_graph=True, materialize_grads=True
        )
        return curved

    def _back(self, cotangent: Tensor) -> Vector:
        return self._network.derivative(
            self._primal(), cotangent, retain_graph=True, unused="error"
        )


class PartwiseLinearization:
    """Loss, gradient and Gauss–Newton products at fixed weights: see `Objective.linearize`.

    Where all the samples are one part, its forward pass and graph are kept from one product to
    the next; else they would not fit, and each product goes forward anew.

    Parameters
    ----------
    network
        The network at its parameters.
    loss
        ℓ(outputs, targets).
    parts
        Gives this rank's parts, anew each time.
    ranks
        The processes that share the work.
    mode
        How J v is computed: "forward", "reverse", or forward as far as the layers allow.
    count
        Called with "gradient_evaluations" or "ggn_products" for each one computed.
    """

    def __init__(
        self,
        network: NetworkAt,
        loss: Loss,
        parts: Callable[[], Iterator[WeightedPart]],
        ranks: Ranks,
        mode: Mode,
        count: Callable[[str], None],
    ):
        self._network, self._ell, self._ranks = network, loss, ranks
        self._give_parts, self._mode, self._count = parts, mode, count
        self._kept: LinearizedPart | None = None
        self._loss: Tensor | None = None
        self._gradient: Vector | None = None

    @property
    def loss(self) -> Tensor:
        """The loss, a scalar without a graph; free after a product or the gradient."""
        if self._loss is None:
            self._first_order()
        return self._loss

    @property
    def gradient(self) -> Vector:
        """The gradient, one tensor a variable."""
        if self._gradient is None:
            self._first_order()
        return self._gradient

    def product(self, vector: Sequence[Tensor]) -> Vector:
        """Return Jᵀ ∇²ℓ J v, one tensor a variable.

        Raises
        ------
        OptimizerError
            Naming a parameter that the outputs do not depend on.
        """
        mode = self._mode
        if mode == "auto":
            mode = "reverse" if self._network.model in _WITHOUT_FORWARD else "forward"
        try:
            loss, *product = self._sum(lambda part: part.product(vector, mode))
        except (NotImplementedError, RuntimeError) as error:
            if self._mode != "auto" or mode == "reverse" or not _lacks_forward_mode(error):
                raise
            _WITHOUT_FORWARD.add(self._network.model)
            loss, *product = self._sum(lambda part: part.product(vector, "reverse"))
        self._loss = loss
        self._count("ggn_products")
        return tuple(product)

    def _first_order(self) -> None:
        self._loss, *gradient = self._sum(LinearizedPart.loss_and_gradient)
        self._gradient = tuple(gradient)
        self._count("gradient_evaluations")

    def _sum(self, ask: Callable[[LinearizedPart], Vector]) -> Vector:
        """Return the sum of the answers, [loss, a tensor a variable...], over parts and ranks."""
        total = self._network.zeros()
        for part in self._parts():
            torch._foreach_add_(total, list(ask(part)))
        return self._ranks.sum(total)

    def _parts(self) -> Iterator[LinearizedPart]:
        if self._kept is not None:
            yield self._kept
            return
        for part in self._give_parts():
            linearized = LinearizedPart(self._network, self._ell, part)
            if part.alone:
                self._kept = linearized
            yield linearized


def _lacks_forward_mode(error: Exception) -> bool:
    return any(word in str(error) for word in ("forward AD", "forward-mode AD", "jvp"))
