"""Objectives over a ``DataLoader``, whose full gradient runs over all of its data set."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler

from seistomo.optim.checks import OptimizerError
from seistomo.optim.model_objective import PartwiseObjective, samples_at_once
from seistomo.optim.objective import Loss


class LoaderObjective(PartwiseObjective):
    """A batch of a loader's data set, read when it is asked for; see `loader_objectives`."""

    def __init__(
        self, model: nn.Module, loss: Loss, loader: DataLoader, samples: Tensor, **options: Any
    ):
        super().__init__(model, loss, samples, **options)
        self._loader = loader
        self._own: list[tuple[Any, Tensor]] | None = None  # the batch, once it was read

    def parts(self, samples: Tensor) -> Iterator[tuple[Any, Tensor]]:
        """Yield inputs and targets of the samples; see `PartwiseObjective.parts`."""
        if samples is not self.samples:
            yield from self._read(samples)
            return
        if self._own is None:
            self._own = list(self._read(samples))
        yield from self._own

    def _read(self, samples: Tensor) -> Iterator[tuple[Any, Tensor]]:
        device = next(self.model.parameters()).device
        for rows in samples.split(samples_at_once(self.batch_size)):
            inputs, targets = self._loader.collate_fn(
                [self._loader.dataset[row] for row in rows.tolist()]
            )
            yield inputs.to(device), targets.to(device)


def loader_objectives(
    model: nn.Module, loss: Loss, loader: DataLoader, **options: Any
) -> Iterator[LoaderObjective]:
    """Yield the objectives of one epoch, in place of ``for inputs, targets in loader``.

    The batches are those that the loader draws. Samples are read in this process, not by the
    loader's workers, and must be the same whenever they are read. The training set is the whole
    data set; under a sampler that is not torch's random or sequential one, what it draws in the
    epoch.

    Parameters
    ----------
    model, loss
        The problem; see `PartwiseObjective`.
    loader
        Its data set has an index, its ``collate_fn`` makes pairs of inputs and targets, tensors
        [sample, ...].
    **options
        ``ranks`` and others of `PartwiseObjective`.

    Raises
    ------
    OptimizerError
        For a data set without an index, or a loader without batches.
    """
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise OptimizerError("loader: needs a data set with an index, and a batch size")
    batches = [torch.as_tensor(batch) for batch in loader.batch_sampler]
    sampler = getattr(loader.batch_sampler, "sampler", None)
    if isinstance(sampler, RandomSampler | SequentialSampler):
        training_samples = torch.arange(len(loader.dataset))
    else:
        training_samples = torch.cat(batches).unique()
    for index, samples in enumerate(batches):
        place = {"batches": batches, "batch_index": index, "training_samples": training_samples}
        yield LoaderObjective(model, loss, loader, samples, **place, **options)
