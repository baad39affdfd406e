"""Objectives: torch closures, gradients of parts and elsewhere, full gradients and batches' own."""

import copy

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective, OptimizerError, PartwiseObjective, epoch_objectives

SAMPLES = 23


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return model, mean_squared, inputs, targets


def by_hand(problem, rows=slice(None), params=None):
    """Return loss and gradient over some rows, all at once."""
    model, loss, inputs, targets = problem
    value = loss(model(inputs[rows]), targets[rows])
    return value.detach(), torch.autograd.grad(value, params or list(model.parameters()))


def assert_same(found, expected):
    loss, gradient = found
    torch.testing.assert_close(loss, expected[0], rtol=1e-13, atol=0)
    torch.testing.assert_close(tuple(gradient), expected[1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("optimizer_class", "options"),
    [
        (torch.optim.Adam, {"lr": 0.01}),
        (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
        (torch.optim.LBFGS, {"lr": 0.5, "max_iter": 3, "line_search_fn": "strong_wolfe"}),
    ],
)
def test_torch_optimizers_step_as_with_a_closure_by_hand(problem, optimizer_class, options):
    model, _, inputs, targets = problem
    other = copy.deepcopy(model)
    ours = optimizer_class(model.parameters(), **options)
    theirs = optimizer_class(other.parameters(), **options)

    def closure():
        theirs.zero_grad()
        loss = mean_squared(other(inputs), targets)
        loss.backward()
        return loss

    for _ in range(4):
        objective = ModelObjective(*problem)
        assert float(ours.step(objective)) == float(theirs.step(closure).detach())
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_gradient_is_what_the_call_leaves_in_grad(problem):
    model, objective = problem[0], ModelObjective(*problem)
    gradient = objective.gradient()
    assert all(p.grad is None for p in model.parameters())
    loss = objective()
    assert torch.equal(loss, objective.loss())
    assert not loss.requires_grad
    for parameter, one in zip(model.parameters(), gradient, strict=True):
        assert torch.equal(parameter.grad, one)
    assert objective.gradient_evaluations == 2


def test_the_optimizers_own_parameters_in_its_order_and_elsewhere(problem):
    model, objective = problem[0], ModelObjective(*problem)
    head = [model[2].bias, model[2].weight]
    there = {p: p.detach() * 2 + 0.1 for p in head}
    kept = [p.detach().clone() for p in model.parameters()]
    first = next(epoch_objectives(*problem, 7))
    loss, gradient = objective.loss(there), objective.gradient(there)
    full = first.full_gradient(there, cache_next=1)
    assert all(torch.equal(p, before) for p, before in zip(model.parameters(), kept, strict=True))
    assert all(p.grad is None for p in model.parameters())
    with torch.no_grad():
        for p in head:
            p.mul_(2).add_(0.1)
    expected = by_hand(problem, params=head)
    assert_same((loss, gradient), expected)
    assert_same(full[:2], expected)
    assert_same(
        (full.batch_losses[0], full.batch_gradients[0]), by_hand(problem, first.samples, head)
    )
    for params in (head, {p: p for p in head}):
        assert_same((objective.loss(), objective.gradient(params)), expected)
    tensors = [full.loss, *full.gradient, *full.batch_losses, *full.batch_gradients[0]]
    assert not any(tensor.requires_grad for tensor in tensors)


class InThrees(PartwiseObjective):
    """The same batch, three samples at a time."""

    def __init__(self, model, loss, inputs, targets):
        super().__init__(model, loss, torch.arange(len(inputs)))
        self.inputs, self.targets = inputs, targets

    def parts(self, rows):
        for part in rows.split(3):
            yield self.inputs[part], self.targets[part]


def test_parts_add_up_to_the_whole(problem):
    parts, expected = InThrees(*problem), by_hand(problem)
    assert_same((parts.loss(), parts.gradient()), expected)
    assert_same((parts(), [p.grad for p in problem[0].parameters()]), expected)
    some = torch.tensor([7, 2, 9])  # By global indices, inside the batch or not.
    objective = ModelObjective(*problem, samples=torch.tensor([7, 2, 11]))
    assert_same(
        (objective.loss(samples=some), objective.gradient(samples=some)), by_hand(problem, some)
    )


def test_inputs_may_be_several_tensors(problem):
    class Sum(nn.Linear):
        def forward(self, pair):
            return super().forward(pair[0] + pair[1])

    class Pairs(ModelObjective):
        def parts(self, samples):
            for x, y in super().parts(samples):
                yield (x, 2 * x), y

    _, loss, x, y = problem
    model = Sum(4, 3).double()
    for size in (None, 4):
        objective = Pairs(model, loss, x, y, micro_batch=size)
        expected = loss(nn.Linear.forward(model, 3 * x), y)
        torch.testing.assert_close(objective.loss(), expected.detach())
        linearized, vector = objective.linearize(), list(model.parameters())
        torch.testing.assert_close(linearized.product(vector), linearized.product(vector))


def test_unused_and_frozen_parameters():
    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 1)
            self.used.bias.requires_grad_(False)

        def forward(self, x):
            return self.used(x)

    objective = ModelObjective(Partly(), mean_squared, torch.ones(3, 2), torch.zeros(3, 1))
    gradient = objective.gradient()
    assert [one.shape for one in gradient] == [(1, 2), (1, 2), (1,)]
    assert not gradient[1].any()
    assert not gradient[2].any()


# Full gradients.


def assert_full_gradient(problem, objective, batches, cache_next):
    """Compare everything with what each batch, and the whole set, gives by itself."""
    full = objective.full_gradient(cache_next=cache_next)
    assert_same(full[:2], by_hand(problem))
    assert len(full.batch_losses) == len(full.batch_gradients) == cache_next
    own = zip(full.batch_losses, full.batch_gradients, strict=True)
    for found, rows in zip(own, batches, strict=False):
        assert_same(found, by_hand(problem, rows))


@pytest.mark.parametrize(
    ("size", "first", "cache_next", "options"),
    [
        (7, 0, 0, {}),  # 7, 7, 7 and 2 samples.
        (7, 0, 1, {}),
        (7, 0, 4, {"micro_batch": 2}),
        (4, 3, 3, {}),  # The next batches begin with this one.
        (3, 0, 4, {"batches": 4}),  # An epoch may be shorter than the training set,
        (SAMPLES, 0, 1, {}),  # or a batch.
    ],
)
def test_full_gradient_and_those_of_the_next_batches(problem, size, first, cache_next, options):
    objectives = list(epoch_objectives(*problem, size, **options))
    batches = [objective.samples for objective in objectives][first:]
    assert_full_gradient(problem, objectives[first], batches, cache_next)
    assert objectives[first].gradient_evaluations == pytest.approx(SAMPLES / size)


@pytest.mark.parametrize("second", [[2, 3, 6, 7], [1, 2, 4, 5]])
def test_batches_may_be_drawn_with_replacement(problem, second):
    batches = [torch.tensor([1, 1, 4, 5]), torch.tensor(second)]
    objective = ModelObjective(*problem, samples=batches[0], batches=batches)
    assert_full_gradient(problem, objective, batches, 2)
    assert objective.gradient_evaluations == pytest.approx(SAMPLES / 4 + 2)


def test_more_batches_than_the_epoch_still_has_are_refused(problem):
    third = list(epoch_objectives(*problem, 6))[2]
    with pytest.raises(OptimizerError, match="knows 2 from batch 3 of 4 on"):
        third.full_gradient(cache_next=3)
    alone = ModelObjective(*problem, samples=torch.arange(4))
    with pytest.raises(OptimizerError, match="knows 1 from batch 1 of 1 on"):
        alone.full_gradient(cache_next=2)
