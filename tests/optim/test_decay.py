"""Weight decay: exact in loss, gradient and products, as if the loss had the penalty."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from seistomo.optim import SGN, SQGN, SVRG, ModelObjective, epoch_objectives
from seistomo.optim.decay import Decayed
from seistomo.optim.objective import flatten, unflatten

SAMPLES, RATES = 24, {"head": 0.3, "rest": 0.05}


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


INPUTS, TARGETS = random(SAMPLES, 4, seed=0), random(SAMPLES, 2, seed=1)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).double()


def groups_of(model):
    """The head first, so that the optimizer's order is not the model's; a bias has no decay."""
    return [
        {"params": [model[2].weight], "weight_decay": RATES["head"]},
        {"params": [model[0].bias], "weight_decay": 0.0, "lr": 0.3},
        {"params": [model[0].weight, model[2].bias]},
    ]


class WithWeights(nn.Module):
    """A network whose outputs include its weights, so that a loss can penalize them."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        outputs = self.network(x)
        weights = flatten([p for g in groups_of(self.network) for p in g["params"]])
        return torch.cat([outputs, weights.expand(len(x), -1)], 1)


def penalized(outputs, targets):
    model = network()
    sizes = [
        (p, g.get("weight_decay", RATES["rest"])) for g in groups_of(model) for p in g["params"]
    ]
    rates = torch.cat([torch.full((p.numel(),), rate, dtype=torch.float64) for p, rate in sizes])
    penalty = (rates * outputs[:, 2:].square()).sum() / 2
    return functional.mse_loss(outputs[:, :2], targets) + penalty / len(targets)


def test_loss_gradient_and_products_are_those_of_the_dense_penalty(dense):
    model = network()
    own = [p for group in groups_of(model) for p in group["params"]]
    rates = {model[2].weight: RATES["head"], model[0].weight: 0.05, model[2].bias: 0.05}
    at = {p: p.detach() + 0.1 for p in own}
    objectives = list(epoch_objectives(model, functional.mse_loss, INPUTS, TARGETS, 8))
    objective, rows = Decayed(objectives[0], rates), objectives[0].samples
    matrices = dense(model, functional.mse_loss, INPUTS, TARGETS)
    order = {p: index for index, p in enumerate(model.parameters())}

    def reordered(vector):
        """From the optimizer's order to the model's."""
        parts = unflatten(vector, own)
        return flatten([part for _, part in sorted(zip(map(order.get, own), parts, strict=True))])

    diagonal = torch.cat(
        [torch.full((p.numel(),), rates.get(p, 0.0), dtype=torch.float64) for p in own]
    )
    vector = random(len(diagonal), seed=3)
    close = {"rtol": 1e-11, "atol": 1e-13}
    for params, w in (own, flatten(own).detach()), (at, flatten(list(at.values())).detach()):
        where = reordered(w)
        penalty = (diagonal * w.square()).sum() / 2
        loss, gradient = objective.loss_and_gradient(params)
        torch.testing.assert_close(loss, matrices.loss(where, rows).detach() + penalty, **close)
        torch.testing.assert_close(objective.loss(params), loss, **close)
        expected = matrices.gradient(where, rows) + reordered(diagonal * w)
        torch.testing.assert_close(reordered(flatten(gradient)), expected, **close)
        linearized = objective.linearize(params)
        torch.testing.assert_close(linearized.loss, loss, **close)
        torch.testing.assert_close(linearized.gradient, gradient, **close)
        ways = linearized.product, lambda v, at=params: objective.hessian_product(v, at)
        for product, matrix in zip(ways, (matrices.gauss_newton, matrices.hessian), strict=True):
            found = reordered(flatten(product(unflatten(vector, own))))
            expected = matrix(where, rows) @ reordered(vector) + reordered(diagonal * vector)
            torch.testing.assert_close(found, expected, **close)
        full = objective.full_gradient(params, cache_next=1)
        expected = matrices.gradient(where, slice(None)) + reordered(diagonal * w)
        torch.testing.assert_close(reordered(flatten(full.gradient)), expected, **close)
        torch.testing.assert_close(full.batch_gradients[0], gradient, **close)
        torch.testing.assert_close(full.batch_losses[0], loss, **close)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (SGN, {"damping": 1e-2}),
        (SGN, {"curvature": "hessian", "damping": 0.1}),
        (SGN, {"curvature_samples": 6, "damping_rule": "constant", "damping": 0.1}),
        (SQGN, {"full_gradient_interval": 3, "damping": 1e-2, "undo_above": 1.01}),
        (SQGN, {"full_gradient_interval": "never", "curvature": "hessian", "pair_interval": 2}),
        (SQGN, {"full_gradient_interval": "never", "curvature": "gradient_difference"}),
        (SVRG, {"full_gradient_interval": "epoch"}),
    ],
)
def test_steps_are_those_of_a_loss_with_the_penalty(kind, options):
    decayed, literal = network(), network()
    rate = {"lr": 0.1} if kind is SVRG else {"lr": 0.5}
    ours = kind(groups_of(decayed), weight_decay=RATES["rest"], **rate, **options)
    without = [
        {k: v for k, v in group.items() if k != "weight_decay"} for group in groups_of(literal)
    ]
    theirs = kind(without, **rate, **options)
    for epoch in range(3):
        batches = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(epoch)).split(8)
        for index, rows in enumerate(batches):
            place = {"samples": rows, "batches": batches, "batch_index": index}
            one = ModelObjective(decayed, functional.mse_loss, INPUTS, TARGETS, **place)
            two = ModelObjective(WithWeights(literal), penalized, INPUTS, TARGETS, **place)
            plain = functional.mse_loss(decayed(INPUTS[rows]), TARGETS[rows])
            torch.testing.assert_close(ours.step(one), plain.detach(), rtol=1e-12, atol=0)
            theirs.step(two)
            torch.testing.assert_close(ours.weights(), theirs.weights(), rtol=1e-8, atol=1e-9)
    assert ours.report.keys() == theirs.report.keys()
    one_group = kind(network().parameters(), weight_decay=0.2, **options)
    assert one_group.param_groups[0]["weight_decay"] == 0.2
