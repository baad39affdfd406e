"""Small VGG-like networks against a literal forward pass."""

import pytest
import torch
from torch.nn import functional

from seistomo.errors import InputError
from seistomo.networks import SmallVGG


def test_equals_a_literal_forward_pass():
    network = SmallVGG((2, 20, 22), (3, 4, 5), 3, (6,), 7, torch.Generator().manual_seed(0))
    weights = [w.double().contiguous() for w in network.parameters()]
    images = torch.randn(3, 2, 20, 22, dtype=torch.float64)
    x = images
    for number in range(3):
        x = functional.relu(functional.conv2d(x, weights[2 * number], weights[2 * number + 1]))
        if number < 2:
            x = functional.max_pool2d(x, 2)
    x = functional.relu(functional.linear(x.flatten(1), weights[6], weights[7]))
    expected = functional.linear(x, weights[8], weights[9])
    torch.testing.assert_close(network.double()(images), expected, rtol=0, atol=1e-12)


def test_start_is_glorot_uniform():
    network = SmallVGG((1, 28, 28), (6, 16), 5, (20,), generator=torch.Generator().manual_seed(0))
    weight = list(network.parameters())[2]
    bound = (6 / (25 * 6 + 25 * 16)) ** 0.5
    assert 0.95 * bound < weight.abs().max() <= bound
    assert not any(w.any() for w in network.parameters() if w.dim() == 1)


def test_images_too_small_are_refused():
    with pytest.raises(InputError, match="too small for 3 convolutions with kernel 5"):
        SmallVGG((1, 12, 12), (4, 4, 4), 5, (10,))
