"""The dense layer on a coarser grid."""

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator

from seistomo.config import NetworkConfig
from seistomo.networks import build_network, parameter_count
from seistomo.networks.output import CoarseDense


@pytest.mark.parametrize(("shape", "coarsening"), [((13, 22), 3), ((12, 14), 5), ((11, 11), 40)])
def test_outputs_are_linear_between_coarse_nodes(shape, coarsening):
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


def test_coarse_grid_spans_the_model():
    assert CoarseDense(1, (48, 49), 3).coarse_shape == (17, 17)
    assert CoarseDense(1, (100, 100), 1).coarse_shape == (100, 100)


def test_mean_model_starts_at_full_detail():
    network = build_network(
        NetworkConfig(output_coarsening=4, output_scale=1e-12), (3, 16, 40), (20, 24)
    )
    model = torch.rand(20, 24)
    network.set_output_bias(model)
    assert torch.allclose(network(torch.randn(2, 1, 3, 16, 40)), model.expand(2, -1, -1), atol=1e-6)


def test_fewer_weights_and_every_one_learns():
    full, coarse = (
        build_network(NetworkConfig(output_coarsening=n), (3, 16, 40), (20, 24)) for n in (1, 3)
    )
    assert parameter_count(coarse) < parameter_count(full)
    coarse.set_output_bias(torch.ones(20, 24))
    coarse(torch.randn(2, 1, 3, 16, 40)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in coarse.parameters())
