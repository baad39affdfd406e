"""ModelObjective as a torch closure, and its losses and gradients."""

import copy

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective, PartwiseObjective


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 4, generator=generator)
    targets = torch.randn(12, 3, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return model, inputs, targets


class InThrees(PartwiseObjective):
    """The same batch, three samples at a time."""

    def __init__(self, model, loss, inputs, targets):
        super().__init__(model, loss, torch.arange(len(inputs)))
        self.inputs, self.targets = inputs, targets

    def parts(self, rows):
        for part in rows.split(3):
            yield self.inputs[part], self.targets[part]


@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [
        (torch.optim.Adam, {"lr": 0.01}),
        (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
        (torch.optim.LBFGS, {"lr": 0.5, "max_iter": 3, "line_search_fn": "strong_wolfe"}),
    ],
)
def test_torch_optimizers_step_as_with_a_closure_by_hand(problem, optimizer_class, options):
    model, inputs, targets = problem
    other = copy.deepcopy(model)
    ours = optimizer_class(model.parameters(), **options)
    theirs = optimizer_class(other.parameters(), **options)

    def closure():
        theirs.zero_grad()
        loss = mean_squared(other(inputs), targets)
        loss.backward()
        return loss

    for _ in range(4):
        objective = ModelObjective(model, mean_squared, inputs, targets)
        assert float(ours.step(objective)) == float(theirs.step(closure).detach())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_gradient_is_what_the_call_leaves_in_grad(problem):
    model, inputs, targets = problem
    objective = ModelObjective(model, mean_squared, inputs, targets)
    gradient = objective.gradient()
    assert all(p.grad is None for p in model.parameters())
    loss = objective()
    assert torch.equal(loss, objective.loss())
    assert not loss.requires_grad
    for parameter, one in zip(model.parameters(), gradient, strict=True):
        assert torch.equal(parameter.grad, one)
    assert objective.gradient_evaluations == 2


def test_gradient_matches_finite_differences(problem):
    model, inputs, targets = problem
    model, inputs, targets = model.double(), inputs.double(), targets.double()
    objective = ModelObjective(model, mean_squared, inputs, targets)
    values = {p: p.detach().clone() for p in model.parameters()}
    direction = {p: torch.randn_like(p) for p in values}
    step = 1e-6
    ahead = objective.loss({p: v + step * direction[p] for p, v in values.items()})
    behind = objective.loss({p: v - step * direction[p] for p, v in values.items()})
    slope = sum((g * direction[p]).sum() for p, g in zip(values, objective.gradient(), strict=True))
    assert float((ahead - behind) / (2 * step)) == pytest.approx(float(slope), rel=1e-7)


def test_gradient_at_other_values_leaves_the_model_alone(problem):
    model, inputs, targets = problem
    objective = ModelObjective(model, mean_squared, inputs, targets)
    elsewhere = {p: p.detach() + 0.1 for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]
    gradient, loss = objective.gradient(elsewhere), objective.loss(elsewhere)
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    assert torch.equal(loss, objective.loss())
    for one, other in zip(gradient, objective.gradient(), strict=True):
        assert torch.equal(one, other)


def test_gradient_follows_the_optimizers_own_parameters_and_order(problem):
    model, inputs, targets = problem
    objective = ModelObjective(model, mean_squared, inputs, targets)
    whole = dict(zip(model.parameters(), objective.gradient(), strict=True))
    head = [model[2].bias, model[2].weight]
    for params in (head, {p: p for p in head}):
        for parameter, one in zip(head, objective.gradient(params), strict=True):
            assert torch.equal(one, whole[parameter])


def test_parts_add_up_to_the_whole(problem):
    model, inputs, targets = problem
    whole = ModelObjective(model, mean_squared, inputs[:11], targets[:11])
    parts = InThrees(model, mean_squared, inputs[:11], targets[:11])
    assert float(parts.loss()) == pytest.approx(float(whole.loss()), rel=1e-6)
    for one, other in zip(parts.gradient(), whole.gradient(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert float(parts()) == pytest.approx(float(whole.loss()), rel=1e-6)
    for parameter, one in zip(model.parameters(), whole.gradient(), strict=True):
        torch.testing.assert_close(parameter.grad, one, rtol=1e-5, atol=1e-7)


def test_loss_of_some_samples_goes_by_global_indices(problem):
    model, inputs, targets = problem
    samples = torch.tensor([7, 2, 9])
    objective = ModelObjective(model, mean_squared, inputs, targets, samples=samples)
    for rows in (samples, torch.tensor([2, 5])):
        expected = mean_squared(model(inputs[rows]), targets[rows])
        assert torch.equal(objective.loss(samples=rows), expected)
    assert torch.equal(objective.loss(), mean_squared(model(inputs[samples]), targets[samples]))


def test_place_in_the_epoch(problem):
    model, inputs, targets = problem
    objective = ModelObjective(
        model, mean_squared, inputs, targets, batch_index=2, batches_per_epoch=5, sample_count=60
    )
    assert (objective.batch_index, objective.batches_per_epoch) == (2, 5)
    assert (objective.batch_size, objective.sample_count) == (12, 60)
    assert ModelObjective(model, mean_squared, inputs, targets).sample_count == 12


def test_parameters_of_another_model_are_refused(problem):
    model, inputs, targets = problem
    objective = ModelObjective(model, mean_squared, inputs, targets)
    with pytest.raises(ValueError, match="no parameter of the model"):
        objective.gradient([torch.zeros(3)])


def test_unequal_inputs_and_targets_are_refused(problem):
    model, inputs, targets = problem
    with pytest.raises(ValueError, match="12 inputs for 3 targets"):
        ModelObjective(model, mean_squared, inputs, targets[:3])


def test_unused_and_frozen_parameters():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)
            self.used.bias.requires_grad_(False)

        def forward(self, x):
            return self.used(x)

    model = Partly()
    objective = ModelObjective(model, mean_squared, torch.ones(3, 2), torch.zeros(3, 1))
    gradient = objective.gradient()
    assert [one.shape for one in gradient] == [(1, 2), (1, 2), (1,)]
    assert not gradient[1].any()
    assert not gradient[2].any()
