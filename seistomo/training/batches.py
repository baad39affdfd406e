"""Which samples make each batch: drawn anew each epoch, of a size that may grow."""

import numpy as np
import torch
from numpy.typing import NDArray

from seistomo.config import LoopConfig
from seistomo.errors import InputError
from seistomo.optim import OptimizerError, options_in_effect
from seistomo.optim.svrg import steps_between


def batch_size(settings: LoopConfig, epoch: int, samples: int) -> int:
    """Return how many samples a batch of an epoch, from 0, has at most.

    ``training.batch_doublings`` cut the epochs into equal parts, one more than themselves; from
    one part to the next the size doubles, up to the whole training split of so many samples.
    """
    part = min(epoch, settings.epochs - 1) * (settings.batch_doublings + 1) // settings.epochs
    return min(settings.batch_size << part, samples)


def batch_count(settings: LoopConfig, epoch: int, samples: int) -> int:
    """Return how many batches an epoch has."""
    every = -(-samples // batch_size(settings, epoch, samples))
    return min(settings.batches_per_epoch or every, every)


def samples_drawn(settings: LoopConfig, epoch: int, samples: int) -> int:
    """Return how many samples the batches of an epoch have together."""
    sizes = batch_size(settings, epoch, samples) * batch_count(settings, epoch, samples)
    return min(samples, sizes)


def epoch_groups(settings: LoopConfig, epoch: int, samples: int) -> list[NDArray[np.int64]]:
    """Return the rows of each batch of an epoch, drawn without replacement.

    The order depends on (seed, epoch) alone. An epoch over all samples is cut into the fewest
    batches, equal up to one sample: no small last batch makes a noisy step. With fewer
    ``training.batches_per_epoch`` all are whole, and the other samples are left out.
    """
    size, count = batch_size(settings, epoch, samples), batch_count(settings, epoch, samples)
    order = np.random.default_rng([settings.seed, epoch]).permutation(samples)
    return np.array_split(order[: size * count], count)


def check_interval(
    settings: LoopConfig, optimizer: torch.optim.Optimizer, options: dict, samples: int
) -> None:
    """Refuse a ``full_gradient_interval`` that does not divide an epoch, be it a later one.

    Its optimizer would refuse it too, but not before that epoch.
    """
    interval = options_in_effect(optimizer, options).get("full_gradient_interval")
    if not isinstance(interval, int):
        return
    for epoch in range(settings.epochs if settings.batch_doublings else 1):
        try:
            steps_between(interval, batch_count(settings, epoch, samples))
        except OptimizerError as error:
            size = batch_size(settings, epoch, samples)
            raise InputError(
                f"optimizer.options.{error}; epoch {epoch + 1} has {samples} samples in batches of"
                f" {size} (training.batch_size, batch_doublings)"
            ) from None
