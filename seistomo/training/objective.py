"""The objective of training: a batch forwarded in micro-batches."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from seistomo.errors import InputError
from seistomo.optim import PartwiseObjective, Ranks
from seistomo.optim.curvature import PartwiseLinearization
from seistomo.optim.objective import Parameters, Vector
from seistomo.training.problem import Batch, Epoch, Loss

# The largest layer of a micro-batch: on CPUs what malloc hands out again without returning it to
# the system (32 MiB; above that each pass pays for fresh pages), on GPUs what keeps them busy.
LARGEST_ACTIVATION_BYTES = {"cpu": 32 * 2**20, "cuda": 2**30}
# Samples of a full gradient that are forwarded at once where a batch is: so many, and no more than
# so many batches.
FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES = 1000, 4


class BatchObjective(PartwiseObjective):
    """A training batch, forwarded in micro-batches so that any batch size fits in memory.

    Parameters
    ----------
    model
        The network.
    loss
        What is minimized: ℓ(outputs, targets), the mean over samples.
    epoch
        The epoch that the batch is part of.
    index
        Its number in it, from 0.
    batch
        The batch as it was read ahead; left out: the epoch has it at hand.
    micro_batch
        Samples forwarded at once; 0: a batch.
    ranks
        The processes that share the work; see `seistomo.optim.Ranks`.
    reported
        The loss that `reported_loss` is of, where it is another one.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        epoch: Epoch,
        index: int = 0,
        batch: Batch | None = None,
        micro_batch: int = 0,
        ranks: Ranks | None = None,
        reported: Loss | None = None,
    ):
        super().__init__(
            model,
            loss,
            epoch.batches[index],
            batches=epoch.batches,
            batch_index=index,
            training_samples=epoch.samples,
            ranks=ranks,
        )
        self._loss, self._epoch, self._batch = loss, epoch, batch
        self._micro_batch, self._reported = micro_batch, reported
        self._targets: Tensor | None = None
        self._found: Tensor | None = None

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""
        if self._reported is None:
            return super().__call__()
        sums = []

        def record(_module: nn.Module, _inputs: tuple, outputs: Tensor) -> None:
            sums.append(self._reported(outputs.detach(), self._targets) * len(outputs))

        hook = self.model.register_forward_hook(record)
        try:
            loss = super().__call__()
        finally:
            hook.remove()
        if self._found is None:
            total = loss.new_zeros(()) + sum(sums)
            self._found = self._ranks.sum([total])[0] / self.batch_size
        return loss

    def reported_loss(self) -> Tensor:
        """Return the reported loss of the first closure, else at the weights as they are now."""
        if self._found is None:
            with torch.no_grad():
                total = next(self.model.parameters()).new_zeros(())
                for part in self._weighted_parts(self.samples):
                    total += self._reported(self.model(part.inputs), part.targets) * part.weight
                self._found = self._ranks.sum([total])[0]
        return self._found

    def linearize(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> PartwiseLinearization:
        """Return loss, gradient and Gauss–Newton products; see `Objective`."""
        require_convex(self._loss)
        return super().linearize(params, samples)

    def hessian_product(
        self, vector: Sequence[Tensor], params: Parameters = None, samples: Tensor | None = None
    ) -> Vector:
        """Return ∇²f_T v; see `Objective`."""
        require_convex(self._loss)
        return super().hessian_product(vector, params, samples)

    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of one micro-batch after the other."""
        whole = len(samples) <= self.batch_size
        pieces = min(FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES * self.batch_size)
        size = self._micro_batch or (len(samples) if whole else max(self.batch_size, pieces))
        rows = None if self._batch is None else self._rows(samples)
        taken = (self._batch.take(part) for part in rows.split(size)) if rows is not None else ()
        for inputs, targets in taken or self._epoch.parts(samples, size):
            self._targets = targets
            yield inputs, targets

    def _rows(self, samples: Tensor) -> Tensor | None:
        """Return the samples' rows in the batch, or None if some are elsewhere in the epoch."""
        if samples is self.samples:
            return torch.arange(self.batch_size)
        row_of = {sample: row for row, sample in enumerate(self.samples.tolist())}
        wanted = samples.tolist()
        if all(sample in row_of for sample in wanted):
            return torch.tensor([row_of[sample] for sample in wanted])
        return None


def require_convex(loss: Loss, optimizer: str = "") -> None:
    """Refuse a loss that says it is not convex in the outputs.

    Raises
    ------
    InputError
        Because the curvature that an optimizer asks for is not defined.
    """
    if not getattr(loss, "convex", True):
        raise InputError(
            f"training.loss: is not convex in the outputs, and optimizer {optimizer or 'here'}"
            " needs curvature; use a first-order optimizer (adam, sgd, svrg), or another loss"
        )


def micro_batch_size(asked: int, largest_activation: int, device: torch.device) -> int:
    """Return how many samples to forward at once: as asked, or (0) by the largest layer's values.

    It depends on nothing but the network and the kind of device, so that a run can be repeated.
    """
    if asked:
        return asked
    budget = LARGEST_ACTIVATION_BYTES.get(device.type, LARGEST_ACTIVATION_BYTES["cpu"])
    return max(1, budget // (4 * largest_activation))
