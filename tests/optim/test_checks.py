"""Models and losses of strangers: what works, and what is refused."""

import contextlib
import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from seistomo.optim import (
    SGN,
    SQGN,
    ModelObjective,
    OptimizerError,
    epoch_objectives,
)
from seistomo.optim.checks import require_deterministic
from seistomo.optim.objective import flatten

SAMPLES = 12


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


INPUTS, TARGETS = random(SAMPLES, 4), random(SAMPLES, 3, seed=1)


def layers(*between):
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 3))


def make(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double()


def objective_of(model, loss=functional.mse_loss, **options):
    return ModelObjective(model, loss, INPUTS, TARGETS, **options)


# A loss that sees more than the outputs.


def test_a_loss_that_depends_on_the_weights_is_refused():
    model = make(lambda: layers(nn.Tanh()))

    def penalized(outputs, targets, factor=0.1):
        penalty = sum(p.square().sum() for p in model.parameters())
        return functional.mse_loss(outputs, targets) + factor * penalty

    for kind, options in (SGN, {"curvature": "hessian"}), (SQGN, {"full_gradient_interval": 1}):
        optimizer = kind(model.parameters(), **options)
        with pytest.raises(OptimizerError, match="loss: depends on the model's weights"):
            optimizer.step(objective_of(model, penalized))
    # A first-order step knows it; nothing beside the outputs is no dependence.
    gradient = flatten(objective_of(model, penalized).gradient())
    plain = flatten(objective_of(model).gradient())
    torch.testing.assert_close(gradient, plain + 0.2 * flatten(list(model.parameters())).detach())
    objective_of(model, lambda h, y: penalized(h, y, 0.0)).linearize()


LOSSES = {
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "class weights": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 1.0, 0.2]).double()),
    "ignored targets": lambda h, y: functional.cross_entropy(h, y, ignore_index=3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_that_is_no_mean_is_refused_where_it_is_parted(name):
    model, labels = make(lambda: nn.Linear(4, 4)), torch.arange(SAMPLES) % 4

    def objective(**options):
        return ModelObjective(model, LOSSES[name], INPUTS, labels, **options)

    five = torch.arange(5)
    for ask in (
        objective(micro_batch=5).gradient,
        objective(samples=five, batches=[five]).full_gradient,
        objective(micro_batch=5).linearize,
        lambda: objective().linearize(samples=torch.arange(6)),
    ):
        with pytest.raises(OptimizerError, match="must be a mean over samples"):
            ask()
    # One batch that is all there is, in one part: only a sum would change λ and ρ.
    for ask in (objective().gradient, objective().linearize):
        refused = pytest.raises(OptimizerError, match="must be a mean")
        with refused if name == "sum" else contextlib.nullcontext():
            ask()


# A model that is not the same function twice.


class Shaking(nn.Linear):
    """Random while it trains, in a way that no layer shows."""

    share = 1.0

    def forward(self, x):
        seldom = self.training and torch.rand(()) < self.share
        return super().forward(functional.dropout(x, 0.5) if seldom else x)


def test_a_network_that_draws_at_random_is_refused_in_the_modes_where_it_does():
    model = make(lambda: Shaking(4, 3)).eval()
    objective = objective_of(model)
    objective.linearize()
    model.train()
    before = copy.deepcopy(model.state_dict())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for share in (1.0, 0.3):
            model.share = share
            for ask in (objective.linearize, objective.full_gradient):
                with pytest.raises(OptimizerError, match="other outputs for the same inputs"):
                    ask()
        with pytest.raises(OptimizerError, match="other outputs"):
            SQGN(model.parameters(), full_gradient_interval=1).step(objective)
    assert torch.equal(model.weight, before["weight"])


@pytest.mark.parametrize(
    ("layer", "refused"),
    [
        (nn.BatchNorm1d(4), "layer 1 .BatchNorm1d. in train mode"),
        (nn.RReLU(), "layer 1 .RReLU. in train mode"),
        (nn.BatchNorm1d(4, track_running_stats=False).eval(), "without running statistics"),
        (nn.GRU(4, 4, num_layers=2, dropout=0.5), "layer 1 .GRU. in train mode"),
        (nn.MultiheadAttention(4, 1, dropout=0.1), "layer 1 .MultiheadAttention. in train mode"),
        (nn.Dropout(0.0), None),
        (nn.LayerNorm(4), None),
        (nn.GRU(4, 4, num_layers=2, dropout=0.5).eval(), None),
    ],
)
def test_only_layers_that_are_random_or_coupled_are_refused(layer, refused):
    model = layers(layer)
    if refused is None:
        require_deterministic(model)
        return
    objective = objective_of(model.double())
    vector = list(model.parameters())
    for ask in (
        objective.full_gradient,
        objective.linearize,
        lambda: objective.hessian_product(vector),
        lambda: require_deterministic(model),
    ):
        with pytest.raises(OptimizerError, match=refused):
            ask()


# Objectives that cannot be.


def test_what_an_objective_cannot_be_made_of():
    model, batches = make(layers), list(torch.arange(SAMPLES).split(4))
    place = {"samples": batches[1], "batches": batches}
    objective_of(model, **place, batch_index=1)
    for options, message in (
        (place, r"samples: are not those of batches\[0\]"),
        ({**place, "batch_index": 3}, "batch_index = 3: must be from 0 to 2"),
        ({"samples": batches[1][:0]}, "must not be empty"),
        ({"micro_batch": 2.5}, "micro_batch = 2.5"),
        ({"jacobian_mode": "foward"}, "jacobian_mode = 'foward'"),
    ):
        with pytest.raises(OptimizerError, match=message):
            objective_of(model, **options)
    with pytest.raises(OptimizerError, match="batch_size = 0"):
        next(epoch_objectives(model, functional.mse_loss, INPUTS, TARGETS, 0))
    with pytest.raises(OptimizerError, match="12 inputs for 3 targets"):
        ModelObjective(model, functional.mse_loss, INPUTS, TARGETS[:3])
    with pytest.raises(OptimizerError, match="no parameter of the model"):
        objective_of(model).gradient([torch.zeros(3)])
    still = objective_of(model.requires_grad_(False))
    for ask in (still, still.gradient, still.linearize):
        with pytest.raises(OptimizerError, match="none of its parameters needs a gradient"):
            ask()
