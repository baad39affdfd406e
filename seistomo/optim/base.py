"""What the optimizers of this package share: flat vectors, memory, and one way to step."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.errors import OptimizerError
from seistomo.optim.network_at import require_deterministic
from seistomo.optim.objective import Objective
from seistomo.optim.options import require_between
from seistomo.optim.vectors import flatten, unflatten

MEMORY = "memory"


class ObjectiveOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose step asks an objective for more than one loss and gradient.

    A subclass implements ``_step(objective)``, which moves the weights and returns the loss
    before the step. All its vectors are flat, [weight]: the parameters that need a gradient,
    group after group. What it must remember lies in ``memory``.

    Attributes
    ----------
    memory
        State that belongs to all weights together: tensors, numbers, strings, None, and lists
        and dicts of them. It is part of `state_dict`; tensors of floats follow the parameters'
        device, others stay where they are.
    report
        What happened in the last step, by name, for whoever watches: not part of the state.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        self.memory: dict[str, Any] = {}
        self.report: dict[str, Any] = {}
        super().__init__(params, defaults)
        self._require_one_kind()
        self._size = self._count()

    @torch.no_grad()
    def step(self, closure: Objective | None = None) -> Tensor:
        """Take one step.

        Parameters
        ----------
        closure
            The objective: one mini-batch of the problem. It cannot be left out; the default is
            torch's signature.

        Returns
        -------
        Tensor
            The mini-batch's loss before the step, a scalar.

        Raises
        ------
        OptimizerError
            Without an objective, for one that cannot give what the optimizer asks for, and if
            other parameters need a gradient than in the steps before.
        """
        if not hasattr(closure, "loss_and_gradient"):
            raise OptimizerError(
                f"{type(self).__name__}.step needs an objective, such as"
                " ModelObjective(model, loss, inputs, targets), not"
                f" {'nothing' if closure is None else type(closure).__name__}"
            )
        if not self.memory:
            self._size = self._count()
        elif self._count() != self._size:
            raise OptimizerError(
                f"{type(self).__name__}: {self._count()} weights need a gradient, {self._size} did"
                " in the steps before; build a new optimizer"
            )
        model = getattr(closure, "model", None)
        if model is not None:
            require_deterministic(model)
        return self._step(closure)

    def _step(self, objective: Objective) -> Tensor:
        raise NotImplementedError

    def parameters(self) -> list[Tensor]:
        """Return the parameters that need a gradient, group after group."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    def at(self, vector: Tensor) -> dict[Tensor, Tensor]:
        """Return the mapping that puts the parameters at a vector [weight], for an objective."""
        own = self.parameters()
        return dict(zip(own, unflatten(vector, own), strict=True))

    def weights(self) -> Tensor:
        """Return a copy of the weights [weight]."""
        return flatten(self.parameters())

    def add_(self, step: Tensor) -> None:
        """Add a step [weight] to the parameters."""
        own = self.parameters()
        torch._foreach_add_(own, list(unflatten(step, own)))

    def set_(self, weights: Tensor) -> None:
        """Put the parameters at the weights [weight]."""
        own = self.parameters()
        torch._foreach_copy_(own, list(unflatten(weights, own)))

    def learning_rate(self) -> float | Tensor:
        """Return α: a number, or where parameter groups differ one for each weight, [weight]."""
        rates = [float(group["lr"]) for group in self.param_groups]
        if len(set(rates)) == 1:
            return rates[0]
        return torch.cat(
            [
                parameter.new_full((parameter.numel(),), rate)
                for rate, group in zip(rates, self.param_groups, strict=True)
                for parameter in group["params"]
                if parameter.requires_grad
            ]
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, as in torch, before the first step."""
        if self.memory:
            raise OptimizerError(
                f"{type(self).__name__}: a parameter group cannot be added after the first step"
            )
        super().add_param_group(param_group)
        require_between("lr", self.param_groups[-1]["lr"], 0, 1e30)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as in torch, and the memory beside it."""
        return {**super().state_dict(), MEMORY: dict(self.memory)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a state; what follows continues bit for bit."""
        content = dict(state_dict)
        memory = content.pop(MEMORY, None)
        if memory is None:
            raise OptimizerError(
                f"{type(self).__name__}: this state has no {MEMORY}: it is another optimizer's"
            )
        super().load_state_dict(content)
        device = self.parameters()[0].device
        self.memory = _moved(copy.deepcopy(memory), device)
        self._size = self._count()

    def __getstate__(self) -> dict[str, Any]:
        own = {MEMORY: self.memory, "report": self.report, "_size": self._size}
        return {**super().__getstate__(), **own}

    def _count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def _require_one_kind(self) -> None:
        own = self.parameters()
        if not own:
            raise OptimizerError(f"{type(self).__name__}: none of the parameters needs a gradient")
        kinds = {(parameter.dtype, parameter.device.type) for parameter in own}
        if len(kinds) > 1 or not own[0].is_floating_point():
            shown = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
            raise OptimizerError(
                f"{type(self).__name__}: all parameters must be real, of one dtype and on one"
                f" device, not {shown}"
            )


def _moved(value: Any, device: torch.device) -> Any:
    """Return the value with its tensors of floats on the device."""
    if isinstance(value, Tensor):
        return value.to(device) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {key: _moved(entry, device) for key, entry in value.items()}
    if isinstance(value, list):
        return [_moved(entry, device) for entry in value]
    return value
