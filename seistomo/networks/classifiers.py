"""The classifiers of the papers' image problems, by name."""

from collections.abc import Callable

import torch
from torch import nn

from seistomo.errors import InputError
from seistomo.networks.mlp import MLP
from seistomo.networks.mnist import MnistCNN
from seistomo.networks.vgg import SmallVGG

Generator = torch.Generator | None

CLASSIFIERS: dict[str, Callable[[Generator], nn.Module]] = {
    "mnist-cnn": MnistCNN,
    "mnist-mlp": lambda generator: MLP((784, 20, 20, 20, 10), generator=generator),
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
        "fashion-cnn" (44,426) or "cifar-cnn" (122,570) of the SGN paper.
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
