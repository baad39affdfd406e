"""The processes that share one problem, one rank each."""

from collections.abc import Sequence

import torch.distributed as dist
from torch import Tensor

from seistomo.optim.vectors import flatten, unflatten


class Ranks:
    """Processes of ``torch.distributed`` that each take a share of every batch.

    All ranks hold the same weights and ask for the same samples; each computes its share, and
    the sums are the same on every rank.

    Parameters
    ----------
    group
        The process group; left out: all processes, where ``torch.distributed`` is initialized,
        else this process alone.

    Attributes
    ----------
    rank, count
        This process's number, from 0, and the number of processes.
    """

    def __init__(self, group: dist.ProcessGroup | None = None):
        self._group = group
        started = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank(group) if started else 0
        self.count = dist.get_world_size(group) if started else 1

    def share(self, samples: Tensor) -> Tensor:
        """Return this rank's share of the samples, int64 [sample]; it may be empty."""
        return samples if self.count == 1 else samples[self.rank :: self.count]

    def sum(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the tensors, summed over the ranks in one message."""
        if self.count == 1:
            return tuple(tensors)
        message = flatten(tensors)
        dist.all_reduce(message, group=self._group)
        return unflatten(message, tensors)
