"""Convolution layers, and the convolution block of the tomography network."""

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

    ReLU after the pooling gives what ReLU before it gives, on a fraction of the values.

    Parameters
    ----------
    in_channels, out_channels
        Channels before and after.
    size
        Input size (source, receiver, time).
    kernel
        Kernel (source, receiver, time).
    pool
        Pooling window and stride; along an axis shorter than the window, the axis's length.
    generator
        Source of the Glorot uniform weights; the bias starts at zero.

    Attributes
    ----------
    pool, out_size
        The pooling in use, and the size (source, receiver, time) after it.
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


def glorot_uniform_(layer: nn.Module, generator: torch.Generator | None, scale: float = 1) -> None:
    """Draw the layer's weights from Glorot and Bengio's (2010) uniform law; zero a bias.

    Weights lie within ±scale·sqrt(6 / (fan_in + fan_out)).
    """
    nn.init.xavier_uniform_(layer.weight, gain=scale, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
