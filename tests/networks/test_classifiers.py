"""Perceptrons, small convolutional networks, and the papers' classifiers by name."""

import pytest
import torch
from torch.nn import functional

from seistomo.errors import InputError
from seistomo.networks import MLP, SmallVGG, build_classifier, parameter_count

NETWORKS = {
    "mnist-cnn": ((1, 28, 28), 1_962),
    "mnist-mlp": ((1, 28, 28), 16_750),
    "mnist-mlp-glorot": ((1, 28, 28), 16_750),
    "fashion-cnn": ((1, 28, 28), 44_426),
    "cifar-cnn": ((3, 32, 32), 122_570),
}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("name", "shape", "count"), [(k, *v) for k, v in NETWORKS.items()])
def test_published_sizes_and_starts_from_the_generator_alone(name, shape, count):
    before = torch.random.get_rng_state()
    network, again = (build_classifier(name, seeded(3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(network.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    assert parameter_count(network) == count
    logits = network(torch.rand(3, *shape))
    assert logits.shape == (3, 10)
    gradients = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
    assert all(g.any() for g in gradients)


def test_published_sizes_of_the_regression_problems():
    assert parameter_count(MLP((13, 100, 100, 1))) == 1_400 + 10_100 + 101
    assert parameter_count(MLP((1, 20, 20, 20, 1))) == 40 + 2 * 420 + 21


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_perceptron_equals_a_literal_forward_pass(activation):
    network = MLP((6, 4, 3), activation, seeded(0)).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    first, first_bias, last, last_bias = network.parameters()
    hidden = getattr(torch, activation)(x.reshape(5, 6) @ first.T + first_bias)
    torch.testing.assert_close(network(x), hidden @ last.T + last_bias)


def test_convolutional_network_equals_a_literal_forward_pass():
    network = SmallVGG((2, 20, 22), (3, 4, 5), 3, (6,), 7, seeded(0))
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


@pytest.mark.parametrize(
    ("network", "weight", "fans"),
    [
        (MLP((30, 20, 10), generator=seeded(1)), 0, 30 + 20),
        (SmallVGG((1, 28, 28), (6, 16), 5, (20,), generator=seeded(0)), 2, 25 * (6 + 16)),
    ],
)
def test_start_is_glorot_uniform(network, weight, fans):
    parameters, bound = list(network.parameters()), (6 / fans) ** 0.5
    assert 0.95 * bound < parameters[weight].abs().max() <= bound
    assert not any(p.any() for p in parameters if p.dim() == 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_classifier("lenet"), "'lenet': must be one of mnist-cnn, mnist-mlp"),
        (lambda: MLP((3,)), r"sizes = \(3,\)"),
        (lambda: MLP((3, 0, 1)), r"sizes = \(3, 0, 1\)"),
        (lambda: MLP((3, 1), "selu"), "activation = 'selu': must be one of sigmoid, relu, tanh"),
        (lambda: MLP((3, 1), start="zero"), "start = 'zero': must be one of glorot, normal"),
        (lambda: SmallVGG((1, 12, 12), (4, 4, 4), 5, (10,)), "too small for 3 convolutions"),
    ],
)
def test_impossible_networks_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()
