"""Multilayer perceptrons."""

import pytest
import torch

from seistomo.errors import InputError
from seistomo.networks import MLP, parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ((13, 100, 100, 1), 1_400 + 10_100 + 101),
        ((1, 20, 20, 20, 1), 40 + 2 * 420 + 21),
        ((784, 20, 20, 20, 10), 15_700 + 2 * 420 + 210),
    ],
)
def test_weight_counts(sizes, count):
    assert parameter_count(MLP(sizes)) == count


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh"])
def test_layers_in_their_order(activation):
    network = MLP((6, 4, 3), activation, torch.Generator().manual_seed(0)).double()
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    first, first_bias, last, last_bias = network.parameters()
    hidden = getattr(torch, activation)(x.reshape(5, 6) @ first.T + first_bias)
    torch.testing.assert_close(network(x), hidden @ last.T + last_bias)


def test_start_is_glorot_uniform_and_reproducible():
    network, again, other = (
        MLP((30, 20, 10), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    weight, bias = list(network.parameters())[:2]
    bound = (6 / 50) ** 0.5
    assert 0.95 * bound < weight.abs().max() <= bound
    assert not bias.any()
    assert torch.equal(weight, next(again.parameters()))
    assert not torch.equal(weight, next(other.parameters()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3,),), r"sizes = \(3,\)"),
        (((3, 0, 1),), r"sizes = \(3, 0, 1\)"),
        (((3, 1), "selu"), "activation = 'selu': must be one of sigmoid, relu, tanh"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        MLP(*arguments)
