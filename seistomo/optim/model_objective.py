"""Objectives for any PyTorch model and a training set held in memory."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seistomo.optim.curvature import Mode
from seistomo.optim.errors import OptimizerError
from seistomo.optim.objective import Loss
from seistomo.optim.options import require_count
from seistomo.optim.partwise import PartwiseObjective
from seistomo.optim.ranks import Ranks

# Samples of a full gradient that are forwarded at once, where batches are smaller: so many, and no
# more than so many batches, whose graph fits into memory or not by the model.
FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES = 1000, 4


class ModelObjective(PartwiseObjective):
    """A batch of a training set held in memory: all that a model of one's own needs.

    Parameters
    ----------
    model
        Any PyTorch model.
    loss
        ℓ(outputs, targets): a scalar, the mean over the samples.
    inputs, targets
        The training set, [sample, ...], on the model's device; where an optimizer needs no more
        than the batch, the batch alone.
    samples
        The batch's rows of them, int64 [sample]; left out: all.
    batches, batch_index, batches_per_epoch, sample_count, ranks, jacobian_mode
        Place in the epoch, and how the work is done; see `PartwiseObjective`.
    micro_batch
        Samples forwarded at once; left out: a batch is forwarded whole, and the rest of the
        training set in pieces of four batches up to 1,000 samples, or of a larger batch.

    Examples
    --------
    >>> model = torch.nn.Linear(3, 1)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> loss = torch.nn.functional.mse_loss
    >>> objective = ModelObjective(model, loss, torch.zeros(8, 3), torch.zeros(8, 1))
    >>> value = optimizer.step(objective)
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        inputs: Tensor,
        targets: Tensor,
        *,
        samples: Tensor | None = None,
        batches: Sequence[Tensor] | None = None,
        batch_index: int = 0,
        batches_per_epoch: int | None = None,
        sample_count: int | None = None,
        micro_batch: int | None = None,
        ranks: Ranks | None = None,
        jacobian_mode: Mode = "auto",
    ):
        if len(inputs) != len(targets):
            raise OptimizerError(f"{len(inputs)} inputs for {len(targets)} targets")
        if micro_batch is not None:
            require_count("micro_batch", micro_batch)
        everything = torch.arange(len(inputs))
        super().__init__(
            model,
            loss,
            everything if samples is None else samples,
            batches=batches,
            batch_index=batch_index,
            batches_per_epoch=batches_per_epoch,
            training_samples=everything,
            sample_count=sample_count,
            ranks=ranks,
            jacobian_mode=jacobian_mode,
        )
        self.inputs, self.targets = inputs, targets
        piece = min(FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES * self.batch_size)
        self._at_once = micro_batch or max(self.batch_size, piece)

    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the samples; see `PartwiseObjective.parts`."""
        if len(samples) == len(self.inputs) <= self._at_once and torch.equal(
            samples, self.training_samples
        ):
            yield self.inputs, self.targets
            return
        # One transfer for all parts: on a GPU each waits for the work before it.
        for rows in samples.to(self.targets.device).split(self._at_once):
            yield self.inputs[rows], self.targets[rows]


def epoch_objectives(
    model: nn.Module,
    loss: Loss,
    inputs: Tensor,
    targets: Tensor,
    batch_size: int,
    generator: torch.Generator | None = None,
    *,
    batches: int | None = None,
    first: int = 0,
    micro_batch: int | None = None,
    ranks: Ranks | None = None,
    jacobian_mode: Mode = "auto",
) -> Iterator[ModelObjective]:
    """Yield the objectives of one epoch: batches drawn without replacement.

    Parameters
    ----------
    model, loss, inputs, targets
        The problem, on its whole training set; see `ModelObjective`.
    batch_size
        Samples in a batch; the last batch may be smaller.
    generator
        Draws the order of the samples, on the CPU; left out: torch's global one.
    batches
        Batches in the epoch; left out: as many as it takes to see every sample once.
    first
        Number of the batch to begin with, from 0: for an epoch that was interrupted. The
        generator must be as it was at the start of that epoch.
    micro_batch, ranks, jacobian_mode
        See `ModelObjective`.
    """
    require_count("batch_size", batch_size)
    order = torch.randperm(len(inputs), generator=generator)
    groups = order.split(batch_size)[:batches]
    for index in range(first, len(groups)):
        yield ModelObjective(
            model,
            loss,
            inputs,
            targets,
            samples=groups[index],
            batches=groups,
            batch_index=index,
            micro_batch=micro_batch,
            ranks=ranks,
            jacobian_mode=jacobian_mode,
        )
