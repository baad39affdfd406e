"""What objectives take for granted about a stranger's model and loss, checked once for each.

All these break silently: the numbers look right and are not.
"""

import weakref
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seistomo.optim.errors import OptimizerError
from seistomo.optim.objective import Loss

# How often a few samples are seen again: what draws one time in ten is found two times in three.
_DRAWS = 10
# Which modes of its layers a model has shown to be repeatable in.
_REPEATABLE: weakref.WeakKeyDictionary[nn.Module, set[tuple]] = weakref.WeakKeyDictionary()
_MEANS: weakref.WeakSet[Callable] = weakref.WeakSet()


@torch.no_grad()
def require_repeatable(model: nn.Module, give_inputs: Callable[[], Tensor]) -> None:
    """Refuse a network that gives other outputs when it sees the same inputs again.

    Parameters
    ----------
    model
        The network.
    give_inputs
        Returns a few samples; called where the model, in the modes of its layers, is not known yet.
    """
    modes = tuple(module.training for module in model.modules())
    known = _REPEATABLE.setdefault(model, set())
    if modes in known:
        return
    inputs = give_inputs()
    first = model(inputs)
    again = (model(inputs) for _ in range(_DRAWS))
    if isinstance(first, Tensor) and not all(_close(first, one) for one in again):
        raise OptimizerError(
            "model: gives other outputs for the same inputs, which curvature and variance"
            " reduction do not allow; turn off what draws at random (.eval())"
        )
    known.add(modes)


@torch.no_grad()
def require_mean(loss: Loss, outputs: Tensor, targets: Tensor) -> None:
    """Refuse a loss that is not the mean over samples of a loss of each.

    Parameters
    ----------
    loss
        ℓ(outputs, targets).
    outputs, targets
        Of some samples, [sample, ...].
    """
    count = len(targets)
    if is_known_mean(loss) or count < 2 or not isinstance(outputs, Tensor):
        return
    half = count // 2
    whole = loss(outputs, targets)
    parts = (loss(outputs[half:], targets[half:]), loss(outputs[:half], targets[:half]))
    mean = (parts[0] * (count - half) + parts[1] * half) / count
    if not _close(whole, mean):
        raise OptimizerError(
            f"loss: {float(whole):g} over {count} samples is not the mean of its values over parts"
            f" of them, {float(mean):g}; it must be a mean over samples (reduction mean, without"
            " class weights or ignored targets)"
        )
    try:
        _MEANS.add(loss)
    except TypeError:  # What cannot be referred to weakly is checked every time.
        return


def is_known_mean(loss: Loss) -> bool:
    """Return whether `require_mean` has found a loss to be one."""
    try:
        return loss in _MEANS
    except TypeError:
        return False


def _close(one: Tensor, other: Tensor) -> bool:
    if not one.is_floating_point():
        return torch.equal(one, other)
    allowed = torch.finfo(one.dtype).eps ** 0.5 * one.abs().max()
    # Not finite: nothing can be said, and others will say so.
    return bool(((one - other).abs().max() <= allowed) | ~torch.isfinite(one).all())
