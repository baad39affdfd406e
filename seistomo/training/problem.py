"""What is learnt, and how: the two halves of a run that `fit` puts together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seistomo.config import LoopConfig
from seistomo.device import upload
from seistomo.ranks import Processes

Loss = Callable[[Tensor, Tensor], Tensor]


class Batch(Protocol):
    """A batch that was read ahead of the optimizer."""

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of some of its samples, by their place in it."""


class Epoch(Protocol):
    """One epoch over a split: its batches in order, and any of its samples."""

    samples: Tensor  # numbers of all the split's samples, rising, int64 [sample]
    batches: Sequence[Tensor]  # those of each batch, int64 [sample]
    owners: NDArray[np.int64] | None  # rank that takes each sample; None: any

    def from_batch(self, first: int) -> Iterator[Batch | None]:
        """Yield the batches from a number on; None where `parts` has them at hand."""

    def parts(self, samples: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of any samples of the split, ``size`` at once."""


class Samples(Protocol):
    """The samples of a split."""

    waited: float  # seconds that batches were waited for so far

    def __len__(self) -> int: ...

    def to(self, device: torch.device) -> "Samples":
        """Return the samples where they can be used from; large ones are read not before."""

    def epoch(self, number: int, groups: Sequence[NDArray[np.int64]]) -> Epoch:
        """Return an epoch, counted from 0, whose batches are these rows of the split."""


@dataclass(frozen=True)
class Method:
    """How a problem is learnt: an optimizer with its settings.

    Attributes
    ----------
    name
        What tables call it.
    optimizer, learning_rate, options
        As for `seistomo.optim.make_optimizer`.
    training
        Keys of [training] that differ from the problem's.
    paper
        Numbers of a publication beside it.
    """

    name: str
    optimizer: str
    learning_rate: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    paper: dict[str, Any] = field(default_factory=dict)


class Problem(Protocol):
    """What is learnt: data, network, loss and scores.

    A problem of one's own derives from this class and says the first seven; the rest has
    defaults.

    Attributes
    ----------
    name
        "mnist", say.
    loss
        ℓ(outputs, targets), the mean over samples; with an attribute ``convex = False`` it is not
        for optimizers that need curvature.
    settings
        How to train unless a method says otherwise.
    score_names
        Columns of ``history.csv`` beside the losses: the scores but "loss" and "dead_pixels".
    unit, unit_name
        What history gives losses in: this factor on ℓ, and its name.
    identity
        What tells the data from others, for a run that is resumed.
    reported
        The loss that history tells, where it is not the one minimized.
    """

    name: str
    loss: Loss
    settings: LoopConfig
    score_names: tuple[str, ...] = ()
    unit: float = 1.0
    unit_name: str = ""
    identity: str = ""
    reported: Loss | None = None

    def network(self, generator: torch.Generator) -> nn.Module:
        """Return the network with weights drawn by a generator."""

    def split(self, name: str) -> Samples:
        """Return the samples of "train", "validation" or "test"; of length 0 where are none."""

    def scores(self, network: nn.Module, samples: Samples) -> dict[str, float]:
        """Return "loss", in history's unit, and the problem's own scores of a split.

        "dead_pixels" may be among them: the share of outputs that learn nothing more.
        """

    def description(self) -> dict[str, Any]:
        """Return what ``config.toml`` holds beside [training] and [optimizer].

        Sections of keys, without None. A run is resumed with the same alone.
        """

    def prepare(self, settings: LoopConfig, device: torch.device, processes: Processes) -> None:
        """Take note of how and where a run is trained, before anything else is asked."""

    def samples_at_once(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        method: Method,
        asked: int,
        largest: int,
        batches: int,
    ) -> int:
        """Return how many samples to forward at once; 0: a batch.

        ``asked`` is ``training.micro_batch``; ``largest`` counts the samples of the largest batch,
        ``batches`` those of an epoch.
        """
        return asked

    def state(self) -> dict[str, Any]:
        """Return what was learnt from the data beside the network, for checkpoints."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned, before the network is built."""

    def close(self) -> None:
        """End what runs beside the training, which has ended."""

    def scores_in_words(self, row: Mapping[str, Any]) -> str:
        """Return a row's scores, for people."""
        return ", ".join(f"{name} {row[name]:.4g}" for name in self.score_names)


class TensorSamples:
    """A split held as tensors [sample, ...]."""

    waited = 0.0

    def __init__(self, inputs: Tensor, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "TensorSamples":
        return TensorSamples(self.inputs.to(device), self.targets.to(device))

    def epoch(self, number: int, groups: Sequence[NDArray[np.int64]]) -> "TensorEpoch":
        return TensorEpoch(self, groups)

    def parts(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets in their order, ``size`` samples at once."""
        yield from zip(self.inputs.split(size), self.targets.split(size), strict=True)


class TensorEpoch:
    """An epoch over `TensorSamples`; see `Epoch`."""

    owners = None

    def __init__(self, held: TensorSamples, groups: Sequence[NDArray[np.int64]]):
        self._held, self.samples = held, torch.arange(len(held))
        self.batches = [torch.from_numpy(rows) for rows in groups]

    def from_batch(self, first: int) -> Iterator[None]:
        yield from (None for _ in self.batches[first:])

    def parts(self, samples: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        # One transfer of indices for all parts, which waits for nothing.
        for rows in upload(samples, self._held.targets.device).split(size):
            yield self._held.inputs[rows], self._held.targets[rows]
