"""The U-Net: any size, cheap, differentiable in every way that curvature asks for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seistomo.config import NetworkConfig, load_config
from seistomo.networks import UNet, build_network, parameter_count
from seistomo.optim import ModelObjective, replay
from seistomo.training.positions import network_inputs

TINY = {"encoder": (2, 3), "latent": 4, "decoder": (3, 2)}


def tiny_network(gathers=(2, 6, 9), velocity=(5, 4), **changes):
    generator = torch.Generator().manual_seed(3)
    return UNet(gathers, velocity, **(TINY | {"generator": generator} | changes))


def test_has_fewer_weights_than_the_published_network_at_its_size():
    size = (31, 256, 300), (100, 100)
    ours, published = (
        parameter_count(build_network(NetworkConfig(name=name), *size).to("meta"))
        for name in ("unet", "tomography")
    )
    assert ours < published == 10_951_700


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_inputs_may_bring_each_samples_own_positions(dtype):
    source_x, receiver_x = torch.rand(3, 2).double() - 0.5, torch.rand(3, 6).double() - 0.5
    gathers = torch.randn(3, 2, 6, 9).to(dtype)
    positions = [
        {"source_x": 700 * (source + 0.5).numpy(), "receiver_x": 700 * (receiver + 0.5).numpy()}
        for source, receiver in zip(source_x, receiver_x, strict=True)
    ]
    together = tiny_network()(network_inputs(gathers, positions, 700.0))
    for row, places in enumerate(zip(source_x, receiver_x, strict=True)):
        alone = tiny_network(positions=places)(gathers[row : row + 1, None].float())
        torch.testing.assert_close(together[row : row + 1], alone)
    assert not torch.allclose(together, tiny_network()(gathers[:, None].float()))


def test_the_order_of_shots_makes_no_difference():
    source_x, receiver_x = torch.tensor([-0.4, 0.1, 0.3]), torch.linspace(-0.5, 0.5, 6)
    order, gathers = torch.tensor([2, 0, 1]), torch.randn(2, 1, 3, 6, 9)
    first = tiny_network((3, 6, 9), positions=(source_x, receiver_x))
    second = tiny_network((3, 6, 9), positions=(source_x[order], receiver_x))
    torch.testing.assert_close(first(gathers), second(gathers[:, :, order]))
    assert not torch.allclose(first(gathers), first(gathers[:, :, order]))


def test_long_axes_get_levels_of_their_own():
    network = tiny_network((2, 9, 90), (5, 41))
    sizes = []
    for level in network.encoder:
        level.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    network(torch.zeros(1, 1, 2, 9, 90))
    # Two levels as configured, two more for time alone.
    assert sizes == [(2, 5, 45), (3, 3, 23), (3, 3, 12), (3, 3, 6)]
    assert [level[0].out_channels for level in network.decoder] == [3, 3, 3, 2]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    gathers=st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 40)),
    velocity=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    encoder=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    decoder=st.lists(st.integers(1, 3), min_size=1, max_size=4),
    coarsening=st.integers(1, 5),
)
def test_any_size_works(gathers, velocity, encoder, decoder, coarsening):
    network = tiny_network(
        gathers, velocity, encoder=encoder, decoder=decoder, output_coarsening=coarsening
    )
    outputs = network(torch.randn(2, 1, *gathers))
    assert outputs.shape == (2, *velocity)
    assert outputs.isfinite().all()


def test_every_weight_and_every_input_has_a_say():
    network = tiny_network().double()
    inputs = torch.randn(3, 1, 2, 6, 9, dtype=torch.float64, requires_grad=True)
    outputs = network(inputs)
    found = torch.autograd.grad(outputs.square().sum(), [inputs, *network.parameters()])
    assert all(gradient.any() for gradient in found)
    assert (found[0] != 0).float().mean() > 0.9


@pytest.mark.parametrize(("coarsening", "channels"), [(1, 1), (3, 1), (1, 3)])
@pytest.mark.parametrize("mode", ["auto", "reverse"])
def test_gauss_newton_products_equal_the_dense_matrix(mode, coarsening, channels, monkeypatch):
    monkeypatch.setattr(replay, "PRODUCTS_BEFORE", 1)
    network = tiny_network(output_coarsening=coarsening).double()
    inputs = torch.randn(3, channels, 2, 6, 9, dtype=torch.float64)
    targets = torch.randn(3, 5, 4, dtype=torch.float64)
    parameters = dict(network.named_parameters())

    def outputs(values):
        return torch.func.functional_call(network, values, (inputs,)).flatten()

    blocks = torch.func.jacrev(outputs)(parameters).values()
    jacobian = torch.cat([block.flatten(1).detach() for block in blocks], dim=1)
    # Squared error summed over outputs, averaged over 3 samples: the Hessian in h is 2/3.
    dense = jacobian.T @ jacobian * 2 / 3
    gradient = jacobian.T @ (outputs(parameters) - targets.flatten()).detach() * 2 / 3

    def loss(prediction, reference):
        return (prediction - reference).square().sum() / len(prediction)

    objective = ModelObjective(network, loss, inputs, targets, jacobian_mode=mode)
    linearization = objective.linearize()
    for _ in range(3):  # The last two are replayed.
        vector = [torch.randn_like(p) for p in network.parameters()]
        product = linearization.product(vector)
        expected = dense @ torch.cat([v.flatten() for v in vector])
        torch.testing.assert_close(torch.cat([p.flatten() for p in product]), expected)
    flat = torch.cat([g.flatten() for g in linearization.gradient])
    torch.testing.assert_close(flat, gradient)


def test_signals_keep_their_strength_on_the_way_to_the_output():
    config = load_config("quickstart").network.model_copy(update={"name": "unet"})
    network = build_network(config, (6, 48, 71), (48, 48), torch.Generator().manual_seed(0))
    strengths = []
    for stage in (network.encoder[-1], network.latent, network.decoder[-1]):
        stage.register_forward_hook(
            lambda _m, _i, out: strengths.append(out.square().mean() ** 0.5)
        )
    with torch.no_grad():
        network(torch.randn(16, 1, 6, 48, 71, generator=torch.Generator().manual_seed(1)))
    assert len(strengths) == 3
    # Interpolation averages neighbours: each level of the decoder takes some away.
    assert all(0.1 < float(strength) < 5 for strength in strengths), strengths


def test_coarse_outputs_are_linear_between_their_nodes():
    network = tiny_network(velocity=(7, 5), output_coarsening=2)
    model = network(torch.randn(1, 1, 2, 6, 9))[0].detach()
    torch.testing.assert_close(model[1::2], (model[:-1:2] + model[2::2]) / 2)
    torch.testing.assert_close(model[:, 1::2], (model[:, :-1:2] + model[:, 2::2]) / 2)
    assert model.std() > 0
