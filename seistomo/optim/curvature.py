"""Gauss–Newton products: G v = Jᵀ ∇²ℓ J v, without the matrix.

J is the Jacobian of the network's outputs with respect to the weights, ∇²ℓ the Hessian of the
loss with respect to the outputs. G is symmetric, and positive semidefinite for a convex ℓ
(Thiele et al. 2021, section 3.2; Gargiani et al. 2020, Eq. 13).

There are two ways to J v. *Forward*: one pass with dual numbers, whose outputs also carry the
graph for the pass back through Jᵀ; where many products are asked for, both passes are replayed
(see `seistomo.optim.replay`). *Reverse*: by differentiating u ↦ Jᵀu, which is linear in u, once
more (Thiele et al. 2021, Algorithm 2), for layers without forward mode.
"""

import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from seistomo.optim.checks import OptimizerError, require_initialized
from seistomo.optim.objective import Loss, Parameters, Vector
from seistomo.optim.ranks import Ranks
from seistomo.optim.replay import (
    Tangent,
    agree,
    find_replay,
    forget,
    substituted,
    without_future_warnings,
)

Mode = Literal["auto", "reverse"]

# What torch says of layers whose backward pass is no ordinary one, and the remedy.
_REMEDIES = {
    "use_reentrant": "checkpoint needs use_reentrant=False",
    "sparse tensors": "an embedding is sparse; curvature needs sparse = False",
}
# How far J v and Jᵀ may be from transposes of each other: hooks that change gradients are not.
_APART = 0.1
# Models whose layers turned out to lack forward mode.
_WITHOUT_FORWARD: weakref.WeakSet[nn.Module] = weakref.WeakSet()


class NetworkAt:
    """The network h as a function of its inputs, at given values of some parameters.

    ``params`` is as in `seistomo.optim.Objective`. ``at`` has the values to differentiate with
    respect to by the model's own parameters, ``variables`` these values alone.
    """

    def __init__(self, model: nn.Module, params: Parameters):
        self.model = model
        params = trainable(model) if params is None else params
        elsewhere = isinstance(params, Mapping)
        if elsewhere:
            self.at = {own: value.detach().requires_grad_() for own, value in params.items()}
        else:
            self.at = {own: own for own in params}
        self._moved = self.at if elsewhere else {}
        self.variables: Vector = tuple(self.at.values())
        self._names = _names(model, self.at)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs for inputs [sample, ...]."""
        return self._with(self._moved, inputs)

    def tangent(self, inputs: Tensor, vector: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return outputs and their derivative along a vector, J v, from one forward pass.

        With gradients enabled the outputs have a graph, the tangent is apart from it: to go
        backward through the outputs then costs no more than without a tangent.
        """
        with forward_ad.dual_level(), without_future_warnings():
            duals = {
                own: forward_ad.make_dual(variable, along.detach())
                for (own, variable), along in zip(self.at.items(), vector, strict=True)
            }
            outputs, tangent = forward_ad.unpack_dual(require_tensor(self._with(duals, inputs)))
            if tangent is None:  # The outputs do not depend on the variables.
                tangent = torch.zeros_like(outputs)
            return outputs, tangent.detach()

    def derivative(
        self,
        outputs: Tensor,
        along: Tensor | None = None,
        *,
        create_graph: bool = False,
        retain_graph: bool | None = None,
        unused: str = "zero",
    ) -> Vector:
        """Return the derivative of ``outputs`` (times ``along``), one tensor a variable.

        ``unused`` says what becomes of a variable that the outputs do not depend on: "zero"
        or "error".
        """
        require_graph(outputs)
        try:
            with substituted(self.model, self._moved):  # Checkpoints compute forward once more.
                found = torch.autograd.grad(
                    outputs, self.variables, along, retain_graph, create_graph, allow_unused=True
                )
        except RuntimeError as error:
            for words, remedy in _REMEDIES.items():
                if words in str(error):
                    raise OptimizerError(f"model: {remedy}") from error
            raise
        if unused == "error":
            for name, gradient in zip(self._names, found, strict=True):
                if gradient is None:
                    raise OptimizerError(
                        f"parameter {name}: the network's outputs do not depend on it; leave it"
                        " out of the optimizer or set requires_grad = False"
                    )
        pairs = zip(found, self.variables, strict=True)
        return tuple(torch.zeros_like(v) if g is None else g.to_dense() for g, v in pairs)

    def transposed(self, outputs: Tensor, unused: str = "zero") -> tuple[Tensor, Vector]:
        """Return a cotangent u, zero, and Jᵀu with a graph; see `tangent_backward`."""
        u = torch.zeros_like(outputs, requires_grad=True)
        return u, self.derivative(outputs, u, create_graph=True, unused=unused)

    def zeros(self) -> list[Tensor]:
        """Return zeros shaped as a loss and a tensor a variable: [loss, gradient...]."""
        zeros = [torch.zeros_like(variable, requires_grad=False) for variable in self.variables]
        return [zeros[0].new_zeros(()), *zeros]

    def _with(self, values: Mapping[Tensor, Tensor], inputs: Tensor) -> Tensor:
        with substituted(self.model, values):
            return self.model(inputs)


