"""The training objective: the loss of the batch, whatever the micro-batches."""

import numpy as np
import pytest
import torch

from seistomo.networks import build_network
from seistomo.optim import ModelObjective
from seistomo.training import TensorSamples
from seistomo.training.losses import squared_error
from seistomo.training.objective import BatchObjective


@pytest.mark.parametrize("micro_batch", [0, 1, 4, 100])
def test_micro_batches_give_the_whole_batch(micro_batch, make_config):
    generator = torch.Generator().manual_seed(0)
    network = build_network(make_config().network, (3, 8, 20), (12, 14), generator)
    gathers = torch.randn(11, 1, 3, 8, 20, generator=generator)
    velocity = torch.rand(11, 12, 14, generator=generator)
    whole = ModelObjective(network, squared_error, gathers, velocity)
    epoch = TensorSamples(gathers, velocity).epoch(0, [np.arange(11)])
    objective = BatchObjective(network, squared_error, epoch, micro_batch=micro_batch)
    sizes, loss, expected = [], float(whole.loss()), whole.gradient()
    hook = network.register_forward_hook(lambda _m, inputs, _o: sizes.append(len(inputs[0])))
    assert float(objective()) == pytest.approx(loss, rel=1e-6)
    hook.remove()
    assert max(sizes) == min(micro_batch or 11, 11)
    assert sum(sizes) == 11
    again = [parameter.grad for parameter in network.parameters()]
    for one, two, other in zip(objective.gradient(), again, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(two, other, rtol=1e-4, atol=1e-5)
    for one, other in zip(objective.gradient(), objective.gradient(), strict=True):
        assert torch.equal(one, other)
    few = torch.tensor([2, 5, 6])
    with torch.no_grad():
        expected = float(squared_error(network(gathers[few]), velocity[few]))
    assert float(objective.loss(samples=few)) == pytest.approx(expected, rel=1e-6)
    assert (objective.batch_size, objective.sample_count) == (11, 11)
