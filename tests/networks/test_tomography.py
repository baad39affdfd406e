"""The tomography network against a literal reference."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from torch import nn
from torch.func import functional_call, grad, jvp
from torch.nn import functional

from seistomo.config import NetworkConfig
from seistomo.networks import TomographyNetwork, build_network, parameter_count
from seistomo.networks.layers import CoarseDense
from seistomo.optim import ModelObjective, replay
from seistomo.training.losses import squared_error


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_network(**changes):
    arguments = {
        "channels": (3, 4),
        "kernels": ((3, 4, 4), (2, 4, 3)),
        "pools": ((1, 3, 3), (2, 2, 2)),
        "generator": seeded(1),
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
    network.dense.bias.requires_grad_(False)
    assert parameter_count(network) == 10_941_700


@pytest.mark.parametrize("name", ["tomography", "unet"])
def test_start_depends_on_its_generator_alone(name):
    before = torch.get_rng_state()
    one, other, third = (
        build_network(NetworkConfig(name=name), (4, 13, 18), (5, 7), seeded(n)) for n in (7, 7, 8)
    )
    assert torch.equal(before, torch.get_rng_state())
    first, second, different = (
        torch.cat([p.flatten() for p in network.parameters()]) for network in (one, other, third)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, different)


@pytest.mark.parametrize("name", ["tomography", "unet"])
@pytest.mark.parametrize("coarsening", [1, 4])
def test_starts_at_the_mean_model_in_full_detail(name, coarsening):
    config = NetworkConfig(name=name, output_coarsening=coarsening, output_scale=1e-12)
    network = build_network(config, (3, 16, 40), (20, 24))
    model = torch.rand(20, 24)
    network.set_output_bias(model)
    assert torch.allclose(network(torch.randn(2, 1, 3, 16, 40)), model.expand(2, -1, -1), atol=1e-6)


@pytest.mark.parametrize("name", ["tomography", "unet"])
def test_largest_activation_is_the_largest_convolution_output(name):
    network = build_network(NetworkConfig(name=name), (4, 40, 30), (33, 20))
    sizes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d) and module is not getattr(
            network, "output", None
        ):
            module.register_forward_hook(lambda _m, _i, output: sizes.append(output.numel()))
    network(torch.zeros(1, 1, 4, 40, 30))
    assert network.largest_activation == max(sizes)


@pytest.mark.parametrize(("shape", "coarsening"), [((13, 22), 3), ((12, 14), 5), ((11, 11), 40)])
def test_coarse_outputs_are_linear_between_their_nodes(shape, coarsening):
    layer = CoarseDense(4, shape, coarsening)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4)
    coarse = (x @ layer.weight.T).unflatten(1, layer.coarse_shape).detach().numpy()
    nodes = [np.linspace(0, 1, n) for n in layer.coarse_shape]
    fine = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij"), axis=-1)
    expected = np.stack([RegularGridInterpolator(nodes, values)(fine) for values in coarse])
    found = (layer(x) - layer.bias).detach().unflatten(1, shape).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_coarse_output_has_fewer_weights_and_every_one_learns():
    full, coarse = (
        build_network(NetworkConfig(output_coarsening=n), (3, 16, 40), (20, 24)) for n in (1, 3)
    )
    assert coarse.dense.coarse_shape == (8, 9)
    assert parameter_count(coarse) < parameter_count(full)
    coarse.set_output_bias(torch.ones(20, 24))
    coarse(torch.randn(2, 1, 3, 16, 40)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in coarse.parameters())


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
        generator=seeded(0),
    ).double()
    network.set_output_bias(torch.ones(3, 2))
    x = torch.randn(2, 1, *size, generator=seeded(2)).double()
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


def test_convolutions_run_in_channels_last_order():
    network = small_network()
    features = network.blocks(torch.randn(2, 1, 4, 13, 18))
    assert features.is_contiguous(memory_format=torch.channels_last_3d)


def test_weights_are_glorot_uniform():
    config = NetworkConfig(output_scale=0.05)
    network = build_network(config, (5, 40, 50), (20, 30), seeded(0))
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


def test_products_in_forward_mode_are_those_in_reverse_mode(monkeypatch):
    monkeypatch.setattr(replay, "PRODUCTS_BEFORE", 2)
    network, data = small_network().double(), torch.randn(6, 1, 4, 13, 18).double()
    network.set_output_bias(torch.ones(5, 7))
    target = torch.rand(6, 5, 7).double()
    forward, reverse = (
        ModelObjective(network, squared_error, data, target, jacobian_mode=mode).linearize()
        for mode in ("auto", "reverse")
    )
    for _ in range(4):  # The third and fourth are replayed.
        vector = [torch.randn_like(weight) for weight in network.parameters()]
        for one, other in zip(forward.product(vector), reverse.product(vector), strict=True):
            torch.testing.assert_close(one, other)
    assert forward._kept._replay is not None


@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_forward_mode_takes_part_of_the_weights(frozen):
    network, data = small_network().double(), torch.randn(6, 1, 4, 13, 18).double()
    target = torch.rand(6, 5, 7).double()
    getattr(network.blocks[0].convolution, frozen).requires_grad_(False)
    vector = [torch.randn_like(p) for p in network.parameters() if p.requires_grad]
    one, other = (
        ModelObjective(network, squared_error, data, target, jacobian_mode=mode)
        .linearize()
        .product(vector)
        for mode in ("auto", "reverse")
    )
    torch.testing.assert_close(one, other)


def test_derivatives_with_respect_to_the_gathers():
    """The first layer leaves out what data have no part in: not where they are varied."""
    network = small_network().double()
    network.set_output_bias(torch.ones(5, 7))
    data, along = torch.randn(2, 2, 1, 4, 13, 18).double()
    weights = {name: p.detach() for name, p in network.named_parameters()}
    tangents = {name: torch.randn_like(p) for name, p in weights.items()}

    def outputs(named, x):
        return functional_call(network, named, (x,))

    _, both = jvp(outputs, (weights, data), (tangents, along))
    step = 1e-6
    ends = [
        outputs({n: w + s * tangents[n] for n, w in weights.items()}, data + s * along)
        for s in (step, -step)
    ]
    torch.testing.assert_close(both, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-6)


def test_hessian_products_through_functional_transforms():
    network, data = small_network().double(), torch.randn(6, 1, 4, 13, 18).double()
    network.set_output_bias(torch.ones(5, 7))
    target = torch.rand(6, 5, 7).double()
    vector = [torch.randn_like(weight) for weight in network.parameters()]
    names = [name for name, _ in network.named_parameters()]

    def loss(named):
        return squared_error(functional_call(network, named, (data,)), target)

    weights = {name: p.detach() for name, p in network.named_parameters()}
    _, found = jvp(grad(loss), (weights,), (dict(zip(names, vector, strict=True)),))
    wanted = ModelObjective(network, squared_error, data, target).hessian_product(vector)
    torch.testing.assert_close(tuple(found.values()), wanted)


@pytest.mark.parametrize("name", ["tomography", "unet"])
def test_bfloat16_convolutions_are_near_float32(name):
    # No axis is shorter than a kernel: there torch's CPU kernels have wrong derivatives.
    config = NetworkConfig(
        name=name,
        channels=(3, 4),
        kernels=((3, 3, 3),) * 2,
        pools=((1, 3, 3), (2, 2, 2)),
        encoder_channels=(4, 6),
    )
    generator = seeded(3)
    network = build_network(config, (9, 26, 40), (12, 14), generator)
    network.set_output_bias(torch.ones(12, 14))
    data = torch.randn(8, 1, 9, 26, 40, generator=generator)
    target = 1 + torch.rand(8, 12, 14, generator=generator)
    vector = [torch.randn(p.shape, generator=generator) for p in network.parameters()]
    found = {}
    for kind, mode in (
        (None, "auto"),
        (torch.bfloat16, "auto"),
        (torch.bfloat16, "reverse"),
    ):
        network.convolution_type = kind
        objective = ModelObjective(network, squared_error, data, target, jacobian_mode=mode)
        linearized = objective.linearize()
        found[kind, mode] = network(data), linearized.gradient, linearized.product(vector)
        derivatives = *linearized.gradient, *found[kind, mode][2], found[kind, mode][0]
        assert {tensor.dtype for tensor in derivatives} == {torch.float32}

    def distance(one, other):
        one, other = (torch.cat([t.flatten() for t in tensors]) for tensors in (one, other))
        return float(((one - other).norm() / other.norm()).detach())

    exact, forward, reverse = found.values()
    assert 0 < distance([forward[0]], [exact[0]]) < 0.02
    assert 0 < distance(forward[1], exact[1]) < 0.05
    for product in (forward[2], reverse[2]):
        assert 0 < distance(product, exact[2]) < 0.05
    # Curvature of what is computed: never negative along the vector.
    assert sum(float((v * g).sum()) for v, g in zip(vector, forward[2], strict=True)) > 0
