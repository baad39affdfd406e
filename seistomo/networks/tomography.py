"""The convolutional network of the SQGN paper's tomography problem, for any survey and model."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from seistomo.networks.layers import CoarseDense, ConvolutionBlock, Triple, glorot_uniform_


class TomographyNetwork(nn.Module):
    """3D convolutions with pooling, one dense layer, ReLU (Thiele et al. 2021, section 6.2).

    At the paper's size, gathers [31, 256, 300] and models [100, 100], it has exactly the
    published 10,951,700 weights. Any other size works: where an axis is shorter than a pooling
    window, the window shrinks to the axis, so that no axis falls below 1.

    Parameters
    ----------
    gather_shape
        (source, receiver, time).
    velocity_shape
        (depth, x).
    channels, kernels, pools
        One entry a convolution; kernels and pools are (source, receiver, time).
    output_scale
        Factor on the dense layer's Glorot weights; 1 is as published.
    output_coarsening
        Nodes of the model from one output of the dense layer to the next, with linear
        interpolation between; 1 is as published.
    generator
        Source of the start weights; left out: torch's global one.

    Attributes
    ----------
    largest_activation
        Number of values a sample in the largest layer: what sets the memory of a batch.
    convolution_type
        Type of numbers that the convolutions compute in; None, as at the start: the inputs' and
        weights' own. Weights, their derivatives and the dense layer keep theirs.
    """

    convolution_type: torch.dtype | None = None

    def __init__(
        self,
        gather_shape: Triple,
        velocity_shape: tuple[int, int],
        channels: Sequence[int] = (10, 20, 30, 40),
        kernels: Sequence[Triple] = ((5, 4, 4), (5, 4, 4), (5, 4, 4), (4, 4, 4)),
        pools: Sequence[Triple] = ((1, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3)),
        output_scale: float = 1.0,
        output_coarsening: int = 1,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.gather_shape, self.velocity_shape = tuple(gather_shape), tuple(velocity_shape)
        blocks, size, in_channels = [], self.gather_shape, 1
        for out_channels, kernel, pool in zip(channels, kernels, pools, strict=True):
            block = ConvolutionBlock(in_channels, out_channels, size, kernel, pool, generator)
            blocks.append(block)
            size, in_channels = block.out_size, out_channels
        self.blocks = nn.Sequential(*blocks)
        features = in_channels * math.prod(size)
        if output_coarsening > 1:
            self.dense = CoarseDense(features, self.velocity_shape, output_coarsening)
        else:
            self.dense = nn.Linear(features, math.prod(self.velocity_shape))
        glorot_uniform_(self.dense, generator, output_scale)
        self.largest_activation = max(block.activation for block in blocks)
        # 2 to 2.5 times faster than the standard order on CPUs; the weights carry it along.
        self.to(memory_format=torch.channels_last_3d)

    def forward(self, gathers: torch.Tensor) -> torch.Tensor:
        """Map scaled gathers [batch, 1, source, receiver, time] to velocity [batch, depth, x]."""
        gathers = gathers.to(self.convolution_type or gathers.dtype)
        features = self.blocks(gathers.contiguous(memory_format=torch.channels_last_3d))
        features = features.flatten(1).to(self.dense.weight.dtype)
        output = functional.relu(self.dense(features))
        return output.unflatten(1, self.velocity_shape)

    @torch.no_grad()
    def set_output_bias(self, velocity: torch.Tensor) -> None:
        """Start the dense layer's bias at a scaled velocity model [depth, x].

        With the mean training model no output starts dead, that is, zero for every sample.
        """
        self.dense.bias.copy_(velocity.reshape(-1))