def tangent_backward(u: Tensor, transposed: Vector, vector: Sequence[Tensor]) -> Tensor:
    """Return J v as the derivative of u ↦ Jᵀu along v (Thiele et al. 2021, Algorithm 2, line 3)."""
    used, along = zip(
        *((one, v) for one, v in zip(transposed, vector, strict=True) if one.requires_grad),
        strict=True,
    )
    return torch.autograd.grad(used, u, along, retain_graph=True)[0]


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Choose an attention kernel that has forward mode and second derivatives."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


def trainable(model: nn.Module) -> list[Tensor]:
    """Return the parameters that need a gradient; refuse a model without any."""
    found = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not found:
        raise OptimizerError("model: none of its parameters needs a gradient")
    require_initialized(found)
    return found


def require_tensor(outputs: object) -> Tensor:
    """Refuse outputs that are not one tensor, for which curvature is not defined here."""
    if not isinstance(outputs, Tensor):
        raise OptimizerError(
            f"model: returns a {type(outputs).__name__}; curvature needs one tensor of outputs"
        )
    return outputs


def require_graph(outputs: Tensor) -> None:
    """Refuse outputs that do not know how they came about."""
    if not outputs.requires_grad:
        raise OptimizerError("model: its outputs have no gradient (detached, under no_grad)")


@torch.enable_grad()
def require_own_weights(network: NetworkAt, inputs: Tensor) -> None:
    """Refuse a model whose outputs come from its weights otherwise than through its parameters."""
    copies = {own: own.detach().clone() for own in network.at}
    with substituted(network.model, copies):
        outputs = require_tensor(network.model(inputs))
    if not outputs.requires_grad:
        return
    ones = torch.ones_like(outputs)
    slopes = torch.autograd.grad(outputs, list(network.at), ones, allow_unused=True)
    if any(slope is not None for slope in slopes):
        raise OptimizerError(
            "model: holds weights outside its parameters too (a view or a copy made once), where"
            " curvature does not see them; make it in forward"
        )


