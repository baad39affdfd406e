"""A dense layer that predicts on a coarser grid than the model's."""

import math

import torch
from torch import nn
from torch.nn import functional


class CoarseDense(nn.Module):
    """Dense layer to every ``coarsening``-th node, linear interpolation between, a bias a node.

    A dense layer to every node gives neighbours weights of their own, hence errors of their own:
    noise from node to node that waves much longer than the grid spacing cannot correct. Here the
    part that depends on the gathers is as smooth as the coarse grid; the bias keeps detail that
    all models share.

    Parameters
    ----------
    in_features
        Values a sample that come in.
    shape
        Nodes that go out (depth, x).
    coarsening
        Nodes of the model's grid from one node of the coarse grid to the next, about: the coarse
        grid spans the same extent.

    Attributes
    ----------
    weight
        [coarse node, in_features].
    bias
        [depth·x].
    """

    def __init__(self, in_features: int, shape: tuple[int, int], coarsening: int):
        super().__init__()
        self.in_features, self.shape = in_features, shape
        self.coarse_shape = tuple(-(-(n - 1) // coarsening) + 1 for n in shape)
        self.weight = nn.Parameter(torch.zeros(math.prod(self.coarse_shape), in_features))
        self.bias = nn.Parameter(torch.zeros(math.prod(shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [batch, in_features] to [batch, depth·x]."""
        coarse = functional.linear(x, self.weight).unflatten(1, (1, *self.coarse_shape))
        fine = functional.interpolate(coarse, self.shape, mode="bilinear", align_corners=True)
        return fine.flatten(1) + self.bias
