"""A network at given parameters, and what may be asked of it."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from seistomo.optim.errors import OptimizerError
from seistomo.optim.objective import Parameters, Vector
from seistomo.optim.replay import Replay, find_replay, without_future_warnings


class NetworkAt:
    """The network h as a function of its inputs, at given values of some parameters.

    Parameters
    ----------
    model
        The network.
    params
        Which parameters, at which values; see `seistomo.optim.Objective`.

    Attributes
    ----------
    model
        The network itself.
    variables
        What to differentiate with respect to, in the order of ``params``.

    Raises
    ------
    OptimizerError
        If ``params`` holds what is no parameter of the model, or one that needs no gradient.
    """

    variables: Vector

    def __init__(self, model: nn.Module, params: Parameters):
        self.model = model
        if params is None:
            params = trainable(model)
        self._names = _names(model, params)
        if isinstance(params, Mapping):
            self.variables = tuple(value.detach().requires_grad_() for value in params.values())
            self._network = functools.partial(self._at, self.variables)
        else:
            self.variables = tuple(params)
            self._network = model

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs for inputs [sample, ...]."""
        return self._network(inputs)

    def tangent(self, inputs: Tensor, vector: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return outputs and their derivative along a vector, J v, from one forward pass.

        With gradients enabled the outputs have a graph, the tangent is apart from it: to go
        backward through the outputs then costs no more than without a tangent.
        """
        with forward_ad.dual_level(), without_future_warnings():
            duals = [
                forward_ad.make_dual(variable, along.detach())
                for variable, along in zip(self.variables, vector, strict=True)
            ]
            dual = require_tensor(self._at(duals, inputs))
            outputs, tangent = forward_ad.unpack_dual(dual)
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
        found = torch.autograd.grad(
            outputs,
            self.variables,
            along,
            create_graph=create_graph,
            retain_graph=retain_graph,
            allow_unused=True,
        )
        if unused == "error":
            for name, gradient in zip(self._names, found, strict=True):
                if gradient is None:
                    raise OptimizerError(
                        f"parameter {name}: the network's outputs do not depend on it; leave it"
                        " out of the optimizer or set requires_grad = False"
                    )
        pairs = zip(found, self.variables, strict=True)
        return tuple(torch.zeros_like(v) if g is None else g for g, v in pairs)

    def replay(
        self, inputs: Tensor, outputs: Tensor, witness: tuple[Sequence[Tensor], Tensor]
    ) -> Replay | None:
        """Return J v for many v, given the outputs and one v with its J v; None if there is none.

        See `seistomo.optim.replay.find_replay`.
        """
        return find_replay(self.model, self._names, self.variables, inputs, outputs, witness)

    def zeros(self) -> list[Tensor]:
        """Return zeros shaped as a loss and a tensor a variable: [loss, gradient...]."""
        zeros = [torch.zeros_like(variable, requires_grad=False) for variable in self.variables]
        return [zeros[0].new_zeros(()), *zeros]

    def _at(self, values: Sequence[Tensor], inputs: Tensor) -> Tensor:
        named = dict(zip(self._names, values, strict=True))
        return functional_call(self.model, named, (inputs,))


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
    return found


def require_tensor(outputs: object) -> Tensor:
    """Refuse outputs that are not one tensor, for which curvature is not defined here."""
    if not isinstance(outputs, Tensor):
        raise OptimizerError(
            f"model: returns a {type(outputs).__name__}; curvature needs one tensor of outputs"
        )
    return outputs


def require_deterministic(model: nn.Module) -> None:
    """Refuse networks whose outputs are random or couple the samples of a batch.

    Curvature, variance reduction, line search and trust region evaluate a batch twice, or in
    parts, and need the same answer.

    Raises
    ------
    OptimizerError
        Naming the layer and the remedy.
    """
    for name, module in model.named_modules():
        if _is_random_or_coupled(module):
            state = "in train mode" if module.training else "without running statistics"
            raise OptimizerError(
                f"layer {name or 'model'} ({type(module).__name__}) {state}: its outputs"
                " are random or depend on the other samples of the batch, which curvature and"
                " variance reduction do not allow; call .eval() on it, or replace it (GroupNorm"
                " works)"
            )


def _is_random_or_coupled(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return module.training or module.running_mean is None
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.training and module.p > 0
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.training and module.dropout > 0
    return module.training and isinstance(module, nn.RReLU)


def _names(model: nn.Module, params: Mapping[Tensor, Tensor] | Sequence[Tensor]) -> list[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    names = []
    for parameter in params:
        if id(parameter) not in known:
            raise OptimizerError(
                f"params holds a tensor of shape {list(parameter.shape)} that is no parameter of"
                " the model"
            )
        if not parameter.requires_grad:
            raise OptimizerError(f"parameter {known[id(parameter)]} needs no gradient")
        names.append(known[id(parameter)])
    return names
