"""The objective of training: a batch forwarded in micro-batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seistomo.errors import InputError
from seistomo.optim import OptimizerError, PartwiseObjective, Ranks
from seistomo.optim.curvature import PartwiseLinearization
from seistomo.optim.objective import Parameters, Vector
from seistomo.training.data import Batch, EpochData
from seistomo.training.losses import StructuralLoss, squared_error

# The largest layer of a micro-batch: on CPUs what malloc hands out again without returning it to
# the system (32 MiB; above that each pass pays for fresh pages), on GPUs what keeps them busy.
LARGEST_ACTIVATION_BYTES = {"cpu": 32 * 2**20, "cuda": 2**30}


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
    structural
        What is minimized in place of the squared error; left out: that.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        micro_batch: int = 0,
        epoch: EpochData | None = None,
        batch_index: int = 0,
        ranks: Ranks | None = None,
        structural: StructuralLoss | None = None,
    ):
        super().__init__(
            model,
            structural or squared_error,
            batch.samples,
            batches=epoch.batches if epoch else None,
            batch_index=batch_index,
            training_samples=epoch.samples if epoch else None,
            ranks=ranks,
        )
        self._batch, self._epoch = batch, epoch
        self._micro_batch = micro_batch or self.batch_size
        self._structural = structural
        self._published: Tensor | None = None

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""
        if self._structural is None:
            loss = super().__call__()
            errors = loss
        else:
            with self._structural.recording() as recorded:
                loss = super().__call__()
            errors = self._ranks.sum([loss.new_zeros(()) + sum(recorded)])[0] / self.batch_size
        if self._published is None:
            self._published = errors
        return loss

    @property
    def published_loss(self) -> Tensor:
        """The batch's squared error (Eq. 9, scaled units), of the first closure or `measure`.

        Raises
        ------
        InputError
            Before either.
        """
        if self._published is None:
            raise InputError(
                'training.loss = "mse+ssim": needs an optimizer that calls its step\'s closure'
            )
        return self._published

    @torch.no_grad()
    def measure(self) -> None:
        """Find the published loss at the present weights by a forward pass of its own."""
        total = next(self.model.parameters()).new_zeros(())
        for part in self._weighted_parts(self.samples):
            total += squared_error(self.model(part.inputs), part.targets) * part.weight
        self._published = self._ranks.sum([total])[0]

    def linearize(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> PartwiseLinearization:
        """Return loss, gradient and Gauss–Newton products; see `Objective`."""
        self._require_convex()
        return super().linearize(params, samples)

    def hessian_product(
        self, vector: Sequence[Tensor], params: Parameters = None, samples: Tensor | None = None
    ) -> Vector:
        """Return ∇²f_T v; see `Objective`."""
        self._require_convex()
        return super().hessian_product(vector, params, samples)

    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of one micro-batch after the other."""
        rows = self._rows(samples)
        if rows is None:
            yield from self._epoch.parts(samples, self._micro_batch)
            return
        for part in rows.split(self._micro_batch):
            yield self._batch.take(part)

    def _require_convex(self) -> None:
        if self._structural is not None:
            raise OptimizerError(
                "training.loss: structural similarity is not convex in the outputs, so the"
                " curvature that this optimizer asks for is not defined"
            )

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
