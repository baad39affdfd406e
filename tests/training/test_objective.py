"""The training objective: Eq. 9, whatever the micro-batches."""

import numpy as np
import pytest
import torch

from seistomo.networks import build_network
from seistomo.optim import ModelObjective
from seistomo.training.losses import squared_error
from seistomo.training.objective import BatchObjective, micro_batch_size
from seistomo.training.problem import TensorSamples

CPU = torch.device("cpu")


@pytest.fixture
def problem(make_config):
    generator = torch.Generator().manual_seed(0)
    network = build_network(make_config().network, (3, 8, 20), (12, 14), generator)
    gathers = torch.randn(11, 3, 8, 20, generator=generator)
    velocity = torch.rand(11, 12, 14, generator=generator)
    samples = TensorSamples(gathers.unsqueeze(1), velocity)
    return network, gathers, velocity, samples.epoch(0, [np.arange(11)])


@pytest.mark.parametrize("micro_batch", [0, 1, 3, 4, 100])
def test_micro_batches_give_the_whole_batch(problem, micro_batch):
    network, gathers, velocity, epoch = problem
    whole = ModelObjective(network, squared_error, gathers.unsqueeze(1), velocity)
    objective = BatchObjective(network, squared_error, epoch, micro_batch=micro_batch)
    expected = whole.gradient()
    assert float(objective.loss()) == pytest.approx(float(whole.loss()), rel=1e-6)
    for one, other in zip(objective.gradient(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert float(objective()) == pytest.approx(float(whole.loss()), rel=1e-6)
    for parameter, one in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, one, rtol=1e-4, atol=1e-5)


def test_micro_batches_bound_what_is_forwarded(problem):
    network, _, _, epoch = problem
    sizes = []
    network.register_forward_hook(lambda _m, inputs, _o: sizes.append(len(inputs[0])))
    BatchObjective(network, squared_error, epoch, micro_batch=4)()
    assert sizes == [4, 4, 3]


def test_the_same_batch_gives_the_same_bits_twice(problem):
    network, _, _, epoch = problem
    objective = BatchObjective(network, squared_error, epoch, micro_batch=4)
    for one, other in zip(objective.gradient(), objective.gradient(), strict=True):
        assert torch.equal(one, other)


def test_samples_are_global_indices(problem):
    network, gathers, velocity, epoch = problem
    objective = BatchObjective(network, squared_error, epoch, micro_batch=2)
    with torch.no_grad():
        expected = squared_error(network(gathers[[2, 5, 6], None]), velocity[[2, 5, 6]])
    loss = objective.loss(samples=torch.tensor([2, 5, 6]))
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    assert (objective.batch_index, objective.batches_per_epoch) == (0, 1)
    assert (objective.batch_size, objective.sample_count) == (11, 11)


def test_micro_batch_size_goes_by_the_largest_layer():
    assert micro_batch_size(5, 10**9, CPU) == 5
    assert micro_batch_size(0, 2**20, CPU) == 8
    assert micro_batch_size(0, 10**9, CPU) == 1
    assert micro_batch_size(0, 2**20, torch.device("cuda")) == 256
