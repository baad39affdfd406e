"""What breaks silently elsewhere is refused here."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from seistomo.optim import SQGN, ModelObjective, OptimizerError, epoch_objectives


def make(loss=functional.cross_entropy, model=None, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model or nn.Linear(3, 4)
        return ModelObjective(model, loss, torch.randn(12, 3), torch.arange(12) % 4, **options)


LOSSES = {
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "class weights": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 1.0, 0.2])),
    "ignored targets": lambda h, y: functional.cross_entropy(h, y, ignore_index=3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_no_mean_is_refused_where_it_is_parted(name):
    with pytest.raises(OptimizerError, match="must be a mean over samples"):
        make(LOSSES[name], micro_batch=5).gradient()
    objective = make(LOSSES[name], samples=torch.arange(5), batches=[torch.arange(5)])
    with pytest.raises(OptimizerError, match="must be a mean over samples"):
        objective.full_gradient()
    with pytest.raises(OptimizerError, match="must be a mean over samples"):
        make(LOSSES[name], micro_batch=5).linearize()
    with pytest.raises(OptimizerError, match="must be a mean over samples"):
        make(LOSSES[name]).linearize(samples=torch.arange(6))
    # One batch that is all there is, in one part.
    make(LOSSES[name]).gradient()
    make(LOSSES[name]).linearize()


def test_a_mean_is_looked_at_once():
    calls = []

    def loss(outputs, targets):
        calls.append(len(targets))
        return functional.cross_entropy(outputs, targets)

    objective = make(loss, micro_batch=6)
    objective.gradient()
    assert calls == [6, 6, 3, 3, 6]
    ModelObjective(
        objective.model, loss, objective.inputs, objective.targets, micro_batch=6
    ).gradient()
    assert calls[5:] == [6, 6]


def test_a_loss_that_is_not_finite_is_left_to_others():
    objective = make(lambda h, y: functional.cross_entropy(h, y) / 0, micro_batch=5)
    assert not torch.isfinite(objective.loss())


class Shaking(nn.Linear):
    """Random in a way that no layer shows."""

    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5))


def test_a_network_that_draws_at_random_is_refused():
    objective = make(model=Shaking(3, 4))
    objective()
    before = objective.model.weight.detach().clone()
    for ask in (objective.linearize, objective.full_gradient):
        with pytest.raises(OptimizerError, match="other outputs for the same inputs"):
            ask()
    optimizer = SQGN(objective.model.parameters(), full_gradient_interval=1)
    with pytest.raises(OptimizerError, match="other outputs"):
        optimizer.step(objective)
    assert torch.equal(objective.model.weight, before)


class Training(nn.Linear):
    """Random while it trains, now and then, in a way that no layer shows."""

    def forward(self, x):
        seldom = self.training and torch.rand(()) < 0.3
        return super().forward(x * 0.9 if seldom else x)


def test_a_network_is_looked_at_in_each_of_its_modes():
    objective = make(model=Training(3, 4).eval())
    objective.linearize()
    objective.model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with pytest.raises(OptimizerError, match="other outputs for the same inputs"):
            objective.linearize()


def test_a_batch_must_be_the_one_of_its_number():
    batches = list(torch.arange(12).split(4))
    make(samples=batches[1], batches=batches, batch_index=1)
    with pytest.raises(OptimizerError, match=r"samples: are not those of batches\[0\]"):
        make(samples=batches[1], batches=batches)
    with pytest.raises(OptimizerError, match="batch_index = 3: must be from 0 to 2"):
        make(samples=batches[1], batches=batches, batch_index=3)
    with pytest.raises(OptimizerError, match="must not be empty"):
        make(samples=batches[1][:0])


@pytest.mark.parametrize("size", [0, -3, 2.5])
def test_sizes_of_batches_are_checked(size):
    with pytest.raises(OptimizerError, match=f"micro_batch = {size}"):
        make(micro_batch=size)
    objective = make()
    data = objective.inputs, objective.targets
    with pytest.raises(OptimizerError, match=f"batch_size = {size}"):
        next(epoch_objectives(objective.model, functional.cross_entropy, *data, size))


def test_a_model_without_trainable_parameters_and_a_wrong_mode_are_refused():
    objective = make(model=nn.Linear(3, 4).requires_grad_(False))
    for ask in (objective, objective.gradient, objective.linearize):
        with pytest.raises(OptimizerError, match="none of its parameters needs a gradient"):
            ask()
    with pytest.raises(OptimizerError, match="jacobian_mode = 'foward'"):
        make(jacobian_mode="foward")


def test_inputs_may_be_several_tensors():
    class Sum(nn.Linear):
        def forward(self, pair):
            return super().forward(pair[0] + pair[1])

    class Pairs(ModelObjective):
        def parts(self, samples):
            for x, y in super().parts(samples):
                yield (x, 2 * x), y

    torch.manual_seed(0)
    x, y = torch.randn(10, 3), torch.arange(10) % 4
    model = Sum(3, 4)
    for size in (None, 4):
        objective = Pairs(model, functional.cross_entropy, x, y, micro_batch=size)
        expected = functional.cross_entropy(nn.Linear.forward(model, 3 * x), y)
        torch.testing.assert_close(objective.loss(), expected.detach())
        vector = list(model.parameters())
        torch.testing.assert_close(
            *[objective.linearize().product(vector) for _ in range(2)], rtol=1e-5, atol=1e-6
        )
