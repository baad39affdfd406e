"""A U-Net from gathers [receiver, time] to velocity [depth, x]."""

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


class UNet(nn.Module):
    """2D convolutional encoder of each shot gather, 2D decoder, and what joins them.

    The encoder sees shot by shot, with the same weights: an image [receiver, time], and beside it
    the offset and the source's position as two more channels. Each level is a 5×5 convolution
    with stride 2 (3×3 after the first level) and a residual block. At each level the shots are
    fused: a mean over them, weighted by the softmax of a score that each place of each image gets
    (attention). Two ways lead on to the decoder: dense layers through a latent vector give its
    smallest image, as in InversionNet (Wu and Lin 2019), so that every trace can tell of every
    place; and as in a U-Net (Ronneberger et al. 2015) each decoder level takes the fused image
    of about as many receivers as it has columns. A matrix, learnt and the same for all channels and
    columns, turns that image's times into depths. Each decoder level doubles the image (to the
    next size of a chain of halves that ends at the model's) by bilinear interpolation, followed by
    a 3×3 convolution and a residual block. A last 3×3 convolution and a bias a node give the model;
    there is no ReLU after it, hence no dead pixels.

    Norms are of each sample by itself (GroupNorm of one group; Wu and He 2018): unlike with
    BatchNorm the samples of a batch do not mix, as curvature asks for. Weights drawn for the
    activation (He et al. 2015) and residual branches scaled by the inverse root of their number
    keep signals about as strong as they come in.

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
    positions
        x of sources and of receivers, in widths of the model from its middle, for inputs that come
        without; left out: both evenly from end to end. They are saved with the weights.

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
        positions: tuple[torch.Tensor, torch.Tensor] | None = None,
    ):
        super().__init__()
        self.gather_shape, self.velocity_shape = tuple(gather_shape), tuple(velocity_shape)
        sources, *size = self.gather_shape
        evenly = (torch.linspace(-0.5, 0.5, n) for n in self.gather_shape[:2])
        source_x, receiver_x = positions or evenly
        self.register_buffer("positions", position_channels(source_x, receiver_x))
        sizes = _halved(tuple(size), len(encoder) + 1)
        encoder = [*encoder, *[encoder[-1]] * (len(sizes) - 1 - len(encoder))]
        coarse = tuple(-(-(n - 1) // output_coarsening) + 1 for n in self.velocity_shape)
        self._images = _halved(coarse, len(decoder))[::-1]
        decoder = [*[decoder[0]] * (len(self._images) - len(decoder)), *decoder]
        residual_scale = (len(encoder) + len(decoder)) ** -0.5
        levels, channels = [], 3
        for number, width in enumerate(encoder):
            kernel = 3 if number else 5
            stride = [1 + (after < n) for n, after in zip(*sizes[number : number + 2], strict=True)]
            convolution = Convolution2d(channels, width, kernel, stride, padding=kernel // 2)
            block = ResidualBlock(width, residual_scale, generator)
            levels.append(nn.Sequential(convolution, nn.LeakyReLU(SLOPE), block))
            channels = width
        smallest = math.prod(self._images[0])
        self.encoder = nn.ModuleList(levels)
        self.latent = nn.Sequential(
            nn.Linear(channels * math.prod(sizes[-1]), latent),
            nn.LeakyReLU(SLOPE),
            nn.Linear(latent, decoder[0] * smallest),
            nn.LeakyReLU(SLOPE),
        )
        self.decoder, self.times, before = nn.ModuleList(), nn.ModuleList(), decoder[0]
        self._joined = [_nearest(image, sizes[1:]) for image in self._images]
        fused = sorted({*self._joined, len(encoder) - 1})
        self.scores = nn.ModuleDict(
            {str(level): Convolution2d(encoder[level], 1, 1, bias=False) for level in fused}
        )
        for level, image, width in zip(self._joined, self._images, decoder, strict=True):
            times = nn.Linear(sizes[level + 1][1], image[0])
            glorot_uniform_(times, generator)
            self.times.append(times)
            convolution = Convolution2d(before + encoder[level], width, 3, padding=1)
            block = ResidualBlock(width, residual_scale, generator)
            self.decoder.append(nn.Sequential(convolution, nn.LeakyReLU(SLOPE), block))
            before = width
        self.output = Convolution2d(before, 1, 3, padding=1, bias=False)
        self.bias = nn.Parameter(torch.zeros(self.velocity_shape))
        for layer in self.scores.values():
            glorot_uniform_(layer, generator)
        for layer in [*self.latent[::2], *(level[0] for level in [*self.encoder, *self.decoder])]:
            he_uniform_(layer, generator)
        glorot_uniform_(self.output, generator, output_scale)
        self.largest_activation = max(
            *(sources * c * math.prod(n) for c, n in zip(encoder, sizes[1:], strict=True)),
            *(c * math.prod(n) for c, n in zip(decoder, self._images, strict=True)),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, gathers: torch.Tensor) -> torch.Tensor:
        """Map inputs [batch, channel, source, receiver, time] to velocity [batch, depth, x].

        Their channels are scaled gathers alone, or three: beside them each sample's own positions.
        """
        kind = self.convolution_type or gathers.dtype
        images = gathers.to(kind).transpose(1, 2)
        if images.shape[2] == 1:
            positions = self.positions.to(kind).expand(len(gathers), -1, -1, -1, images.shape[-1])
            images = torch.cat([images, positions], dim=2)
        images = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        fused = {}
        for number, level in enumerate(self.encoder):
            images = level(images)
            if str(number) in self.scores:
                scores = self.scores[str(number)](images)
                shots, scores = (v.unflatten(0, (len(gathers), -1)) for v in (images, scores))
                fused[number] = (scores.softmax(dim=1) * shots).sum(dim=1).to(self.bias.dtype)
        images = self.latent(fused[number].flatten(1)).unflatten(1, (-1, *self._images[0]))
        for size, level, times, joined in zip(
            self._images, self.decoder, self.times, self._joined, strict=True
        ):
            joined = _resized(times(fused[joined]).transpose(2, 3), size, align_corners=True)
            images = _resized(images, size, align_corners=False)
            images = level(torch.cat([images.to(kind), joined.to(kind)], dim=1))
        images = self.output(images.to(self.bias.dtype))
        images = _resized(images, self.velocity_shape, align_corners=True)
        return images.squeeze(1) + self.bias

    @torch.no_grad()
    def set_output_bias(self, velocity: torch.Tensor) -> None:
        """Start the bias at a scaled velocity model [depth, x]."""
        self.bias.copy_(velocity)


class ResidualBlock(nn.Module):
    """x ↦ x + norm(conv(σ(conv(norm(x))))), 3×3 convolutions that keep size and channels.

    ``scale`` is the branch's strength at the start.
    """

    def __init__(self, channels: int, scale: float, generator: torch.Generator | None = None):
        super().__init__()
        self.before, self.after = SampleNorm(channels), SampleNorm(channels)
        self.first = Convolution2d(channels, channels, 3, padding=1)
        self.second = Convolution2d(channels, channels, 3, padding=1)
        he_uniform_(self.first, generator)
        he_uniform_(self.second, generator)
        nn.init.constant_(self.after.weight, scale)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [batch, channel, row, column] to the same shape."""
        branch = functional.leaky_relu(self.first(self.before(images)), SLOPE)
        return images + self.after(self.second(branch))


