"""Layers of the networks that map gathers to velocity, and the start of all weights."""

import math

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]


class ConvolutionBlock(nn.Module):
    """3D convolution with 'same' padding and bias, max pooling (floor), then ReLU.

    'same' pads k - 1 zeros along an axis with a kernel of k, the odd one at the end. Only the
    even kernels need that odd zero, which torch can add by a copy of the input alone; and where
    the pooling drops the last, incomplete window, nothing reads it. So it is added only along
    axes that the pooling divides, and the rest is left to the convolution.

    ReLU after the pooling gives what ReLU before it gives, on a fraction of the values. Triples
    are (source, receiver, time); a window longer than an axis shrinks to it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: Triple,
        kernel: Triple,
        pool: Triple,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.pool = tuple(min(window, n) for window, n in zip(pool, size, strict=True))
        self.out_size = tuple(n // window for window, n in zip(self.pool, size, strict=True))
        self.convolution = Convolution(
            in_channels, out_channels, kernel, padding=tuple((k - 1) // 2 for k in kernel)
        )
        ends = [
            int(k % 2 == 0 and n % window == 0)
            for k, n, window in zip(kernel, size, self.pool, strict=True)
        ]
        self._end_padding = [pad for end in reversed(ends) for pad in (0, end)]
        self._padded = any(ends)
        self.activation = out_channels * math.prod(
            n + end - (k % 2 == 0) for n, end, k in zip(size, ends, kernel, strict=True)
        )
        glorot_uniform_(self.convolution, generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channel, source, receiver, time] to the pooled channels."""
        if self._padded:
            x = functional.pad(x, self._end_padding)
        return functional.relu(functional.max_pool3d(self.convolution(x), self.pool))


class Convolution(nn.Conv3d):
    """3D convolution with bias and zero padding, in the inputs' type of numbers.

    In forward mode torch convolves the inputs' tangent whether there is one or not: in a first
    layer zeros, a tenth of a Gauss-Newton product. That is left out here.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channel, source, receiver, time] to the layer's channels."""
        own = self.weight.to(x.dtype), self.bias.to(x.dtype)
        (weight, weight_tangent), (bias, bias_tangent) = map(forward_ad.unpack_dual, own)
        whole = weight_tangent is not None and bias_tangent is not None
        if not whole or forward_ad.unpack_dual(x).tangent is not None:
            return functional.conv3d(x, *own, padding=self.padding)
        return forward_ad.make_dual(
            functional.conv3d(x, weight, bias, padding=self.padding),
            functional.conv3d(x, weight_tangent, bias_tangent, padding=self.padding),
        )


class Convolution2d(nn.Conv2d):
    """2D convolution with zero padding, in the inputs' type of numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [batch, channel, row, column] to the layer's channels."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.conv2d(x, self.weight.to(x.dtype), bias, self.stride, self.padding)


class CoarseDense(nn.Module):
    """Dense layer to every ``coarsening``-th node, linear interpolation between, a bias a node.

    A dense layer to every node gives neighbours weights of their own, hence errors of their own:
    noise from node to node that waves much longer than the grid spacing cannot correct. Here the
    part that depends on the gathers is as smooth as the coarse grid; the bias keeps detail that
    all models share.

    The coarse grid spans the ``shape`` (depth, x), with about ``coarsening`` nodes of the model
    from one of its nodes to the next. ``weight`` is [coarse node, in_features].
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


def glorot_uniform_(layer: nn.Module, generator: torch.Generator | None, scale: float = 1) -> None:
    """Draw the layer's weights from Glorot and Bengio's (2010) uniform law; zero a bias.

    Weights lie within ±scale·sqrt(6 / (fan_in + fan_out)).
    """
    nn.init.xavier_uniform_(layer.weight, gain=scale, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
