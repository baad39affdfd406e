"""The objective of training: a batch forwarded in micro-batches."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seistomo.optim import PartwiseObjective
from seistomo.training.data import Batch

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
        Samples forwarded at once; 0: all.
    batch_index, batches_per_epoch, sample_count
        Place in the epoch and size of the training set; see `seistomo.optim.Objective`.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        micro_batch: int = 0,
        batch_index: int = 0,
        batches_per_epoch: int = 1,
        sample_count: int | None = None,
    ):
        super().__init__(
            model, squared_error, batch.samples, batch_index, batches_per_epoch, sample_count
        )
        self._batch, self._micro_batch = batch, micro_batch or self.batch_size

    def parts(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of one micro-batch after the other."""
        for part in rows.split(self._micro_batch):
            yield self._batch.take(part)


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
