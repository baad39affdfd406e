"""The MNIST network against torch's own convolutions."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional

from seistomo.networks import MnistCNN, parameter_count
from seistomo.optim import ModelObjective


class PlainCNN(nn.Module):
    """The same network, layer by layer."""

    def __init__(self):
        super().__init__()
        channels = (1, 2, 4, 8)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 4, bias=False) for before, after in pairwise(channels)
        )
        self.dense = nn.Linear(128, 10)

    def forward(self, x):
        for convolution in self.convolutions:
            x = functional.relu(convolution(functional.pad(x, (1, 2, 1, 2))))
            x = functional.max_pool2d(x, 2, ceil_mode=True)
        return self.dense(x.flatten(1))


def both_networks(seed=1):
    fast, plain = MnistCNN(torch.Generator().manual_seed(seed)).double(), PlainCNN().double()
    nn.init.normal_(fast.dense.bias, generator=torch.Generator().manual_seed(seed))
    plain.load_state_dict(fast.state_dict())
    return fast, plain


def random_images(count=7):
    generator = torch.Generator().manual_seed(2)
    return 255 * torch.rand(count, 1, 28, 28, generator=generator, dtype=torch.float64)


def digit_like_images():
    """Black, with blocks of saturated pixels: pooling windows full of ties."""
    images = torch.zeros(5, 1, 28, 28, dtype=torch.float64)
    images[1, :, 3:13, 7:20] = 255
    images[2, :, 15:, 15:] = 255
    images[3] = 255
    images[4, :, 8:20:3] = 255
    return images


IMAGES = pytest.mark.parametrize(
    "images",
    [random_images(), random_images(1), digit_like_images()],
    ids=["random", "one", "digits"],
)


def assert_same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        scale = theirs.abs().max().clamp(min=1e-300)
        assert ((ours - theirs).abs().max() / scale) < 1e-12


def test_published_number_of_weights():
    assert parameter_count(MnistCNN()) == 1_962
    shapes = {name: tuple(tensor.shape) for name, tensor in MnistCNN().state_dict().items()}
    assert shapes == {
        "convolutions.0.weight": (2, 1, 4, 4),
        "convolutions.1.weight": (4, 2, 4, 4),
        "convolutions.2.weight": (8, 4, 4, 4),
        "dense.weight": (10, 128),
        "dense.bias": (10,),
    }


@IMAGES
def test_outputs_and_gradients_are_those_of_plain_convolutions(images):
    results = []
    for network in both_networks():
        outputs = network(images)
        loss = functional.cross_entropy(outputs, torch.arange(len(images)) % 10)
        results.append((outputs, *torch.autograd.grad(loss, list(network.parameters()))))
    assert_same(*results)


def test_second_derivatives_and_those_to_the_pixels_are_those_of_plain_convolutions():
    results = []
    for network in both_networks():
        pixels = (random_images() / 255).requires_grad_()
        loss = functional.cross_entropy(network(pixels), torch.arange(7))
        variables = [pixels, *network.parameters()]
        gradient = torch.autograd.grad(loss, variables, create_graph=True)
        vector = [torch.ones_like(g) for g in gradient]
        results.append((*gradient, *torch.autograd.grad(gradient, variables, vector)))
    assert_same(*results)


@IMAGES
def test_tangents_are_those_of_plain_convolutions(images):
    results = []
    for network in both_networks():
        generator = torch.Generator().manual_seed(3)
        with forward_ad.dual_level():
            duals = {
                name: forward_ad.make_dual(w, torch.randn(w.shape, generator=generator).double())
                for name, w in network.named_parameters()
            }
            results.append(forward_ad.unpack_dual(functional_call(network, duals, (images,))))
    assert results[1].tangent is not None
    assert_same(*results)


def test_gauss_newton_products_are_those_of_plain_convolutions():
    images, targets = random_images() / 255, torch.arange(7)
    results = []
    for network in both_networks():
        linearized = ModelObjective(network, nn.CrossEntropyLoss(), images, targets).linearize()
        generator = torch.Generator().manual_seed(3)
        products = []
        for _ in range(3):  # The later ones come from a trace of the network.
            vector = [
                torch.randn(w.shape, generator=generator).double() for w in network.parameters()
            ]
            products += linearized.product(vector)
        results.append(products)
    assert_same(*results)


def test_other_sizes_are_refused():
    with pytest.raises(RuntimeError, match="shape"):
        MnistCNN()(torch.zeros(2, 1, 32, 32))
