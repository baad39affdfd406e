"""The papers' classifiers by name."""

import pytest
import torch

from seistomo.errors import InputError
from seistomo.networks import build_classifier, parameter_count

NETWORKS = {
    "mnist-cnn": ((1, 28, 28), 1_962),
    "mnist-mlp": ((1, 28, 28), 16_750),
    "fashion-cnn": ((1, 28, 28), 44_426),
    "cifar-cnn": ((3, 32, 32), 122_570),
}


@pytest.mark.parametrize(("name", "shape", "count"), [(k, *v) for k, v in NETWORKS.items()])
def test_published_sizes(name, shape, count):
    network = build_classifier(name)
    assert parameter_count(network) == count
    logits = network(torch.rand(3, *shape))
    assert logits.shape == (3, 10)
    gradients = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
    assert all(g.any() for g in gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_generator_alone_decides_the_start(name):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first = build_classifier(name, torch.Generator().manual_seed(3)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(1)
    again = build_classifier(name, torch.Generator().manual_seed(3)).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_unknown_name():
    with pytest.raises(InputError, match="'lenet': must be one of mnist-cnn, mnist-mlp, fashion"):
        build_classifier("lenet")
