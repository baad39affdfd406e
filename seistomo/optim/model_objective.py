"""Objectives for any PyTorch model: samples forwarded in parts, on one process or on many."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seistomo.optim.checks import (
    OptimizerError,
    facts,
    modes,
    require_count,
    require_deterministic,
    require_mean,
    require_of_outputs,
    require_one_of,
    require_open,
    require_repeatable,
)
from seistomo.optim.curvature import (
    Mode,
    NetworkAt,
    PartwiseLinearization,
    WeightedPart,
    choose_way,
    require_graph,
    require_own_weights,
    trainable,
    twice_differentiable,
)
from seistomo.optim.objective import FullGradient, Loss, Parameters, Vector
from seistomo.optim.ranks import Ranks

# Samples of a full gradient that are forwarded at once, where batches are smaller: so many, and no
# more than so many batches, whose graph fits into memory or not by the model.
FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES = 1000, 4
# What a loss was found to be; see `seistomo.optim.checks.facts`.
MEAN, NO_SUM, OF_OUTPUTS = "a mean over samples", "no sum over them", "of the outputs alone"
# Samples that a model and a loss are looked at with.
FEW = 8


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
    training_samples
        Global indices of the training set, int64 [sample]; left out: the batch.
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
        training_samples: Tensor | None = None,
        ranks: Ranks | None = None,
        jacobian_mode: Mode = "auto",
    ):
        require_one_of("jacobian_mode", jacobian_mode, ("auto", "reverse"))
        _require_place(samples, batches, batch_index)
        self.model, self.samples = model, samples
        self.training_samples = samples if training_samples is None else training_samples
        self.batch_index, self._batches = batch_index, batches
        self.batches_per_epoch = 1 if batches is None else len(batches)
        self.batch_size, self.sample_count = len(samples), len(self.training_samples)
        self.gradient_evaluations = 0.0
        self.ggn_products = 0.0
        self._given_loss, self._ell = loss, _checked(loss)
        self._ranks, self._jacobian_mode = ranks or Ranks(), jacobian_mode
        self._alike = False

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
        own, given = list(self.model.parameters()), self._given_loss
        wanted = [p for p in own if p.requires_grad] or trainable(self.model)
        if isinstance(given, nn.Module):  # It may have parameters of its own.
            wanted += [p for p in given.parameters() if p.requires_grad]
        for parameter in (*own, *wanted):
            parameter.grad = None
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
        self.gradient_evaluations += 1
        return total

    @torch.no_grad()
    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        network = NetworkAt(self.model, params)
        total = network.zeros()[0]
        for part in self._weighted_parts(self._wanted(samples)):
            total += self._part_loss(network, part)
        return self._ranks.sum([total])[0]

    def gradient(self, params: Parameters = None, samples: Tensor | None = None) -> Vector:
        return self.loss_and_gradient(params, samples)[1]

    def loss_and_gradient(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> tuple[Tensor, Vector]:
        sums = self._rank_gradient(NetworkAt(self.model, params), self._wanted(samples))
        loss, *gradient = self._ranks.sum(sums)
        return loss, tuple(gradient)

    def linearize(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> PartwiseLinearization:
        network, samples = NetworkAt(self.model, params), self._wanted(samples)
        self._look(samples, network)

        def count(kind: str) -> None:
            setattr(self, kind, getattr(self, kind) + len(samples) / self.batch_size)

        def parts() -> Iterator[WeightedPart]:
            return self._weighted_parts(samples)

        return PartwiseLinearization(
            network, self._ell, parts, self._ranks, self._jacobian_mode, count
        )

    def hessian_product(
        self, vector: Sequence[Tensor], params: Parameters = None, samples: Tensor | None = None
    ) -> Vector:
        """Return ∇²f_T v as the derivative of ∇f_Tᵀ v (Thiele et al. 2021, Eq. 13)."""
        network, samples = NetworkAt(self.model, params), self._wanted(samples)
        self._look(samples, network)
        total = network.zeros()[1:]
        with torch.enable_grad(), twice_differentiable():
            for part in self._weighted_parts(samples):
                gradient = network.derivative(self._part_loss(network, part), create_graph=True)
                slope = sum((g * v).sum() for g, v in zip(gradient, vector, strict=True))
                torch._foreach_add_(total, list(network.derivative(slope)))
        self.ggn_products += len(samples) / self.batch_size
        return self._ranks.sum(total)

    def full_gradient(self, params: Parameters = None, cache_next: int = 0) -> FullGradient:
        self._look()
        network, batches = NetworkAt(self.model, params), self._next_batches(cache_next)
        own = [self._rank_gradient(network, batch) for batch in batches]
        rest, parted = self._rest(batches)
        parts = list(zip(batches, own, strict=True)) if parted else []
        if len(rest):
            parts.append((rest, self._rank_gradient(network, rest)))
        total = network.zeros()
        for samples, sums in parts:
            torch._foreach_add_(total, sums, alpha=len(samples) / self.sample_count)
        del parts
        loss, *gradient = self._ranks.sum(total)
        own = [self._ranks.sum(sums) for sums in own]
        losses, gradients = [sums[0] for sums in own], [tuple(sums[1:]) for sums in own]
        return FullGradient(loss, tuple(gradient), losses, gradients, list(batches))

    def _rank_gradient(self, network: NetworkAt, samples: Tensor) -> list[Tensor]:
        """Return this rank's share of [loss, gradient...] over the samples."""
        total = None
        with torch.enable_grad():
            for part in self._weighted_parts(samples):
                loss = self._part_loss(network, part)
                own = [loss.detach(), *network.derivative(loss)]
                total = own if total is None else torch._foreach_add(total, own)
        self.gradient_evaluations += len(samples) / self.batch_size
        return total or network.zeros()

    def _weighted_parts(self, samples: Tensor) -> Iterator[WeightedPart]:
        if not self._alike:
            # Once a batch: what has several parts on one rank alone goes through them more often.
            # At the start of each epoch anew: its order is drawn by each rank for itself.
            self._ranks.require_alike(self.model, self.samples, anew=self.batch_index == 0)
            self._alike = True
        share = self._ranks.share(samples)
        if not len(share):
            return
        for inputs, targets in self.parts(share):
            alone = len(targets) == len(share)
            yield WeightedPart(inputs, targets, len(targets) / len(samples), alone)

    def _part_loss(self, network: Callable[[Tensor], Tensor], part: WeightedPart) -> Tensor:
        """Return the part's share of the loss; the shares add up to the mean."""
        outputs = network(part.inputs)
        if torch.is_grad_enabled() and isinstance(outputs, Tensor):
            require_graph(outputs)
        loss = self._ell(outputs, part.targets)
        if part.weight < 1:
            loss = loss * part.weight
        parted = part.weight < 1 or self.batch_size < self.sample_count
        self._require_mean(outputs, part.targets, parted)
        return loss

    def _require_mean(self, outputs: Tensor, targets: Tensor, parted: bool) -> None:
        known = facts(self.model, self._given_loss)
        if MEAN in known or (NO_SUM in known and not parted):
            return
        shown = require_mean(self._given_loss, outputs, targets, parted)
        if shown is not None:
            known.add(MEAN if shown else NO_SUM)

    @torch.no_grad()
    def _look(self, curvature_of: Tensor | None = None, network: NetworkAt | None = None) -> None:
        """Refuse a model and a loss that do not keep what is taken for granted; once for each.

        ``curvature_of`` are the samples that curvature is asked for, of the ``network``.
        """
        require_deterministic(self.model)
        known, of_loss = facts(self.model), facts(self.model, self._given_loss)
        repeatable = ("repeatable", type(self), modes(self.model))
        few = self._ranks.share(self.samples)[:FEW]
        if len(few) and repeatable not in known:
            inputs, targets = next(self.parts(few))
            fewer, their = next(self.parts(few[: (len(targets) + 1) // 2]))
            require_repeatable(self.model, inputs, len(targets), fewer, len(their))
            known.add(repeatable)
        if curvature_of is None:
            return
        derivatives = (self._jacobian_mode, modes(self.model))
        if len(few) and derivatives not in known:
            require_open(self.model)
            inputs = next(self.parts(few))[0]
            require_own_weights(network, inputs)
            if self._jacobian_mode == "auto":
                choose_way(network, inputs)
            known.add(derivatives)
        if {MEAN, OF_OUTPUTS} <= of_loss:
            return
        share = self._ranks.share(curvature_of)
        if not len(share):
            return
        count = len(curvature_of)
        parted = count < self.sample_count or len(next(self.parts(share))[1]) < count
        if {NO_SUM, OF_OUTPUTS} <= of_loss and not parted:
            return
        inputs, targets = next(self.parts(share[:FEW]))
        own = trainable(self.model)
        with torch.enable_grad():  # What the loss reads inside the model keeps its graph.
            outputs = self.model(inputs)
        if not isinstance(outputs, Tensor):
            return  # To be refused where it is used.
        if OF_OUTPUTS not in of_loss and require_of_outputs(self._ell, outputs, targets, own):
            of_loss.add(OF_OUTPUTS)
        self._require_mean(outputs, targets, parted)

    def _wanted(self, samples: Tensor | Sequence[int] | None) -> Tensor:
        if samples is None:
            return self.samples
        samples = torch.as_tensor(samples)
        if not len(samples):
            raise OptimizerError("samples: must not be empty")
        return samples

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
    samples, training_samples
        Rows of them, int64 [sample], that are the batch and the training set; left out: all.
    micro_batch
        Samples forwarded at once; left out: a batch is forwarded whole, and the rest of the
        training set in pieces of four batches up to 1,000 samples, or of a larger batch.
    **options
        Place in the epoch, and how the work is done (``batches``, ``batch_index``, ``ranks``,
        ...); see `PartwiseObjective`.

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
        training_samples: Tensor | None = None,
        micro_batch: int | None = None,
        **options: Any,
    ):
        if len(inputs) != len(targets):
            raise OptimizerError(f"{len(inputs)} inputs for {len(targets)} targets")
        if micro_batch is not None:
            require_count("micro_batch", micro_batch)
        if training_samples is None:
            training_samples = torch.arange(len(inputs))
        samples = training_samples if samples is None else samples
        super().__init__(model, loss, samples, training_samples=training_samples, **options)
        self.inputs, self.targets = inputs, targets
        self._at_once = micro_batch or samples_at_once(self.batch_size)

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
    **options: Any,
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
    **options
        ``micro_batch``, ``ranks`` and others of `ModelObjective`.
    """
    require_count("batch_size", batch_size)
    order = torch.randperm(len(inputs), generator=generator)
    groups = order.split(batch_size)[:batches]
    place = {"batches": groups, "training_samples": torch.arange(len(inputs))}
    for index, samples in enumerate(groups):
        place |= {"samples": samples, "batch_index": index}
        yield ModelObjective(model, loss, inputs, targets, **place, **options)


def samples_at_once(batch_size: int) -> int:
    """Return how many samples are forwarded at once where a batch is forwarded whole."""
    return max(batch_size, min(FULL_GRADIENT_PIECE, FULL_GRADIENT_BATCHES * batch_size))


def _require_place(samples: Tensor, batches: Sequence[Tensor] | None, batch_index: int) -> None:
    """Refuse a batch that is not the one of its number in the epoch."""
    if not len(samples):
        raise OptimizerError("samples: a batch must not be empty")
    if batches is None:
        return
    if not 0 <= batch_index < len(batches):
        raise OptimizerError(f"batch_index = {batch_index}: must be from 0 to {len(batches) - 1}")
    if batches[batch_index] is not samples and not torch.equal(batches[batch_index], samples):
        raise OptimizerError(f"samples: are not those of batches[{batch_index}] (batch_index)")


def _checked(loss: Loss) -> Loss:
    """Return the loss, which refuses what it returns where that is no scalar."""
    if not callable(loss):
        raise OptimizerError(f"loss = {loss!r}: must be a function of outputs and targets")

    def ell(outputs: Tensor, targets: Tensor) -> Tensor:
        value = loss(outputs, targets)
        if isinstance(value, Tensor) and value.ndim == 0:
            graph = torch.is_grad_enabled() and getattr(outputs, "requires_grad", False)
            if graph and not value.requires_grad:
                raise OptimizerError(
                    "loss: is detached from the outputs; leave out .item(), .detach(), no_grad"
                )
            return value
        shape = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise OptimizerError(f"loss: returns {shape}, not a scalar, the mean over the samples")

    return ell