@torch.enable_grad()
def choose_way(network: NetworkAt, inputs: Tensor) -> None:
    """See whether a model's J v is to be had in forward mode, and the transpose of its Jᵀ.

    What stands under ``no_grad`` is differentiated in forward mode all the same, not backward.
    Rounding, in half precision too, leaves both ways equally far apart.
    """
    generator, vector = torch.Generator().manual_seed(0), []
    for weights in network.variables:
        # Not at random alone: what is taken for a constant is often a norm of the weights.
        scale = weights.detach().abs().mean() + 1e-3
        noise = torch.randn(weights.shape, generator=generator).to(weights)
        vector.append(weights.detach() + scale * noise)

    def apart(outputs: Tensor, tangent: Tensor) -> float:
        back = network.derivative(outputs, tangent)
        length = tangent.abs().square().sum()
        same = sum((v * slope).sum() for v, slope in zip(vector, back, strict=True))
        return float((same - length).abs() / length)

    with twice_differentiable():
        try:
            forward = apart(*network.tangent(inputs, vector))
        except RuntimeError as error:
            if not _lacks_forward_mode(error):
                raise
            forward = math.inf
        if forward <= torch.finfo(vector[0].dtype).eps ** 0.5:
            return
        outputs = require_tensor(network(inputs))
        reverse = apart(outputs, tangent_backward(*network.transposed(outputs), vector))
    if reverse > _APART:
        raise OptimizerError(
            "model: its derivatives forward and backward disagree; remove hooks that change"
            " gradients, and layers whose backward is not linear"
        )
    if reverse < forward / 10:
        _WITHOUT_FORWARD.add(network.model)


class WeightedPart(NamedTuple):
    """Inputs and targets [sample, ...] of some of the samples asked for."""

    inputs: Tensor
    targets: Tensor
    weight: float  # share of all the samples asked for
    alone: bool  # no other part falls to this rank


class LinearizedPart:
    """One part of the samples, linearized; what was computed once is kept."""

    def __init__(self, network: NetworkAt, loss: Loss, part: WeightedPart):
        self._network, self._ell, self._part = network, loss, part
        self._outputs: Tensor | None = None
        self._slope: Tensor | None = None
        self._transposed: tuple[Tensor, Vector] | None = None
        self._replay: Tangent | None = None

    @torch.enable_grad()
    @twice_differentiable()
    def loss_and_gradient(self) -> Vector:
        """Return the part's share of loss and gradient: [loss, gradient...]."""
        slope = self._loss_slope()
        return self._loss.detach(), *self._back(slope.detach())

    def product(self, vector: Sequence[Tensor], reverse: bool) -> Vector:
        """Return the part's share of loss and G v: [loss, product...]."""
        if self._replay is not None:
            return self._through(self._replay(vector))
        with torch.enable_grad(), twice_differentiable():
            if reverse:
                return self._through(self._reverse(vector))
            return self._replayed(vector) or self._through(self._forward(vector))

    def _through(self, tangent: Tensor) -> Vector:
        """Return the share of loss and Jᵀ ∇²ℓ J v, of J v."""
        product = self._back(self._loss_hessian(tangent))
        return self._loss.detach(), *product

    def _replayed(self, vector: Sequence[Tensor]) -> Vector | None:
        """Return the first product that is replayed, and keep the replay, if there is one.

        Where nothing is known yet, one pass gives outputs and J v: a product alone is not replayed.
        """
        if self._outputs is None or not self._part.alone:
            return None
        network = self._network
        replay = find_replay(network, self._part.inputs, self._outputs.detach(), vector)
        if replay is None:
            return None
        tangent = replay(vector)
        cotangent = self._loss_hessian(tangent)
        product = self._back(cotangent)
        if not agree(tangent, cotangent, vector, product):
            forget(network.model)
            return None
        self._replay = replay
        return self._loss.detach(), *product

    def _forward(self, vector: Sequence[Tensor]) -> Tensor:
        inputs = self._part.inputs
        if self._outputs is None:
            self._outputs, tangent = self._network.tangent(inputs, vector)
            return tangent
        with torch.no_grad():
            return self._network.tangent(inputs, vector)[1]

    def _reverse(self, vector: Sequence[Tensor]) -> Tensor:
        """Return J v as the derivative of u ↦ Jᵀu along v (Algorithm 2, line 3)."""
        if self._transposed is None:
            self._transposed = self._network.transposed(self._primal(), unused="error")
        return tangent_backward(*self._transposed, vector)

    def _primal(self) -> Tensor:
        if self._outputs is None:
            self._outputs = require_tensor(self._network(self._part.inputs))
        return self._outputs

    def _loss_slope(self) -> Tensor:
        """Return ∇ℓ in the outputs, with a graph where ℓ is curved."""
        if self._slope is None:
            with torch.enable_grad():
                self._leaf = self._primal().detach().requires_grad_()
                self._loss = self._ell(self._leaf, self._part.targets)
                if self._part.weight < 1:
                    self._loss = self._loss * self._part.weight
                (self._slope,) = torch.autograd.grad(self._loss, self._leaf, create_graph=True)
        return self._slope

    def _loss_hessian(self, tangent: Tensor) -> Tensor:
        """Return ∇²ℓ J v (Algorithm 2, line 2)."""
        slope = self._loss_slope()
        if not slope.requires_grad:  # ℓ is linear in the outputs.
            return torch.zeros_like(tangent)
        try:
            (curved,) = torch.autograd.grad(
                slope, self._leaf, tangent, retain_graph=True, materialize_grads=True
            )
        except RuntimeError as error:
            if "is not implemented" not in str(error):
                raise
            raise OptimizerError(f"loss: has no second derivative in torch: {error}") from error
        return curved

    def _back(self, cotangent: Tensor) -> Vector:
        return self._network.derivative(
            self._primal(), cotangent, retain_graph=True, unused="error"
        )


