"""The processes that share one problem, one rank each."""

import weakref
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seistomo.optim.checks import OptimizerError
from seistomo.optim.objective import flatten, unflatten

_ALIKE: weakref.WeakSet[nn.Module] = weakref.WeakSet()


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

    def require_alike(self, model: nn.Module, samples: Tensor, anew: bool = False) -> None:
        """Refuse ranks that hold other weights, or ask for other samples, than the others.

        Weights are looked at once a model: after that, equal steps keep them equal. So are
        samples, and wherever they are to be looked at ``anew``.
        """
        known = model in _ALIKE
        if self.count == 1 or (known and not anew):
            return
        places = torch.arange(1, len(samples) + 1, dtype=torch.float64)
        parameters = () if known else model.parameters()
        sums = [parameter.detach().double().sum().cpu() for parameter in parameters]
        own = torch.stack([*sums, samples.double().cpu().dot(places)])
        extremes = torch.cat([own, -own]).to(next(model.parameters()).device)
        dist.all_reduce(extremes, op=dist.ReduceOp.MAX, group=self._group)
        highest, lowest = extremes.chunk(2)
        different = (highest != -lowest).tolist()
        if any(different):
            what = "weights" if any(different[:-1]) else "samples"
            raise OptimizerError(
                f"ranks: have different {what}; start them all with the same weights, and let each"
                " ask for the whole batch, in the same order"
            )
        _ALIKE.add(model)

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
