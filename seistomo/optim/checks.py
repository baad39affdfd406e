"""What is refused: values of options, and models and losses that would give wrong numbers."""

import math
import warnings
import weakref
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

# How often a few samples are seen again: what draws one time in ten is found two times in three.
_DRAWS = 10
# What each model, with each loss, has already been found to be.
_FOUND: weakref.WeakKeyDictionary[nn.Module, weakref.WeakKeyDictionary] = (
    weakref.WeakKeyDictionary()
)


class OptimizerError(ValueError):
    """Something that an optimizer or an objective cannot work with; the message says what."""


def require_positive(name: str, value: float) -> None:
    if not (_is_number(value) and 0 < value < math.inf):
        raise OptimizerError(f"{name} = {value!r}: must be a positive number")


def require_between(name: str, value: float, low: float, high: float) -> None:
    if not (_is_number(value) and low <= value <= high):
        raise OptimizerError(f"{name} = {value!r}: must be a number from {low:g} to {high:g}")


def require_count(name: str, value: int, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise OptimizerError(f"{name} = {value!r}: must be a whole number from {minimum} on")


def require_one_of(name: str, value: Any, allowed: Collection[Any]) -> None:
    if not any(isinstance(value, type(choice)) and value == choice for choice in allowed):
        shown = ", ".join(map(str, allowed))
        raise OptimizerError(f"{name} = {value!r}: must be one of {shown}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def facts(model: nn.Module, loss: Callable | None = None) -> set[Any]:
    """Return what a model, alone or with a loss, was already found to be: a set to add to.

    A loss that cannot be referred to weakly is looked at every time.
    """
    about = _FOUND.setdefault(model, weakref.WeakKeyDictionary())
    try:
        return about.setdefault(model if loss is None else loss, set())
    except TypeError:
        return set()


def modes(model: nn.Module) -> tuple[tuple[type, bool], ...]:
    """Return a model's layers and which are in train mode: with others it is another one."""
    return tuple((type(module), module.training) for module in model.modules())


def require_deterministic(model: nn.Module) -> None:
    """Refuse networks with layers whose outputs are random or couple the samples of a batch.

    Curvature, variance reduction, line search and trust region evaluate a batch twice, or in
    parts, and need the same answer.
    """
    fact = ("deterministic", modes(model))
    if fact in facts(model):
        return
    for name, module in model.named_modules():
        if _is_random_or_coupled(module):
            state = "in train mode" if module.training else "without running statistics"
            raise OptimizerError(
                f"layer {name or 'model'} ({type(module).__name__}) {state}: its outputs"
                " are random or depend on the other samples of the batch, which curvature and"
                " variance reduction do not allow; call .eval() on it, or replace it (GroupNorm"
                " works)"
            )
    facts(model).add(fact)


def require_open(model: nn.Module) -> None:
    """Refuse layers, and wrappers, that forward-mode and second derivatives do not pass."""
    for name, module in model.named_modules():
        layer, remedy = f"layer {name}" if name else "model", None
        kind = type(module).__name__
        if isinstance(module, torch.jit.ScriptModule):
            remedy = "the module that it was made from"
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            remedy = "its .module"
        elif "_orig_mod" in module._modules:
            kind, remedy = "torch.compile", "its ._orig_mod"
        elif module._compiled_call_impl is not None:
            kind, remedy = "torch.compile", "one whose .compile() was not called"
        if remedy:
            raise OptimizerError(f"{layer}: curvature does not pass {kind}; give {remedy} instead")
        if getattr(module, "sparse", False) is True:
            raise OptimizerError(f"{layer}: curvature needs sparse = False")


def require_initialized(parameters: Collection[Tensor]) -> None:
    """Refuse parameters of lazy layers that have no values yet."""
    if any(nn.parameter.is_lazy(parameter) for parameter in parameters):
        raise OptimizerError(
            "model: has lazy layers without weights; call it once on a few inputs before"
        )


def _is_random_or_coupled(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return module.training or module.running_mean is None
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.training and module.p > 0
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.training and module.dropout > 0
    return module.training and isinstance(module, nn.RReLU)


@torch.no_grad()
def require_repeatable(
    model: nn.Module, few: Any, count: int, fewer: Any, fewer_count: int
) -> None:
    """Refuse a network that gives other outputs for the same samples, or for fewer of them.

    ``few`` and ``fewer`` are its inputs for the first so many samples; they must agree, too.
    """
    tensors = isinstance(few, Tensor) and isinstance(fewer, Tensor)
    if tensors and few.shape[1:] == fewer.shape[1:] and not close(few[: len(fewer)], fewer):
        raise OptimizerError(
            "samples: are others when they are read again, which curvature and variance reduction"
            " do not allow; leave out random augmentation, or fix it by the sample's index"
        )
    try:
        first = model(few)
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        raise OptimizerError(
            "model: differentiates in its forward, which is called under no_grad, too; put"
            " torch.enable_grad() around that in forward"
        ) from error
    if not isinstance(first, Tensor):
        return
    if not all(close(first, model(few)) for _ in range(_DRAWS)):
        raise OptimizerError(
            "model: gives other outputs for the same inputs, which curvature and variance"
            " reduction do not allow; turn off what draws at random (.eval())"
        )
    alone = model(fewer)
    if first.shape[:1] != (count,) or alone.shape != (fewer_count, *first.shape[1:]):
        return
    if not close(first[:fewer_count], alone):
        raise OptimizerError(
            f"model: gives {fewer_count} samples other outputs than among {count}: a layer couples"
            " the samples of a batch, which curvature and variance reduction do not allow;"
            " replace it (GroupNorm works)"
        )


@torch.no_grad()
def require_mean(loss: Callable, outputs: Tensor, targets: Tensor, parted: bool) -> bool | None:
    """Refuse a loss that is not the mean over samples of a loss of each; say if it was shown.

    Where samples are not ``parted`` only a sum over them is refused. None: nothing can be said.
    """
    count = len(targets)
    if count < 2 or not isinstance(outputs, Tensor):
        return None
    half = count // 2
    whole = loss(outputs, targets)
    parts = (loss(outputs[half:], targets[half:]), loss(outputs[:half], targets[:half]))
    mean = (parts[0] * (count - half) + parts[1] * half) / count
    if close(whole, mean):
        return True
    if parted or close(whole, sum(parts)):
        raise OptimizerError(
            f"loss: {float(whole):g} over {count} samples is not the mean of its values over parts"
            f" of them, {float(mean):g}; it must be a mean over samples (reduction mean, without"
            " class weights or ignored targets)"
        )
    return False


@torch.enable_grad()
def require_of_outputs(
    loss: Callable, outputs: Tensor, targets: Tensor, own: Collection[Tensor]
) -> bool:
    """Refuse a loss that depends on the weights beside the outputs; say if that was excluded."""
    value = loss(outputs.detach(), targets)
    if not value.requires_grad:
        return True
    slopes = torch.autograd.grad(value, list(own), allow_unused=True)
    if any(slope is not None and slope.any() for slope in slopes):
        raise OptimizerError(
            "loss: depends on the model's weights beside its outputs (a penalty on weights or inner"
            " activations, a second call), which Gauss-Newton products do not see; for a penalty"
            " use the optimizer's weight_decay, else adam or svrg, or return all that the loss"
            " needs as outputs"
        )
    if any(slope is not None for slope in slopes):
        return False
    warnings.warn(
        "loss: has parameters of its own that need a gradient; this optimizer leaves them as they"
        " are",
        stacklevel=2,
    )
    return True


def close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree to the square root of the unit of rounding of the first."""
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    allowed = torch.finfo(one.dtype).eps ** 0.5 * one.abs().max()
    # Not finite: nothing can be said, and others will say so.
    return bool(((one - other).abs().max() <= allowed) | ~torch.isfinite(one).all())
