"""Which samples make each batch: drawn anew each epoch, of a size that may grow."""

import numpy as np
import torch

from seistomo.config import Config
from seistomo.config.training import TrainingConfig
from seistomo.errors import InputError
from seistomo.optim import options_in_effect


def batch_size(settings: TrainingConfig, epoch: int, samples: int) -> int:
    """Return how many samples a batch of an epoch has at most.

    ``training.batch_doublings`` cut the epochs into equal parts, one more than themselves; from
    one part to the next the size doubles, up to the whole training split.

    Parameters
    ----------
    settings
        The run's.
    epoch
        From 0.
    samples
        In the training split.
    """
    part = min(epoch, settings.epochs - 1) * (settings.batch_doublings + 1) // settings.epochs
    return min(settings.batch_size << part, samples)


def batch_count(settings: TrainingConfig, epoch: int, samples: int) -> int:
    """Return how many batches an epoch has; parameters as in `batch_size`."""
    return -(-samples // batch_size(settings, epoch, samples))


def batch_counts(settings: TrainingConfig, samples: int, first: int = 0) -> list[int]:
    """Return the batches of each epoch from ``first`` on, counted from 0."""
    return [batch_count(settings, epoch, samples) for epoch in range(first, settings.epochs)]


def check_interval(config: Config, optimizer: torch.optim.Optimizer, samples: int) -> None:
    """Refuse a ``full_gradient_interval`` that epochs of larger batches are too short for.

    Its optimizer would refuse it too, but not before that epoch.

    Raises
    ------
    InputError
        Naming the first epoch whose batches the interval does not divide.
    """
    name = "full_gradient_interval"
    interval = options_in_effect(optimizer, config.optimizer.options).get(name)
    doublings = config.training.batch_doublings
    if not doublings or not isinstance(interval, int):
        return
    counts = batch_counts(config.training, samples)
    for epoch, count in enumerate(counts):
        # Where it does not divide the first epoch either, that is the optimizer's to say.
        if count % interval and not counts[0] % interval:
            batches = "1 batch" if count == 1 else f"{count} batches"
            raise InputError(
                f"optimizer.options.{name} = {interval}: with training.batch_doublings ="
                f" {doublings} epoch {epoch + 1} has {batches},"
                ' which it does not divide; use "epoch" or fewer doublings'
            )


def batch_groups(seed: int, epoch: int, samples: int, batch_size: int) -> list[np.ndarray]:
    """Return the rows of each batch of one epoch, drawn without replacement.

    The order depends on (seed, epoch) alone. An epoch is cut into the fewest batches of at most
    ``batch_size`` samples, equal up to one sample: no small last batch makes a noisy step.
    """
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return np.array_split(order, -(-samples // batch_size))
