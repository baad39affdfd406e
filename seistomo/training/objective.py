"""The objective of training: a batch forwarded in micro-batches."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seistomo.optim import PartwiseObjective, Ranks
from seistomo.training.data import Batch, EpochData

# The largest layer of a micro-batch: on CPUs what malloc hands out again without returning it to
# the system (32 MiB; above that each pass pays for fresh pages), on GPUs what keeps them busy.
LARGEST_ACTIVATION_BYTES = {"cpu": 32 * 2**20, "cuda": 2**30}


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error, summed over outputs and averaged over samples.

    Thiele et al. (2021), Eq. 9, in squared scaled units: times ``VelocityScaling.span``² it is
    in (m/s)².

    Parameters
    ----------
    outputs, targets
        Scaled velocity [sample, depth, x].
    """
    return (outputs - targets).square().sum() / len(outputs)


class BatchObjective(PartwiseObjective):
    """A training batch, forwarded in micro-batches so that any batch size fits in memory.

    Parameters
    ----------
    model
        The network.
    batch
        The samples.
    micro_batch
        Samples forwarded at once; 0: a batch.
    epoch
        The epoch that the batch is part of; left out: the batch is all there is.
    batch_index
        The batch's number within the epoch, from 0.
    ranks
        The processes that share the work; see `seistomo.optim.Ranks`.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        micro_batch: int = 0,
        epoch: EpochData | None = None,
        batch_index: int = 0,
        ranks: Ranks | None = None,
    ):
        super().__init__(
            model,
            squared_error,
            batch.samples,
            batches=epoch.batches if epoch else None,
            batch_index=batch_index,
            training_samples=epoch.samples if epoch else None,
            ranks=ranks,
        )
        self._batch, self._epoch = batch, epoch
        self._micro_batch = micro_batch or self.batch_size

    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of one micro-batch after the other."""
        rows = self._rows(samples)
        if rows is None:
            yield from self._epoch.parts(samples, self._micro_batch)
            return
        for part in rows.split(self._micro_batch):
            yield self._batch.take(part)

    def _rows(self, samples: Tensor) -> Tensor | None:
        """Return the samples' rows in the batch, or None if some are elsewhere in the epoch."""
        if samples is self.samples:
            return torch.arange(self.batch_size)
        row_of = {sample: row for row, sample in enumerate(self.samples.tolist())}
        wanted = samples.tolist()
        if all(sample in row_of for sample in wanted):
            return torch.tensor([row_of[sample] for sample in wanted])
        if self._epoch is None:
            missing = next(sample for sample in wanted if sample not in row_of)
            raise ValueError(f"sample {missing} is not in this batch")
        return None


def micro_batch_size(asked: int, largest_activation: int, device: torch.device) -> int:
    """Return how many samples to forward at once.

    Parameters
    ----------
    asked
        ``training.micro_batch``; 0: by the size of the largest layer. It depends on nothing but
        the network and the kind of device, so that a run can be repeated.
    largest_activation
        Values a sample in the network's largest layer.
    device
        Where the network is.
    """
    if asked:
        return asked
    budget = LARGEST_ACTIVATION_BYTES.get(device.type, LARGEST_ACTIVATION_BYTES["cpu"])
    return max(1, budget // (4 * largest_activation))
