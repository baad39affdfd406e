"""Perceptrons and convolutional networks of the optimizers' papers, and their classifiers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from seistomo.errors import InputError
from seistomo.networks.layers import glorot_uniform_
from seistomo.networks.mnist import MnistCNN

Generator = torch.Generator | None

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


def _standard_normal_(layer: nn.Linear, generator: Generator) -> None:
    nn.init.normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)


STARTS = {"glorot": glorot_uniform_, "normal": _standard_normal_}


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
        Source of the start weights; left out: torch's global one. Biases start at zero.
    start
        How weights are drawn: "glorot" (uniform), or "normal" with mean 0 and standard deviation
        1, as in the SGN paper's code.

    Raises
    ------
    InputError
        For fewer than two sizes, a size below one, and an unknown activation or start.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "sigmoid",
        generator: Generator = None,
        start: str = "glorot",
    ):
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes = {tuple(sizes)}: must be two or more, each 1 or more")
        if activation not in ACTIVATIONS:
            raise InputError(
                f"activation = {activation!r}: must be one of {', '.join(ACTIVATIONS)}"
            )
        if start not in STARTS:
            raise InputError(f"start = {start!r}: must be one of {', '.join(STARTS)}")
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in pairwise(sizes):
            dense = nn.Linear(before, after)
            STARTS[start](dense, generator)
            layers += [dense, ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])


class SmallVGG(nn.Module):
    """Convolutions and dense layers, each with a bias, ReLU between them (Gargiani et al. 2020).

    The convolutions use no padding; 2×2 max pooling, rounding down, follows the first two.

    Parameters
    ----------
    image_shape
        (channel, row, column).
    channels
        Channels that each convolution puts out.
    kernel
        Rows and columns of the kernels.
    hidden
        Units of the dense layers between the convolutions and the output.
    classes
        Units of the last layer.
    generator
        Source of the Glorot uniform weights; left out: torch's global one. Biases start at zero.

    Raises
    ------
    InputError
        Where the image is too small for the convolutions.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        kernel: int,
        hidden: Sequence[int],
        classes: int = 10,
        generator: Generator = None,
    ):
        super().__init__()
        before, *size = image_shape
        layers: list[nn.Module] = []
        for number, after in enumerate(channels):
            convolution = nn.Conv2d(before, after, kernel)
            glorot_uniform_(convolution, generator)
            size = [n - kernel + 1 for n in size]
            layers.append(convolution)
            # ReLU after the pooling gives what it gives before, on a quarter of the values.
            if number < 2:
                layers.append(nn.MaxPool2d(2))
                size = [n // 2 for n in size]
            layers.append(nn.ReLU())
            before = after
            if min(size) < 1:
                raise InputError(
                    f"image_shape = {tuple(image_shape)}: too small for {len(channels)}"
                    f" convolutions with kernel {kernel}"
                )
        self.convolutions = nn.Sequential(*layers)
        self.dense = MLP((before * size[0] * size[1], *hidden, classes), "relu", generator)
        # Up to twice as fast as the standard order on CPUs.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map images [batch, channel, row, column] to logits [batch, class]."""
        return self.dense(self.convolutions(images.contiguous(memory_format=torch.channels_last)))


MNIST_MLP = (784, 20, 20, 20, 10)
CLASSIFIERS: dict[str, Callable[[Generator], nn.Module]] = {
    "mnist-cnn": MnistCNN,
    "mnist-mlp": lambda generator: MLP(MNIST_MLP, generator=generator, start="normal"),
    "mnist-mlp-glorot": lambda generator: MLP(MNIST_MLP, generator=generator),
    "fashion-cnn": lambda generator: SmallVGG(
        (1, 28, 28), (6, 16), kernel=5, hidden=(120, 84), generator=generator
    ),
    "cifar-cnn": lambda generator: SmallVGG(
        (3, 32, 32), (32, 64, 64), kernel=3, hidden=(64,), generator=generator
    ),
}


def build_classifier(name: str, generator: Generator = None) -> nn.Module:
    """Build a network that maps images [batch, channel, row, column] to logits [batch, 10].

    Parameters
    ----------
    name
        "mnist-cnn" of the SQGN paper (1,962 weights); "mnist-mlp" (16,750, sigmoid),
        "fashion-cnn" (44,426) or "cifar-cnn" (122,570) of the SGN paper; "mnist-mlp-glorot", with
        smaller start weights.
    generator
        Source of the start weights; left out: torch's global one.

    Raises
    ------
    InputError
        For another name.
    """
    if name not in CLASSIFIERS:
        raise InputError(f"network = {name!r}: must be one of {', '.join(CLASSIFIERS)}")
    # Torch's layers draw from the global generator first: with one of our own, unseen.
    with torch.random.fork_rng(devices=[], enabled=generator is not None):
        return CLASSIFIERS[name](generator)
