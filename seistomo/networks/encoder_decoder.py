"""An encoder-decoder network: gathers to a latent vector, latent vector to a velocity model."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from seistomo.networks.layers import Convolution2d, Triple, glorot_uniform_

# Negative part of the activation, as in InversionNet; no unit is ever without a gradient.
SLOPE = 0.2
# Longest axis next to the latent vector: what is dense there grows with it.
DENSE_AXIS = 10


class EncoderDecoder(nn.Module):
    """2D convolutional encoder over the shot gathers, dense latent vector, 2D decoder.

    After InversionNet (Wu and Lin 2019), without its BatchNorm: the samples of a batch do not
    mix, as curvature asks for. Weights drawn for the activation (He et al. 2015) and residual
    branches scaled by the inverse root of their number keep signals as strong as they come in.

    Sources are channels of images [receiver, time]. Each encoder level is a 5×5 convolution
    with stride 2 (3×3 after the first level) and a residual block; then a dense layer to the
    latent vector. Another one gives the decoder's smallest image; each of its levels doubles the
    image (to the next size of a chain of halves that ends at the model's) by bilinear
    interpolation, followed by a 3×3 convolution and a residual block. A last 3×3 convolution
    and a bias a node give the model; there is no ReLU after it, hence no dead pixels. Nothing
    skips the latent vector, unlike in a U-Net: time and depth are not the same picture.

    Any size of survey and model works. Where an axis is still longer than 10 at the dense layers,
    levels as wide as their neighbours are put in, which halve the long axes alone; an axis of 1
    is halved no further.

    Parameters
    ----------
    gather_shape
        (source, receiver, time).
    velocity_shape
        (depth, x).
    encoder
        Channels of each encoder level.
    latent
        Length of the latent vector.
    decoder
        Channels of each decoder level, smallest image first.
    output_scale
        Factor on the last convolution's Glorot weights.
    output_coarsening
        Nodes of the model from one output of the last convolution to the next, with linear
        interpolation between.
    generator
        Source of the start weights; left out: torch's global one.

    Attributes
    ----------
    largest_activation
        Number of values a sample in the largest layer: what sets the memory of a batch.
    convolution_type
        Type of numbers that the convolutions but the last compute in; None, as at the start: the
        inputs' and weights' own. Weights, their derivatives and all other layers keep theirs.
    """

    convolution_type: torch.dtype | None = None

    def __init__(
        self,
        gather_shape: Triple,
        velocity_shape: tuple[int, int],
        encoder: Sequence[int] = (16, 32, 64, 96, 128),
        latent: int = 256,
        decoder: Sequence[int] = (128, 96, 64, 32, 16),
        output_scale: float = 1.0,
        output_coarsening: int = 1,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.gather_shape, self.velocity_shape = tuple(gather_shape), tuple(velocity_shape)
        sources, *size = self.gather_shape
        sizes = _halved(tuple(size), len(encoder) + 1)
        encoder = [*encoder, *[encoder[-1]] * (len(sizes) - 1 - len(encoder))]
        coarse = tuple(-(-(n - 1) // output_coarsening) + 1 for n in self.velocity_shape)
        self._images = _halved(coarse, len(decoder))[::-1]
        decoder = [*[decoder[0]] * (len(self._images) - len(decoder)), *decoder]
        residual_scale = (len(encoder) + len(decoder)) ** -0.5
        levels, channels = [], sources
        for number, width in enumerate(encoder):
            kernel = 3 if number else 5
            stride = [1 + (after < n) for n, after in zip(*sizes[number : number + 2], strict=True)]
            levels += [
                Convolution2d(channels, width, kernel, stride, padding=kernel // 2),
                nn.LeakyReLU(SLOPE),
                ResidualBlock(width, residual_scale, generator),
            ]
            channels = width
        smallest = math.prod(self._images[0])
        self.encoder = nn.Sequential(*levels)
        self.latent = nn.Sequential(
            nn.Linear(channels * math.prod(sizes[-1]), latent),
            nn.LeakyReLU(SLOPE),
            nn.Linear(latent, decoder[0] * smallest),
            nn.LeakyReLU(SLOPE),
        )
        self.decoder, before = nn.ModuleList(), decoder[0]
        for width in decoder:
            convolution = Convolution2d(before, width, 3, padding=1)
            block = ResidualBlock(width, residual_scale, generator)
            self.decoder.append(nn.Sequential(convolution, nn.LeakyReLU(SLOPE), block))
            before = width
        self.output = Convolution2d(before, 1, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.velocity_shape))
        for layer in [*self.encoder, *self.latent, *(level[0] for level in self.decoder)]:
            if isinstance(layer, Convolution2d | nn.Linear):
                he_uniform_(layer, generator)
        glorot_uniform_(self.output, generator, output_scale)
        self.largest_activation = max(
            *(c * math.prod(n) for c, n in zip(encoder, sizes[1:], strict=True)),
            *(c * math.prod(n) for c, n in zip(decoder, self._images, strict=True)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, gathers: torch.Tensor) -> torch.Tensor:
        """Map scaled gathers [batch, 1, source, receiver, time] to velocity [batch, depth, x]."""
        kind = self.convolution_type or gathers.dtype
        images = gathers.to(kind).squeeze(1).contiguous(memory_format=torch.channels_last)
        latent = self.latent(self.encoder(images).flatten(1).to(self.bias.dtype)).to(kind)
        images = latent.unflatten(1, (-1, *self._images[0]))
        for size, level in zip(self._images, self.decoder, strict=True):
            images = level(_resized(images, size, align_corners=False))
        images = self.output(images.to(self.bias.dtype))
        images = _resized(images, self.velocity_shape, align_corners=True)
        return images.squeeze(1) + self.bias

    @torch.no_grad()
    def set_output_bias(self, velocity: torch.Tensor) -> None:
        """Start the bias at a scaled velocity model [depth, x]."""
        self.bias.copy_(velocity)


class ResidualBlock(nn.Module):
    """x ↦ σ(x + conv(σ(conv(x)))), 3×3 convolutions that keep size and channels.

    ``scale`` is the branch's factor at the start: a part of the second convolution's weights.
    """

    def __init__(self, channels: int, scale: float, generator: torch.Generator | None = None):
        super().__init__()
        self.first = Convolution2d(channels, channels, 3, padding=1)
        self.second = Convolution2d(channels, channels, 3, padding=1)
        he_uniform_(self.first, generator)
        he_uniform_(self.second, generator, scale)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [batch, channel, row, column] to the same shape."""
        branch = self.second(functional.leaky_relu(self.first(images), SLOPE))
        return functional.leaky_relu(images + branch, SLOPE)


def he_uniform_(layer: nn.Module, generator: torch.Generator | None, scale: float = 1) -> None:
    """Draw weights of variance scale² · 2 / ((1 + slope²) fan_in), uniform; zero the bias.

    He et al. (2015), for leaky ReLUs: outputs vary as much as inputs.
    """
    nn.init.kaiming_uniform_(layer.weight, SLOPE, nonlinearity="leaky_relu", generator=generator)
    with torch.no_grad():
        layer.weight.mul_(scale)
    nn.init.zeros_(layer.bias)


def _halved(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return ``count`` sizes, each about half of the one before, and more for long axes."""
    sizes = [size]
    while len(sizes) < count:
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    while max(sizes[-1]) > DENSE_AXIS:
        sizes.append(tuple(-(-n // 2) if n > DENSE_AXIS else n for n in sizes[-1]))
    return sizes


def _resized(images: torch.Tensor, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    if tuple(images.shape[2:]) == tuple(size):
        return images
    return functional.interpolate(images, size, mode="bilinear", align_corners=align_corners)
