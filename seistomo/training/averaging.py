"""Averages of the weights that an optimizer passes through.

Steps near a minimum jump around it; their mean lies nearer to it than each of them (Polyak and
Juditsky 1992; Izmailov et al. 2018). The optimizer does not notice: the average is evaluated and
saved, and training goes on from the optimizer's own weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seistomo.config import LoopConfig
from seistomo.training.checkpoint import load_weights


class WeightAverage:
    """The average of a network's weights over the optimizer's steps.

    With w_n the weights after the n-th step that counts, ``training.averaging`` is

    - ``ema``: the sum of decay^(n − i) w_i over i, divided by the sum of these factors;
    - ``tail``: the mean over all steps of the last ``averaging_epochs`` epochs, before which the
      average is the weights themselves;
    - ``none``: always the weights themselves.
    """

    def __init__(self, config: LoopConfig, network: nn.Module):
        self._kind, self._decay = config.averaging, config.averaging_decay
        # A run of fewer epochs is averaged from its start.
        last = max(0, config.epochs - config.averaging_epochs)
        self._first_epoch = last if self._kind == "tail" else 0
        self._network = network
        self._count, self._average = 0, []

    @torch.no_grad()
    def add(self, epoch: int) -> None:
        """Take in the weights after a step of an epoch, counted from 0."""
        if self._kind == "none" or epoch < self._first_epoch:
            return
        weights = self._weights()
        self._count += 1
        if self._count == 1:
            self._average = [weight.clone() for weight in weights]
            return
        share = 1 / self._count
        if self._kind == "ema":
            share = (1 - self._decay) / (1 - self._decay**self._count)
        torch._foreach_lerp_(self._average, weights, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the network hold the average inside a ``with`` block."""
        if not self._count:
            yield
            return
        weights = self._weights()
        own = [weight.clone() for weight in weights]
        try:
            torch._foreach_copy_(weights, self._average)
            yield
        finally:
            torch._foreach_copy_(weights, own)

    def network_state(self) -> dict[str, Tensor]:
        """Return the network's ``state_dict`` with the average in it."""
        state = self._network.state_dict()
        return {**state, **dict(zip(self._names(), self._average, strict=False))}

    def state(self) -> dict[str, Any]:
        """Return what continuing needs beside `network_state`; nothing where nothing is averaged.

        ``count`` steps since ``first_epoch``, and ``own``: the optimizer's weights.
        """
        if self._kind == "none":
            return {}
        own = dict(zip(self._names(), self._weights(), strict=True)) if self._count else {}
        return {"count": self._count, "first_epoch": self._first_epoch, "own": own}

    def restore(self, network: dict[str, Tensor], state: dict[str, Any], path: Path) -> None:
        """Load into the network, and continue from, what `network_state` and `state` returned.

        Where the run was lengthened meanwhile, the mean of its former last epochs is dropped.
        """
        own = state.get("own", {})
        load_weights(self._network, {**network, **own}, path)
        if own and state["first_epoch"] == self._first_epoch:
            self._count = state["count"]
            places = zip(self._names(), self._weights(), strict=True)
            self._average = [network[name].to(weight, copy=True) for name, weight in places]

    def _weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self._network.parameters()]

    def _names(self) -> list[str]:
        return [name for name, _ in self._network.named_parameters()]