class PartwiseLinearization:
    """Loss, gradient and Gauss–Newton products at fixed weights: see `Objective.linearize`.

    Where all the samples are one part, its forward pass and graph are kept from one product to
    the next; else they would not fit, and each product goes forward anew. ``parts`` gives this
    rank's parts, anew each time; ``count`` is called with "gradient_evaluations" or
    "ggn_products" for each one computed.
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
        """Return Jᵀ ∇²ℓ J v, one tensor a variable."""
        model = self._network.model
        reverse = self._mode == "reverse" or model in _WITHOUT_FORWARD
        try:
            loss, *product = self._sum(lambda part: part.product(vector, reverse))
        except RuntimeError as error:
            if reverse or not _lacks_forward_mode(error):
                raise
            _WITHOUT_FORWARD.add(model)
            self._kept = None
            loss, *product = self._sum(lambda part: part.product(vector, True))
        self._loss = loss
        self._count("ggn_products")
        return tuple(product)

    def _first_order(self) -> None:
        self._loss, *gradient = self._sum(LinearizedPart.loss_and_gradient)
        self._gradient = tuple(gradient)
        self._count("gradient_evaluations")

    def _sum(self, ask: Callable[[LinearizedPart], Vector]) -> Vector:
        """Return the sum of the answers, [loss, a tensor a variable...], over parts and ranks."""
        if self._kept is not None:
            return self._ranks.sum(ask(self._kept))
        total = None
        for part in self._parts():
            own = list(ask(part))
            total = own if total is None else torch._foreach_add(total, own)
        return self._ranks.sum(total or self._network.zeros())

    def _parts(self) -> Iterator[LinearizedPart]:
        for part in self._give_parts():
            linearized = LinearizedPart(self._network, self._ell, part)
            if part.alone:
                self._kept = linearized
            yield linearized


def _lacks_forward_mode(error: RuntimeError) -> bool:
    words = ("forward AD", "forward-mode AD", "jvp", "torch.utils.checkpoint")
    return any(word in str(error) for word in words)


def _names(model: nn.Module, params: Mapping[Tensor, Tensor]) -> list[str]:
    known = {parameter: name for name, parameter in model.named_parameters()}
    names = []
    for parameter in params:
        if parameter not in known:
            raise OptimizerError(
                f"params holds a tensor of shape {list(parameter.shape)} that is no parameter of"
                " the model"
            )
        if not parameter.requires_grad:
            raise OptimizerError(f"parameter {known[parameter]} needs no gradient")
        names.append(known[parameter])
    return names
