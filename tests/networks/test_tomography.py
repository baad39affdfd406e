"""The tomography network against a literal reference."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from seistomo.config import NetworkConfig
from seistomo.networks import TomographyNetwork, build_network, parameter_count


def small_network(**changes):
    arguments = {
        "channels": (3, 4),
        "kernels": ((3, 4, 4), (2, 4, 3)),
        "pools": ((1, 3, 3), (2, 2, 2)),
        "generator": torch.Generator().manual_seed(1),
    }
    return TomographyNetwork((4, 13, 18), (5, 7), **(arguments | changes))


def literal_forward(network, x):
    """Torch's own 'same' padding, ReLU before pooling, standard memory order."""
    for block in network.blocks:
        layer = block.convolution
        x = functional.conv3d(x, layer.weight.contiguous(), layer.bias, padding="same")
        x = functional.max_pool3d(functional.relu(x), block.pool)
    x = functional.relu(functional.linear(x.flatten(1), network.dense.weight, network.dense.bias))
    return x.reshape(-1, *network.velocity_shape)


def test_published_size_has_the_published_number_of_weights():
    network = build_network(NetworkConfig(), (31, 256, 300), (100, 100))
    assert parameter_count(network) == 10_951_700
    assert network.dense.in_features == 1_080


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    size=st.tuples(*[st.integers(1, 11)] * 3),
    kernels=st.lists(st.tuples(*[st.integers(1, 5)] * 3), min_size=1, max_size=3),
    pool=st.tuples(*[st.integers(1, 4)] * 3),
)
def test_any_size_equals_torch_same_convolutions(size, kernels, pool):
    network = TomographyNetwork(
        size,
        (3, 2),
        channels=[2] * len(kernels),
        kernels=kernels,
        pools=[pool] * len(kernels),
        generator=torch.Generator().manual_seed(0),
    ).double()
    network.set_output_bias(torch.ones(3, 2))
    x = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(2)).double()
    ours, theirs = network(x), literal_forward(network, x)
    assert ours.shape == (2, 3, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    parameters = tuple(network.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), parameters),
        torch.autograd.grad(theirs.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_pooling_stops_at_an_axis_of_one():
    network = small_network(pools=((3, 3, 3), (3, 9, 9)))
    assert [block.pool for block in network.blocks] == [(3, 3, 3), (1, 4, 6)]
    assert network(torch.zeros(1, 1, 4, 13, 18)).shape == (1, 5, 7)


def test_convolutions_run_in_channels_last_order():
    network = small_network()
    features = network.blocks(torch.randn(2, 1, 4, 13, 18))
    assert features.is_contiguous(memory_format=torch.channels_last_3d)


def test_weights_are_glorot_uniform():
    config = NetworkConfig(output_scale=0.05)
    network = build_network(config, (5, 40, 50), (20, 30), torch.Generator().manual_seed(0))
    layers = [*(block.convolution for block in network.blocks), network.dense]
    for layer, scale in zip(layers, [1, 1, 1, 1, 0.05], strict=True):
        taps = math.prod(layer.weight.shape[2:])
        fans = taps * (layer.weight.shape[0] + layer.weight.shape[1])
        bound = scale * math.sqrt(6 / fans)
        weights = layer.weight.detach().numpy().ravel()
        assert np.abs(weights).max() <= bound
        assert np.abs(weights).max() > 0.97 * bound
        # A uniform law on ±b has variance b²/3.
        assert weights.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


def test_start_depends_on_its_generator_alone():
    before = torch.get_rng_state()
    one, other, third = (
        build_network(NetworkConfig(), (4, 13, 18), (5, 7), torch.Generator().manual_seed(seed))
        for seed in (7, 7, 8)
    )
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.dense.weight, third.dense.weight)


def test_output_bias_is_what_a_silent_survey_gives():
    network = small_network()
    model = torch.rand(5, 7)
    network.set_output_bias(model)
    assert torch.equal(network(torch.zeros(1, 1, 4, 13, 18))[0], model)


def test_outputs_are_never_negative():
    assert (small_network()(torch.randn(8, 1, 4, 13, 18)) >= 0).all()


def test_largest_activation_is_the_largest_convolution_output():
    network, sizes = small_network(), []
    for block in network.blocks:
        block.convolution.register_forward_hook(
            lambda _module, _inputs, output: sizes.append(output[0].numel())
        )
    network(torch.zeros(1, 1, 4, 13, 18))
    assert network.largest_activation == max(sizes)


def test_parameter_count_leaves_frozen_weights_out():
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert parameter_count(model) == 6
