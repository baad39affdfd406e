"""Floating-point operations of a network, counted from its layers."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


@dataclass(frozen=True)
class Operations:
    """Operations of one sample, a multiplication and an addition counting as two.

    Convolutions and dense layers alone are counted, as published: padding of channels to what a
    processor likes, or other routes to the same numbers, make no difference.

    Attributes
    ----------
    forward
        Of a forward pass.
    first
        The first layer's part of it. Nobody asks for derivatives with respect to the inputs.
    """

    forward: int
    first: int

    @property
    def gradient(self) -> int:
        """Of forward and backward pass: a layer goes back to its weights and to its inputs."""
        return 3 * self.forward - self.first

    @property
    def product(self) -> int:
        """Of a Gauss–Newton product through forward differentiation, on its own forward pass.

        A layer's tangent has two terms, from its weights' and from its inputs' tangents.
        """
        return 5 * self.forward - 2 * self.first


def count_operations(network: nn.Module, shape: tuple[int, ...]) -> Operations:
    """Count the operations of a network's convolutions and dense layers.

    Parameters
    ----------
    network
        The network; each of its counted layers is used once a pass.
    shape
        Of one sample's inputs, without the axis of samples: [channel, ...].

    Raises
    ------
    ValueError
        If it holds none.
    """
    network = copy.deepcopy(network).to("meta")
    found: list[int] = []

    def count(layer: nn.Module, _inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        # Each output of a channel, and each of a dense layer, takes one row of the weights.
        found.append(2 * outputs.numel() * layer.weight[0].numel())

    for layer in network.modules():
        if isinstance(layer, COUNTED):
            layer.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, *shape, device="meta"))
    if not found:
        raise ValueError("the network has no convolution and no dense layer")
    return Operations(forward=sum(found), first=found[0])
