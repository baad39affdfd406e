"""Multilayer perceptrons, as in the SGN paper's problems."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from seistomo.errors import InputError
from seistomo.networks.layers import glorot_uniform_

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


class MLP(nn.Sequential):
    """Dense layers with an activation between them (Gargiani et al. 2020, section 4).

    Maps inputs [batch, ...], flattened, to outputs [batch, sizes[-1]].

    Parameters
    ----------
    sizes
        Values a sample that go in, those of the hidden layers, and those that come out.
    activation
        "sigmoid", "relu" or "tanh"; there is none after the last layer.
    generator
        Source of the Glorot uniform weights; left out: torch's global one. Biases start at zero.

    Raises
    ------
    InputError
        For fewer than two sizes, a size below one, and an unknown activation.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "sigmoid",
        generator: torch.Generator | None = None,
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes = {tuple(sizes)}: must be two or more, each 1 or more")
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation = {activation!r}: must be one of {', '.join(ACTIVATIONS)}"
            )
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            dense = nn.Linear(before, after)
            glorot_uniform_(dense, generator)
            layers += [dense, ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])