class SampleNorm(nn.Module):
    """Each sample by its own mean and deviation over all channels, in the inputs' type."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map [batch, channel, row, column] to the same shape."""
        # Channels last, as they lie in memory: torch's group norm has no forward mode for that.
        values = images.permute(0, 2, 3, 1)
        values = functional.layer_norm(values, values.shape[1:])
        values = torch.addcmul(self.bias.to(values.dtype), values, self.weight.to(values.dtype))
        return values.permute(0, 3, 1, 2)


def position_channels(source_x: torch.Tensor, receiver_x: torch.Tensor) -> torch.Tensor:
    """Return signed offset and source position, float32 [..., source, 2, receiver, 1].

    ``source_x`` [..., source] and ``receiver_x`` [..., receiver] are in widths of the model from
    its middle.
    """
    offset = receiver_x[..., None, :] - source_x[..., None]
    source = source_x[..., None].expand_as(offset)
    return torch.stack([offset, source], -2)[..., None].float()


def he_uniform_(layer: nn.Module, generator: torch.Generator | None) -> None:
    """Draw weights of variance 2 / ((1 + slope²) fan_in), uniform; zero the bias.

    He et al. (2015), for leaky ReLUs: outputs vary as much as inputs.
    """
    nn.init.kaiming_uniform_(layer.weight, SLOPE, nonlinearity="leaky_relu", generator=generator)
    nn.init.zeros_(layer.bias)


def _halved(size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return ``count`` sizes, each about half of the one before, and more for long axes."""
    sizes = [size]
    while len(sizes) < count:
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    while max(sizes[-1]) > DENSE_AXIS:
        sizes.append(tuple(-(-n // 2) if n > DENSE_AXIS else n for n in sizes[-1]))
    return sizes


def _nearest(image: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> int:
    """Return which image [receiver, time] is nearest to one [depth, x] in receivers and times."""
    depth, x = image

    def distance(level: int) -> tuple[float, float]:
        receivers, times = sizes[level]
        return abs(math.log(receivers / x)), abs(math.log(times / depth))

    return min(range(len(sizes)), key=distance)


def _resized(images: torch.Tensor, size: tuple[int, int], align_corners: bool) -> torch.Tensor:
    if tuple(images.shape[2:]) == tuple(size):
        return images
    return functional.interpolate(images, size, mode="bilinear", align_corners=align_corners)
