"""Variance-reduced gradients against the formula with both batch gradients computed anew."""

import copy

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective, OptimizerError, epoch_objectives
from seistomo.optim.variance_reduction import VarianceReduction
from seistomo.optim.vectors import flatten


def squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(22, 3, generator=generator, dtype=torch.float64)
    targets = torch.randn(22, 2, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return model, inputs, targets


def epoch(problem, batch_size=4, **options):
    return epoch_objectives(
        problem[0],
        squared,
        *problem[1:],
        batch_size,
        torch.Generator().manual_seed(2),
        **options,
    )


def gradient_of(model, inputs, targets):
    loss = squared(model(inputs), targets)
    return loss.detach(), flatten(torch.autograd.grad(loss, list(model.parameters())))


def move(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).double()


@pytest.mark.parametrize("interval", [1, 2, 3, 6, "epoch"])
def test_cached_gradients_give_the_literal_formula(problem, interval):
    model, inputs, targets = problem
    reduction, memory, before = VarianceReduction(interval), {}, None
    steps = 6 if interval == "epoch" else interval
    for objective in epoch(problem):  # Five batches of four and one of two.
        if objective.batch_index % steps == 0:
            before = copy.deepcopy(model)
        found = reduction.gradient(objective, list(model.parameters()), memory)
        batch = inputs[objective.samples], targets[objective.samples]
        loss, here = gradient_of(model, *batch)
        there, full = gradient_of(before, *batch)[1], gradient_of(before, inputs, targets)[1]
        torch.testing.assert_close(found.loss, loss)
        torch.testing.assert_close(found.batch_gradient, here)
        torch.testing.assert_close(found.gradient, here - there + full)
        move(model, objective.batch_index)


def test_step_after_a_full_gradient_is_the_full_gradient_and_costs_nothing_more(problem):
    model, inputs, targets = problem
    reduction, memory = VarianceReduction(3), {}
    evaluations = []
    for objective in epoch(problem):
        found = reduction.gradient(objective, list(model.parameters()), memory)
        if objective.batch_index % 3 == 0:
            torch.testing.assert_close(found.gradient, gradient_of(model, inputs, targets)[1])
        evaluations.append(objective.gradient_evaluations * objective.batch_size)
        move(model, objective.batch_index)
    assert evaluations == pytest.approx([22, 4, 4, 22, 4, 2])


def test_a_run_that_begins_inside_an_epoch_takes_its_full_gradient_there(problem):
    reduction, memory = VarianceReduction(3), {}
    parameters = list(problem[0].parameters())
    batches = list(epoch(problem, first=4))
    for objective in batches:
        reduction.gradient(objective, parameters, memory)
    assert [objective.batch_index for objective in batches] == [4, 5]
    assert batches[0].gradient_evaluations * 4 == pytest.approx(22)
    assert batches[1].gradient_evaluations == pytest.approx(1)


def test_an_interval_that_does_not_divide_the_epoch_is_refused(problem):
    objective = next(epoch(problem))
    with pytest.raises(OptimizerError, match=r"full_gradient_interval = 4.*6 batches.*1, 2, 3, 6"):
        VarianceReduction(4).gradient(objective, list(problem[0].parameters()), {})


@pytest.mark.parametrize("interval", [0, -1, 2.5, "day", None, True])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(OptimizerError, match="full_gradient_interval"):
        VarianceReduction(interval)


def test_snapshot_in_a_copied_memory_continues_bit_for_bit(problem):
    model = problem[0]
    parameters, memory = list(model.parameters()), {}
    objectives = list(epoch(problem))
    VarianceReduction(3).gradient(objectives[0], parameters, memory)
    move(model, 0)
    copied = copy.deepcopy(memory)
    first = VarianceReduction(3).gradient(objectives[1], parameters, memory)
    second = VarianceReduction(3).gradient(objectives[1], parameters, copied)
    assert torch.equal(first.gradient, second.gradient)


def test_gradients_that_are_used_up_are_dropped(problem):
    reduction, memory, kept = VarianceReduction(3), {}, []
    for objective in epoch(problem):
        reduction.gradient(objective, list(problem[0].parameters()), memory)
        kept.append(list(memory["snapshot"]["batches"]))
    assert kept == [[1, 2], [2], [], [4, 5], [5], []]


@pytest.mark.parametrize("known", [True, False])
def test_other_batches_than_the_snapshots_are_refused(problem, known, monkeypatch):
    reduction, memory, parameters = VarianceReduction(3), {}, list(problem[0].parameters())
    first, objective, *_ = epoch(problem)
    if not known:  # As from an objective that does not tell.
        full = first.full_gradient(parameters, cache_next=3)._replace(batch_samples=())
        monkeypatch.setattr(first, "full_gradient", lambda *_, **__: full)
    reduction.gradient(first, parameters, memory)
    order = torch.Generator().manual_seed(3)
    other = list(epoch_objectives(problem[0], squared, *problem[1:], 4, order))[1]
    if known:
        with pytest.raises(OptimizerError, match=r"^batch 2 of 6: .* restore the generator"):
            reduction.gradient(other, parameters, memory)
        # Nothing is lost.
        found = reduction.gradient(objective, parameters, memory)
        torch.testing.assert_close(found.gradient, memory["snapshot"]["gradient"])
    else:
        reduction.gradient(other, parameters, memory)


def test_a_snapshot_that_is_forgotten_is_taken_again(problem):
    reduction, memory, parameters = VarianceReduction(3), {}, list(problem[0].parameters())
    evaluations = []
    for objective in list(epoch(problem))[:3]:
        found = reduction.gradient(objective, parameters, memory)
        evaluations.append(objective.gradient_evaluations * 4)
        assert found.at_snapshot is (evaluations[-1] > 4)
        if objective.batch_index == 0:
            reduction.forget(memory)
            assert memory == {}
    assert evaluations == pytest.approx([22, 22, 4])


def test_a_lone_batch_is_told_what_it_can_do(problem):
    model, *data = problem
    objective = ModelObjective(model, squared, *data)
    message = r'epoch of 1 batch; allowed here: 1, "epoch", and in SQGN "never"'
    with pytest.raises(OptimizerError, match=message):
        VarianceReduction(10).gradient(objective, list(model.parameters()), {})
