"""The objective of training: a batch forwarded in micro-batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seistomo.errors import InputError
from seistomo.optim import FullGradient, PartwiseObjective, Ranks
from seistomo.optim.model_objective import samples_at_once
from seistomo.optim.objective import Linearization, Parameters, Vector
from seistomo.progress import warn
from seistomo.training.problem import Batch, Epoch, Loss

# The largest layer of a micro-batch: on CPUs what malloc hands out again without returning it to
# the system (32 MiB; above that each pass pays for fresh pages), on GPUs what keeps them busy.
LARGEST_ACTIVATION_BYTES = {"cpu": 32 * 2**20, "cuda": 2**30}


class BatchObjective(PartwiseObjective):
    """A training batch, forwarded in micro-batches so that any batch size fits in memory.

    Where the device's memory turns out too small, ``micro_batch`` is halved and the evaluation
    done again; an optimizer does not notice. ``index`` is the batch's number in its epoch, from 0;
    ``batch`` what was read ahead of it, if anything; a ``micro_batch`` of 0 is the whole batch;
    ``reported`` the loss that `reported_loss` is of, where it is not the one minimized.
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
        self.micro_batch = micro_batch
        self._loss, self._epoch, self._batch, self._reported = loss, epoch, batch, reported
        self._targets: Tensor | None = None
        self._found: Tensor | None = None

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""
        if self._reported is None:
            return self._within_memory(super().__call__)
        return self._within_memory(self._recorded, super().__call__)

    def _recorded(self, closure: Callable[[], Tensor]) -> Tensor:
        """Evaluate the reported loss on the way, of the outputs that are there."""
        sums = []

        def record(_module: nn.Module, _inputs: tuple, outputs: Tensor) -> None:
            sums.append(self._reported(outputs.detach(), self._targets) * len(outputs))

        hook = self.model.register_forward_hook(record)
        try:
            loss = closure()
        finally:
            hook.remove()
        if self._found is None:
            total = loss.new_zeros(()) + sum(sums)
            self._found = self._ranks.sum([total])[0] / self.batch_size
        return loss

    @torch.no_grad()
    def reported_loss(self) -> Tensor:
        """Return the reported loss of the first closure, else at the weights as they are now."""
        if self._found is None:
            total = next(self.model.parameters()).new_zeros(())
            for part in self._weighted_parts(self.samples):
                total += self._reported(self.model(part.inputs), part.targets) * part.weight
            self._found = self._ranks.sum([total])[0]
        return self._found

    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        return self._within_memory(super().loss, params, samples)

    def loss_and_gradient(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> tuple[Tensor, Vector]:
        return self._within_memory(super().loss_and_gradient, params, samples)

    def full_gradient(self, params: Parameters = None, cache_next: int = 0) -> FullGradient:
        return self._within_memory(super().full_gradient, params, cache_next)

    def linearize(self, params: Parameters = None, samples: Tensor | None = None) -> Linearization:
        require_convex(self._loss)
        linearize = super().linearize

        def make() -> Linearization:
            return self._within_memory(linearize, params, samples)

        return _Linearization(make, self._within_memory)

    def hessian_product(
        self, vector: Sequence[Tensor], params: Parameters = None, samples: Tensor | None = None
    ) -> Vector:
        require_convex(self._loss)
        return self._within_memory(super().hessian_product, vector, params, samples)

    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of one micro-batch after the other."""
        size = self.micro_batch or samples_at_once(self.batch_size)
        rows = None if self._batch is None else self._rows(samples)
        if rows is None:
            parts = self._epoch.parts(samples, size)
        else:
            parts = (self._batch.take(part) for part in rows.split(size))
        for inputs, targets in parts:
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

    def _within_memory(self, evaluate: Callable, *arguments: Any) -> Any:
        """Evaluate, with ever fewer samples at once where the device's memory does not do."""
        while True:
            try:
                return evaluate(*arguments)
            except torch.OutOfMemoryError:
                size = self.micro_batch or self.batch_size
                if size == 1:
                    raise
            # Here the error is gone, which held on to what did not fit.
            self.micro_batch = size // 2
            torch.cuda.empty_cache()
            warn(
                f"out of memory with {size} samples at once; going on with {self.micro_batch}"
                " (training.micro_batch), which changes results by rounding"
            )


class _Linearization:
    """A linearization that is made anew where memory runs out; see `Linearization`."""

    def __init__(self, make: Callable[[], Linearization], within_memory: Callable):
        self._make, self._within_memory, self._made = make, within_memory, make()

    @property
    def loss(self) -> Tensor:
        return self._within_memory(self._ask, lambda made: made.loss)

    @property
    def gradient(self) -> Vector:
        return self._within_memory(self._ask, lambda made: made.gradient)

    def product(self, vector: Sequence[Tensor]) -> Vector:
        return self._within_memory(self._ask, lambda made: made.product(vector))

    def _ask(self, question: Callable[[Linearization], Any]) -> Any:
        try:
            return question(self._made)
        except torch.OutOfMemoryError:
            self._made = self._make()
            raise


def require_convex(loss: Loss, optimizer: str = "this optimizer") -> None:
    """Refuse a loss that says it is not convex in the outputs."""
    if not getattr(loss, "convex", True):
        raise InputError(
            f"loss: is not convex in the outputs (training.ssim_weight), and {optimizer} needs"
            " curvature; use a first-order optimizer (adam, sgd, svrg), or another loss"
        )


def micro_batch_size(asked: int, largest_activation: int, device: torch.device) -> int:
    """Return how many samples to forward at once: as asked, or (0) by the largest layer's values.

    It depends on nothing but the network and the kind of device, so that a run can be repeated.
    """
    if asked:
        return asked
    budget = LARGEST_ACTIVATION_BYTES.get(device.type, LARGEST_ACTIVATION_BYTES["cpu"])
    return max(1, budget // (4 * largest_activation))
