"""Operations counted from layers, against those that torch counts as they are done."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seistomo.benchmarks.operations import count_operations
from seistomo.config import NetworkConfig
from seistomo.networks import EncoderDecoder, TomographyNetwork, build_network
from seistomo.optim.curvature import LinearizedPart, WeightedPart
from seistomo.optim.network_at import NetworkAt
from seistomo.training.losses import squared_error

# Pooling windows divide no axis of the first layer, so that no zeros are added to it.
SIZE, VELOCITY = (4, 13, 19), (5, 7)


@pytest.fixture(params=["tomography", "unet"])
def network(request):
    if request.param == "unet":
        return EncoderDecoder(SIZE, VELOCITY, encoder=(3, 4), latent=6, decoder=(4, 3))
    kernels, pools = ((3, 4, 4), (2, 4, 3)), ((1, 3, 3), (2, 2, 2))
    return TomographyNetwork(SIZE, VELOCITY, (3, 4), kernels, pools)


def counted(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def test_they_are_those_that_torch_does(network):
    found = count_operations(network, (1, *SIZE))
    data, target = torch.randn(3, 1, *SIZE), torch.rand(3, *VELOCITY)
    weights = list(network.parameters())
    with torch.no_grad():
        assert counted(lambda: network(data)) == 3 * found.forward
    loss = squared_error(network(data), target)
    back = counted(lambda: torch.autograd.grad(loss, weights))
    assert back == 3 * (found.gradient - found.forward)


def test_forward_mode_leaves_out_what_the_data_have_no_part_in():
    """A first layer's inputs have no tangent: torch would convolve zeros."""
    network = TomographyNetwork(SIZE, VELOCITY, (3, 4), ((3, 4, 4), (2, 4, 3)), ((1, 3, 3),) * 2)
    part = WeightedPart(torch.randn(3, 1, *SIZE), torch.rand(3, *VELOCITY), 1.0, alone=False)
    along = [torch.randn_like(weight) for weight in network.parameters()]
    linearized = LinearizedPart(NetworkAt(network, None), squared_error, part)
    found = count_operations(network, (1, *SIZE))
    assert counted(lambda: linearized.product(along, "forward")) == 3 * found.product


def test_the_papers_network():
    network = build_network(NetworkConfig(), (31, 256, 300), (100, 100))
    found = count_operations(network, (1, 31, 256, 300))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.to("meta")(torch.zeros(1, 1, 31, 256, 300, device="meta"))
    assert found.forward == counter.get_total_flops()
    # Thiele et al. (2021) leave it open; by hand 60.4 over 37.0 GFLOP.
    assert found.product / found.gradient == pytest.approx(1.63, abs=0.01)


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="no convolution and no dense layer"):
        count_operations(nn.Flatten(), (1, 2))
