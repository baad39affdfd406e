"""Which samples make each batch: drawn anew each epoch, of a size that may grow."""

import numpy as np
import torch
from numpy.typing import NDArray

from seistomo.config import LoopConfig
from seistomo.errors import InputError
from seistomo.optim import options_in_effect


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
    """Refuse a ``full_gradient_interval`` that epochs of larger batches are too short for.

    Its optimizer would refuse it too, but not before that epoch.
    """
    name = "full_gradient_interval"
    interval = options_in_effect(optimizer, options).get(name)
    if not settings.batch_doublings or not isinstance(interval, int):
        return
    counts = [batch_count(settings, epoch, samples) for epoch in range(settings.epochs)]
    for epoch, count in enumerate(counts):
        # Where it does not divide the first epoch either, that is the optimizer's to say.
        if count % interval and not counts[0] % interval:
            batches = "1 batch" if count == 1 else f"{count} batches"
            raise InputError(
                f"optimizer.options.{name} = {interval}: with training.batch_doublings ="
                f" {settings.batch_doublings} epoch {epoch + 1} has {batches},"
                ' which it does not divide; use "epoch" or fewer doublings'
            )
