"""One mini-batch of a learning problem, as an optimizer sees it.

An objective is f_S(w) = mean over the samples of a batch S of ℓ(h(w; x), y): network h, loss ℓ,
weights w. It is itself a torch closure, so ``torch.optim.Adam(...).step(objective)`` works.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

Loss = Callable[[Tensor, Tensor], Tensor]
Parameters = Mapping[Tensor, Tensor] | Sequence[Tensor] | None


class Objective(Protocol):
    """What an optimizer may ask of a mini-batch.

    ``params`` says which parameters are meant, and at which values:

    - left out: all trainable parameters of the model, in its order, at their present values;
    - a sequence of parameters (an optimizer's own, in its own order): these, at their present
      values;
    - a mapping from parameters to tensors: these parameters, in the mapping's order, at the
      values of the tensors. The model itself stays as it is.

    ``samples`` are global sample indices out of this batch; left out: the whole batch.

    Attributes
    ----------
    batch_index, batches_per_epoch
        Number of this batch within its epoch, from 0, and of the batches in an epoch.
    batch_size, sample_count
        Samples in this batch, and in the whole training set.
    samples
        Global indices of the batch's samples, int64 [sample].
    gradient_evaluations, ggn_products
        Gradients and Gauss–Newton products of the batch computed so far.
    """

    batch_index: int
    batches_per_epoch: int
    batch_size: int
    sample_count: int
    samples: Tensor
    gradient_evaluations: int
    ggn_products: int

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""

    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        """Return the loss alone, a scalar without a graph."""

    def gradient(self, params: Parameters = None) -> tuple[Tensor, ...]:
        """Return the gradient with respect to ``params``, one tensor each, in their order."""


class PartwiseObjective(ABC):
    """An objective whose batch comes in parts that are forwarded one after the other.

    Whatever the parts, losses and gradients are those of the whole batch up to rounding. A
    subclass says what the parts are; see `Objective` for the methods.

    Parameters
    ----------
    model
        The network h.
    loss
        ℓ(outputs, targets): a scalar, the mean over the samples given.
    samples
        Global indices of the batch's samples, int64 [sample].
    batch_index, batches_per_epoch, sample_count
        See `Objective`; ``sample_count`` left out: the samples of this batch.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        samples: Tensor,
        batch_index: int = 0,
        batches_per_epoch: int = 1,
        sample_count: int | None = None,
    ):
        self.model = model
        self.samples = samples
        self.batch_index, self.batches_per_epoch = batch_index, batches_per_epoch
        self.batch_size = len(samples)
        self.sample_count = self.batch_size if sample_count is None else sample_count
        self.gradient_evaluations = 0
        self.ggn_products = 0
        self._loss = loss

    @abstractmethod
    def parts(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the given rows of the batch, part after part."""

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""
        for parameter in self.model.parameters():
            parameter.grad = None
        total = 0.0
        with torch.enable_grad():
            for loss in self._part_losses(self.model):
                loss.backward()
                total = total + loss.detach()
        self.gradient_evaluations += 1
        return total

    @torch.no_grad()
    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        """Return the loss alone, a scalar without a graph; see `Objective`."""
        network, _ = self._network_at(params)
        return sum(self._part_losses(network, self._rows(samples)))

    def gradient(self, params: Parameters = None) -> tuple[Tensor, ...]:
        """Return the gradient with respect to ``params``, in their order; see `Objective`."""
        network, variables = self._network_at(params)
        total = None
        with torch.enable_grad():
            for loss in self._part_losses(network):
                part = torch.autograd.grad(loss, variables, materialize_grads=True)
                total = part if total is None else tuple(map(torch.add, total, part))
        self.gradient_evaluations += 1
        return total

    def _part_losses(
        self, network: Callable[[Tensor], Tensor], rows: Tensor | None = None
    ) -> Iterator[Tensor]:
        """Yield the parts' shares of the loss; they add up to the mean over the rows."""
        rows = torch.arange(self.batch_size) if rows is None else rows
        for inputs, targets in self.parts(rows):
            yield self._loss(network(inputs), targets) * (len(inputs) / len(rows))

    def _rows(self, samples: Tensor | None) -> Tensor | None:
        if samples is None:
            return None
        row_of = {sample: row for row, sample in enumerate(self.samples.tolist())}
        try:
            return torch.tensor([row_of[sample] for sample in torch.as_tensor(samples).tolist()])
        except KeyError as error:
            raise ValueError(f"sample {error.args[0]} is not in this batch") from None

    def _network_at(
        self, params: Parameters
    ) -> tuple[Callable[[Tensor], Tensor], tuple[Tensor, ...]]:
        """Return the network at ``params`` and the variables to differentiate with."""
        if params is None:
            return self.model, tuple(p for p in self.model.parameters() if p.requires_grad)
        if not isinstance(params, Mapping):
            self._names(params)
            return self.model, tuple(params)
        variables = tuple(value.detach().requires_grad_() for value in params.values())
        values = dict(zip(self._names(params), variables, strict=True))
        return lambda inputs: functional_call(self.model, values, (inputs,)), variables

    def _names(self, params: Mapping[Tensor, Tensor] | Sequence[Tensor]) -> list[str]:
        known = {id(parameter): name for name, parameter in self.model.named_parameters()}
        try:
            return [known[id(parameter)] for parameter in params]
        except KeyError:
            raise ValueError("params holds a tensor that is no parameter of the model") from None


class ModelObjective(PartwiseObjective):
    """A batch held whole in memory: all that a model of one's own needs.

    Parameters
    ----------
    model
        Any PyTorch model.
    loss
        ℓ(outputs, targets): a scalar, the mean over the samples.
    inputs, targets
        The batch, [sample, ...], on the model's device.
    samples
        Global indices of the samples, int64 [sample]; left out: 0, 1, ...
    batch_index, batches_per_epoch, sample_count
        Place of the batch in its epoch; see `Objective`.

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
        batch_index: int = 0,
        batches_per_epoch: int = 1,
        sample_count: int | None = None,
    ):
        if len(inputs) != len(targets):
            raise ValueError(f"{len(inputs)} inputs for {len(targets)} targets")
        samples = torch.arange(len(inputs)) if samples is None else samples
        super().__init__(model, loss, samples, batch_index, batches_per_epoch, sample_count)
        self.inputs, self.targets = inputs, targets

    def parts(self, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the rows as one part."""
        if len(rows) == self.batch_size:
            yield self.inputs, self.targets
        else:
            rows = rows.to(self.targets.device)
            yield self.inputs[rows], self.targets[rows]
