"""What the optimizers of this package share: options, memory, and one way to step."""

import copy
from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.checks import (
    OptimizerError,
    require_between,
    require_count,
    require_deterministic,
    require_initialized,
    require_one_of,
)
from seistomo.optim.decay import Decayed
from seistomo.optim.objective import Objective, flatten, unflatten

MEMORY, MEMORY_OF = "memory", "memory_of"
DTYPES = (torch.float32, torch.float64)
# What a parameter group may say beside its options; torch's schedulers read initial_lr.
GROUP_KEYS = ("params", "name", "param_names", "initial_lr")
# Where the samples T come from that curvature is measured on.
BATCH, TRAINING_SET = "batch", "training_set"


class ObjectiveOptimizer(torch.optim.Optimizer):
    """A torch optimizer whose step asks an objective for more than one loss and gradient.

    A subclass implements ``_step(objective)``, which moves the weights and returns the loss
    before the step. All its vectors are flat, [weight]: the parameters that need a gradient,
    group after group. What it must remember lies in ``memory``.

    Parameters
    ----------
    params
        Parameters or groups of them, as in torch. A group may set its ``lr``,
        ``weight_decay`` and name.
    options
        The constructor's options by name, ``lr`` and ``weight_decay`` among them; a subclass
        reads them as attributes of ``self._options``.
    shaping
        The names of those that shape the memory: a state that others shaped is refused.

    Attributes
    ----------
    memory
        State that belongs to all weights together: tensors, numbers, strings, None, and lists
        and dicts of them; empty until an objective has answered. It is part of `state_dict`.
        When loaded, tensors of floats take the parameters' dtype and device, others, such as a
        generator's state, lie on the CPU.
    report
        What happened in the last step, by name, for whoever watches: not part of the state.
    """

    def __init__(
        self, params: Iterable[Any], options: Mapping[str, Any], shaping: Collection[str] = ()
    ):
        self.memory: dict[str, Any] = {}
        self.report: dict[str, Any] = {}
        self._options = SimpleNamespace(**options)
        self._shaping = {name: options[name] for name in shaping}
        super().__init__(params, {name: options[name] for name in ("lr", "weight_decay")})
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
            Without an objective, for one that cannot give what the optimizer asks for, inside
            ``torch.autocast`` or ``torch.inference_mode``, and if other parameters need a
            gradient than in the steps before.
        """
        name = type(self).__name__
        if not hasattr(closure, "loss_and_gradient"):
            raise OptimizerError(
                f"{name}.step needs an objective, such as"
                " ModelObjective(model, loss, inputs, targets), not"
                f" {'nothing' if closure is None else type(closure).__name__}"
            )
        if not self.memory:
            self._require_one_kind()
            self._size = self._count()
        elif self._count() != self._size:
            raise OptimizerError(
                f"{name}: {self._count()} weights need a gradient, {self._size} did"
                " in the steps before; build a new optimizer"
            )
        if torch.is_inference_mode_enabled():
            raise OptimizerError(
                f"{name}.step: inside torch.inference_mode, where nothing has a gradient"
            )
        # It keeps the cast copies of the weights until its block ends: steps would not act.
        if torch.is_autocast_enabled(self.parameters()[0].device.type):
            raise OptimizerError(
                f"{name}.step: inside torch.autocast, whose copies of the weights a"
                " step does not reach; put autocast inside the model's forward"
            )
        model = getattr(closure, "model", None)
        if model is not None:
            require_deterministic(model)
        decay = {
            parameter: group["weight_decay"]
            for group in self.param_groups
            for parameter in group["params"]
            if group["weight_decay"]
        }
        if not decay:
            return self._step(closure)
        penalized = Decayed(closure, decay)
        self._step(penalized)
        return penalized.first_loss

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
        return flatten(self.parameters()).detach()

    def add_(self, step: Tensor) -> None:
        """Add a step [weight] to the parameters."""
        own = self.parameters()
        torch._foreach_add_(own, list(unflatten(step, own)))

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

    def _draw_samples(self, objective: Objective, memory: dict[str, Any]) -> Tensor | None:
        """Draw T as global sample indices, int64 [sample]; None for the whole batch."""
        count, source = self._options.curvature_samples, self._options.curvature_from
        if source == TRAINING_SET:
            pool = objective.training_samples
        elif count is None or count >= objective.batch_size:
            return None
        else:
            pool = objective.samples
        generator = torch.Generator()
        if "generator" in memory:
            generator.set_state(memory["generator"])
        else:
            generator.manual_seed(self._options.seed)
        places = torch.randperm(len(pool), generator=generator)[:count]
        memory["generator"] = generator.get_state()
        return pool[places.to(pool.device)]

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a parameter group, as in torch, before the first step."""
        name = type(self).__name__
        if self.memory:
            raise OptimizerError(f"{name}: a parameter group cannot be added after the first step")
        allowed = (*GROUP_KEYS, *self.defaults)
        for key in param_group:
            if key not in allowed:
                raise OptimizerError(
                    f"{name}: parameter group with {key}: not an option of a group;"
                    f" allowed: {', '.join(allowed)}"
                )
        for option, default in self.defaults.items():
            require_between(option, param_group.get(option, default), 0, 1e30)
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Return the state, as in torch, and beside it the memory and what it belongs to."""
        return {
            **super().state_dict(),
            MEMORY: dict(self.memory),
            MEMORY_OF: {
                "optimizer": type(self).__name__,
                "weights": self._count(),
                "options": dict(self._shaping),
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a state; what follows continues bit for bit.

        Raises
        ------
        OptimizerError
            For a state of another optimizer, of another number of weights, and one that other
            values of the options that shape the memory have made. Nothing is taken up then.
        """
        content = dict(state_dict)
        memory, owner = content.pop(MEMORY, None), content.pop(MEMORY_OF, None)
        if memory is None or owner is None:
            raise OptimizerError(
                f"{type(self).__name__}: this state has no {MEMORY}: it is another optimizer's"
            )
        self._require_own(owner)
        super().load_state_dict(content)
        self.memory = _moved(copy.deepcopy(memory), self.parameters()[0])
        self._size = self._count()

    def __getstate__(self) -> dict[str, Any]:
        own = (MEMORY, "report", "_options", "_shaping", "_size")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in own}}

    def _count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def _require_own(self, owner: Mapping[str, Any]) -> None:
        """Refuse a memory that belongs to an optimizer unlike this one."""
        name = type(self).__name__
        if owner["optimizer"] != name:
            raise OptimizerError(f"{name}: this state is another optimizer's: {owner['optimizer']}")
        if owner["weights"] != self._count():
            raise OptimizerError(
                f"{name}: this state is of {owner['weights']} weights that need a gradient, here"
                f" {self._count()} do"
            )
        for option, value in self._shaping.items():
            saved = owner["options"].get(option)
            if saved != value:
                raise OptimizerError(
                    f"{name}: {option} = {value}: this state was made with {option} = {saved}"
                )

    def _require_one_kind(self) -> None:
        name, own = type(self).__name__, self.parameters()
        if not own:
            raise OptimizerError(f"{name}: none of the parameters needs a gradient")
        require_initialized(own)
        kinds = {f"{parameter.dtype} on {parameter.device.type}" for parameter in own}
        if len(kinds) > 1:
            raise OptimizerError(
                f"{name}: all parameters must be of one dtype and on one device, not"
                f" {', '.join(sorted(kinds))}"
            )
        if own[0].dtype not in DTYPES:
            raise OptimizerError(
                f"{name}: parameters of {own[0].dtype}: must be float32 or float64;"
                " keep the weights in float32 and use autocast inside the model's forward"
            )


def options_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options among a constructor's ``locals()``."""
    return {k: v for k, v in arguments.items() if k not in ("self", "params", "__class__")}


def require_curvature_samples(count: int | None, source: str, seed: int) -> None:
    """Refuse a number, a source, or a seed that T cannot be drawn by."""
    require_one_of("curvature_from", source, (BATCH, TRAINING_SET))
    require_count("seed", seed, 0)
    if count is not None:
        require_count("curvature_samples", count)
    elif source != BATCH:
        raise OptimizerError(f"curvature_from = {source}: needs curvature_samples, their number")


def _moved(value: Any, like: Tensor) -> Any:
    """Return the value with its tensors of floats as ``like`` is, all others on the CPU."""
    if isinstance(value, Tensor):
        return value.to(like) if value.is_floating_point() else value.cpu()
    if isinstance(value, Mapping):
        return {key: _moved(entry, like) for key, entry in value.items()}
    if isinstance(value, list):
        return [_moved(entry, like) for entry in value]
    return value
