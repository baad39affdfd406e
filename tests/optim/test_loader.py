"""Objectives over a DataLoader against those over tensors."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

from seistomo.optim import SQGN, SVRG, ModelObjective, OptimizerError, loader_objectives

SAMPLES = 22
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(SAMPLES, 3, generator=GENERATOR, dtype=torch.float64)
TARGETS = torch.randn(SAMPLES, 2, generator=GENERATOR, dtype=torch.float64)
DATA = TensorDataset(INPUTS, TARGETS)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def objectives(model, data=DATA, **options):
    loader = DataLoader(data, batch_size=6, **options)
    return list(loader_objectives(model, functional.mse_loss, loader))


@pytest.mark.parametrize("drop_last", [False, True])
def test_steps_are_those_of_the_same_batches_in_memory(drop_last):
    one, two = network(), network()
    for kind in (SVRG, SQGN):
        optimizers = [kind(m.parameters(), full_gradient_interval="epoch") for m in (one, two)]
        generator = torch.Generator().manual_seed(2)
        for _ in range(2):
            found = objectives(one, shuffle=True, drop_last=drop_last, generator=generator)
            batches = [objective.samples for objective in found]
            assert [len(batch) for batch in batches] == [6, 6, 6, *([] if drop_last else [4])]
            for index, objective in enumerate(found):
                place = {"samples": batches[index], "batches": batches, "batch_index": index}
                other = ModelObjective(two, functional.mse_loss, INPUTS, TARGETS, **place)
                losses = optimizers[0].step(objective), optimizers[1].step(other)
                torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
        weights = [optimizer.weights() for optimizer in optimizers]
        torch.testing.assert_close(*weights, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("rows", [None, range(3, 17)])
def test_a_full_gradient_is_over_all_that_can_be_drawn(rows):
    model = network()
    sampler = None if rows is None else SubsetRandomSampler(rows)
    full = objectives(model, sampler=sampler)[1].full_gradient(cache_next=1)
    drawn = slice(None) if rows is None else slice(3, 17)
    loss = functional.mse_loss(model(INPUTS[drawn]), TARGETS[drawn])
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    torch.testing.assert_close(full.loss, loss.detach())
    torch.testing.assert_close(full.gradient, gradient)


def test_what_cannot_be_read_again_is_refused():
    class Augmented(TensorDataset):
        def __getitem__(self, index):
            inputs, targets = super().__getitem__(index)
            return inputs + torch.randn(3), targets

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(DATA)

    model = network()
    ModelObjective(model, functional.mse_loss, INPUTS, TARGETS).full_gradient()  # Can be.
    for kind in (SVRG, SQGN):
        optimizer = kind(model.parameters(), full_gradient_interval="epoch")
        with pytest.raises(OptimizerError, match="samples: are others when they are read again"):
            optimizer.step(objectives(model, Augmented(INPUTS, TARGETS))[0])
    with pytest.raises(OptimizerError, match="loader: needs a data set with an index"):
        objectives(model, Stream())
