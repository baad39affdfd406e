"""An objective whose samples are forwarded in parts, on one process or on many."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from seistomo.optim.assumptions import is_known_mean, require_mean, require_repeatable
from seistomo.optim.curvature import Mode, PartwiseLinearization, WeightedPart
from seistomo.optim.errors import OptimizerError
from seistomo.optim.network_at import (
    NetworkAt,
    require_deterministic,
    trainable,
    twice_differentiable,
)
from seistomo.optim.objective import FullGradient, Loss, Parameters, Vector
from seistomo.optim.options import require_one_of
from seistomo.optim.ranks import Ranks


class PartwiseObjective(ABC):
    """An objective whose samples come in parts that are forwarded one after the other.

    Whatever the parts and the ranks, losses, gradients and products are those of all the
    samples together, up to rounding. A subclass says what the parts are; see `Objective` for
    the methods.

    Parameters
    ----------
    model
        The network h.
    loss
        ℓ(outputs, targets): a scalar, the mean over the samples given.
    samples
        Global indices of the batch's samples, int64 [sample].
    batches
        The epoch's batches, in order, as global indices; left out: this one alone is known.
    batch_index
        This batch's number within its epoch, from 0.
    batches_per_epoch
        Left out: as many as ``batches``.
    training_samples
        Global indices of the training set, int64 [sample]; left out: the batch.
    sample_count
        Samples in the training set, where it is larger than what the objective can reach.
    ranks
        The processes that share the work; left out: all of ``torch.distributed``, where it is
        initialized.
    jacobian_mode
        How Gauss–Newton products differentiate: see `seistomo.optim.curvature`.

    Raises
    ------
    OptimizerError
        If ``loss`` is no function, and when it is used, if it returns no scalar.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        samples: Tensor,
        *,
        batches: Sequence[Tensor] | None = None,
        batch_index: int = 0,
        batches_per_epoch: int | None = None,
        training_samples: Tensor | None = None,
        sample_count: int | None = None,
        ranks: Ranks | None = None,
        jacobian_mode: Mode = "auto",
    ):
        require_one_of("jacobian_mode", jacobian_mode, ("auto", "forward", "reverse"))
        _require_place(samples, batches, batch_index)
        self.model, self.samples = model, samples
        self.training_samples = samples if training_samples is None else training_samples
        self.batch_index, self._batches = batch_index, batches
        known = 1 if batches is None else len(batches)
        self.batches_per_epoch = known if batches_per_epoch is None else batches_per_epoch
        self.batch_size = len(samples)
        self.sample_count = len(self.training_samples) if sample_count is None else sample_count
        self.gradient_evaluations = 0.0
        self.ggn_products = 0.0
        self._given_loss, self._ell = loss, _checked(loss)
        self._ranks, self._jacobian_mode = ranks or Ranks(), jacobian_mode

    @abstractmethod
    def parts(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the samples, part after part, each at least one sample.

        Parameters
        ----------
        samples
            Global indices, int64 [sample], not empty: this batch's, or any of the training set.
        """

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""
        for parameter in self.model.parameters():
            parameter.grad = None
        wanted = trainable(self.model)
        total = wanted[0].new_zeros(())
        with torch.enable_grad():
            for part in self._weighted_parts(self.samples):
                loss = self._part_loss(self.model, part)
                loss.backward()
                total += loss.detach()
        if self._ranks.count > 1:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in wanted]
            total, *gradients = self._ranks.sum([total, *gradients])
            for parameter, gradient in zip(wanted, gradients, strict=True):
                parameter.grad = gradient
        self._count_gradient(self.batch_size)
        return total

    @torch.no_grad()
    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        """Return the loss alone, a scalar without a graph; see `Objective`."""
        network = NetworkAt(self.model, params)
        total = network.zeros()[0]
        for part in self._weighted_parts(self._wanted(samples)):
            total += self._part_loss(network, part)
        return self._ranks.sum([total])[0]

    def gradient(self, params: Parameters = None, samples: Tensor | None = None) -> Vector:
        """Return the gradient with respect to ``params``, in their order; see `Objective`."""
        return self.loss_and_gradient(params, samples)[1]

    def loss_and_gradient(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> tuple[Tensor, Vector]:
        """Return loss and gradient from one pass; see `Objective`."""
        samples = self._wanted(samples)
        sums = self._rank_gradient(NetworkAt(self.model, params), samples)
        loss, *gradient = self._ranks.sum(sums)
        return loss, tuple(gradient)

    def linearize(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> PartwiseLinearization:
        """Return loss, gradient and Gauss–Newton products; see `Objective`."""
        self._require_repeatable()
        samples = self._wanted(samples)
        self._require_mean(samples)

        def count(kind: str) -> None:
            setattr(self, kind, getattr(self, kind) + len(samples) / self.batch_size)

        return PartwiseLinearization(
            NetworkAt(self.model, params),
            self._ell,
            lambda: self._weighted_parts(samples),
            self._ranks,
            self._jacobian_mode,
            count,
        )

    def hessian_product(
        self,
        vector: Sequence[Tensor],
        params: Parameters = None,
        samples: Tensor | None = None,
    ) -> Vector:
        """Return ∇²f_T v as the derivative of ∇f_Tᵀ v (Thiele et al. 2021, Eq. 13)."""
        self._require_repeatable()
        network, samples = NetworkAt(self.model, params), self._wanted(samples)
        total = network.zeros()[1:]
        with torch.enable_grad(), twice_differentiable():
            for part in self._weighted_parts(samples):
                gradient = network.derivative(self._part_loss(network, part), create_graph=True)
                slope = sum((g * v).sum() for g, v in zip(gradient, vector, strict=True))
                torch._foreach_add_(total, list(network.derivative(slope)))
        self.ggn_products += len(samples) / self.batch_size
        return self._ranks.sum(total)

    def full_gradient(self, params: Parameters = None, cache_next: int = 0) -> FullGradient:
        """Return the gradient over the training set; see `Objective`.

        Raises
        ------
        OptimizerError
            If the objective cannot reach the whole training set, or the epoch ends before
            ``cache_next`` batches.
        """
        self._require_repeatable()
        self._require_whole_training_set()
        network = NetworkAt(self.model, params)
        batches = self._next_batches(cache_next)
        own = [self._rank_gradient(network, batch) for batch in batches]
        rest, parted = self._rest(batches)
        total = network.zeros()
        for batch, sums in zip(batches, own, strict=True):
            if parted:
                torch._foreach_add_(total, sums, alpha=len(batch) / self.sample_count)
        if len(rest):
            sums = self._rank_gradient(network, rest)
            torch._foreach_add_(total, sums, alpha=len(rest) / self.sample_count)
        loss, *gradient = self._ranks.sum(total)
        own = [self._ranks.sum(sums) for sums in own]
        return FullGradient(
            loss,
            tuple(gradient),
            [sums[0] for sums in own],
            [tuple(sums[1:]) for sums in own],
            list(batches),
        )

    def _rank_gradient(self, network: NetworkAt, samples: Tensor) -> list[Tensor]:
        """Return this rank's share of [loss, gradient...] over the samples."""
        total = network.zeros()
        with torch.enable_grad():
            for part in self._weighted_parts(samples):
                loss = self._part_loss(network, part)
                torch._foreach_add_(total, [loss.detach(), *network.derivative(loss)])
        self._count_gradient(len(samples))
        return total

    def _weighted_parts(self, samples: Tensor) -> Iterator[WeightedPart]:
        # At the start of each epoch anew: its order is drawn by each rank for itself.
        anew = samples is self.samples and self.batch_index == 0
        self._ranks.require_alike(self.model, samples, anew)
        share = self._ranks.share(samples)
        if not len(share):
            return
        for inputs, targets in self.parts(share):
            alone = len(targets) == len(share)
            yield WeightedPart(inputs, targets, len(targets) / len(samples), alone)

    def _part_loss(self, network: Callable[[Tensor], Tensor], part: WeightedPart) -> Tensor:
        """Return the part's share of the loss; the shares add up to the mean."""
        outputs = network(part.inputs)
        loss = self._ell(outputs, part.targets) * part.weight
        if part.weight < 1 or self.batch_size < self.sample_count:
            require_mean(self._given_loss, outputs, part.targets)
        return loss

    def _require_repeatable(self) -> None:
        require_deterministic(self.model)
        few = self._ranks.share(self.samples)[:8]
        if len(few):
            require_repeatable(self.model, lambda: next(self.parts(few))[0])

    @torch.no_grad()
    def _require_mean(self, samples: Tensor) -> None:
        """Refuse a loss that is no mean, where curvature is of some samples or taken in parts."""
        share = self._ranks.share(samples)
        if is_known_mean(self._given_loss) or not len(share):
            return
        _, first = next(iter(self.parts(share)))
        if len(first) < len(samples) or len(samples) < self.sample_count:
            inputs, targets = next(iter(self.parts(share[:8])))
            outputs = self.model(inputs)
            self._ell(outputs, targets)  # Refuses what is no scalar.
            require_mean(self._given_loss, outputs, targets)

    def _wanted(self, samples: Tensor | Sequence[int] | None) -> Tensor:
        if samples is None:
            return self.samples
        samples = torch.as_tensor(samples)
        if not len(samples):
            raise OptimizerError("samples: must not be empty")
        return samples

    def _count_gradient(self, samples: int) -> None:
        self.gradient_evaluations += samples / self.batch_size

    def _next_batches(self, count: int) -> Sequence[Tensor]:
        if count == 0:
            return []
        known = [self.samples] if self._batches is None else self._batches[self.batch_index :]
        if count > len(known):
            raise OptimizerError(
                f"gradients of the next {count} batches: the objective knows {len(known)} from"
                f" batch {self.batch_index + 1} of {self.batches_per_epoch} on"
            )
        return known[:count]

    def _rest(self, batches: Sequence[Tensor]) -> tuple[Tensor, bool]:
        """Return the training samples outside the batches, if each lies in one batch at most.

        Else, as with batches drawn with replacement, all the training samples and False: then
        the batches' gradients do not add up to part of the full one.
        """
        if not batches:
            return self.training_samples, True
        inside = torch.cat(list(batches))
        outside = ~torch.isin(self.training_samples, inside)
        if int(outside.sum()) + len(inside) == self.sample_count:
            return self.training_samples[outside], True
        return self.training_samples, False

    def _require_whole_training_set(self) -> None:
        if self.sample_count != len(self.training_samples):
            raise OptimizerError(
                f"full gradient: the objective reaches {len(self.training_samples)} of"
                f" {self.sample_count} training samples; give it the whole training set, or turn"
                " variance reduction off"
            )


def _require_place(samples: Tensor, batches: Sequence[Tensor] | None, batch_index: int) -> None:
    """Refuse a batch that is not the one of its number in the epoch."""
    if not len(samples):
        raise OptimizerError("samples: a batch must not be empty")
    if batches is None:
        return
    if not 0 <= batch_index < len(batches):
        raise OptimizerError(
            f"batch_index = {batch_index}: must be from 0 to {len(batches) - 1}, a number among the"
            " batches"
        )
    if batches[batch_index] is not samples and not torch.equal(batches[batch_index], samples):
        raise OptimizerError(
            f"samples: are not those of batches[{batch_index}]; give the batch's number as"
            " batch_index"
        )


def _checked(loss: Loss) -> Loss:
    """Return the loss, which refuses what it returns where that is no scalar."""
    if not callable(loss):
        raise OptimizerError(
            f"loss = {loss!r}: must be a function of outputs and targets that returns a scalar,"
            " the mean over the samples"
        )

    def ell(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        if isinstance(value, Tensor) and value.ndim == 0:
            return value
        shape = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise OptimizerError(f"loss: returns {shape}, not a scalar, the mean over the samples")

    return ell
