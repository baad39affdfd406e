"""Models and losses of strangers: what works, and what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

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


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.dense = nn.LSTM(2, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.dense(self.recurrent(x.unflatten(1, (2, 2)))[0][:, -1])


class Checkpointed(nn.Sequential):
    reentrant = False

    def forward(self, x):
        inner = lambda z: self[1](z).tanh()  # noqa: E731
        return self[2](checkpoint(inner, self[0](x), use_reentrant=self.reentrant))


class TwoNames(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.second = self.first

    def forward(self, x):
        return self.last(self.second(self.first(x).tanh()).tanh())


def tied_weights():
    model = layers(nn.Tanh(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


def frozen():
    model = layers(nn.Tanh())
    model[0].requires_grad_(False)
    return model


MODELS = {
    "two names": TwoNames,
    "tied weights": tied_weights,
    "frozen": frozen,
    "LSTM": Recurrent,
    "spectral norm": lambda: layers(parametrizations.spectral_norm(nn.Linear(4, 4))).eval(),
    "weight norm": lambda: layers(parametrizations.weight_norm(nn.Linear(4, 4))),
    "batch norm": lambda: layers(nn.BatchNorm1d(4)).eval(),
    "checkpoint": lambda: Checkpointed(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)),
}


def make(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build().double()


def objective_of(model, loss=functional.mse_loss, **options):
    return ModelObjective(model, loss, INPUTS, TARGETS, **options)


def own_parameters(model):
    return [
        (module, name, id(p))
        for module in model.modules()
        for name, p in module._parameters.items()
    ]


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_autograds(name):
    model = make(MODELS[name])
    own = [p for p in model.parameters() if p.requires_grad]
    before, objective = own_parameters(model), objective_of(model)
    value = functional.mse_loss(model(INPUTS), TARGETS)
    gradient = torch.autograd.grad(value, own, create_graph=True)
    vector = [p.detach().sin() for p in own]
    # J v by differentiating u ↦ Jᵀu, and G v from it.
    outputs = model(INPUTS)
    u = torch.zeros_like(outputs, requires_grad=True)
    (tangent,) = torch.autograd.grad(
        torch.autograd.grad(outputs, own, u, create_graph=True), u, vector
    )
    product = torch.autograd.grad(model(INPUTS), own, 2 * tangent / tangent.numel())
    slope = sum((g * v).sum() for g, v in zip(gradient, vector, strict=True))
    curved = torch.autograd.grad(slope, own)
    linearized = objective.linearize()
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(objective.gradient(), tuple(g.detach() for g in gradient), **close)
    for factor in (1, 2, 3):  # In one pass with the outputs, and replayed.
        found = linearized.product([factor * v for v in vector])
        torch.testing.assert_close(found, tuple(factor * p for p in product), **close)
    torch.testing.assert_close(objective.hessian_product(vector), curved, **close)
    there = {p: p.detach() + 0.1 for p in own}
    elsewhere = objective.gradient(there)
    assert own_parameters(model) == before
    with torch.no_grad():
        for p in own:
            p += 0.1
    torch.testing.assert_close(elsewhere, objective.gradient(), **close)


def test_whatever_happens_the_model_has_its_own_parameters():
    class Raising(TwoNames):
        calls, limit = 0, 10**9

        def forward(self, x):
            self.calls += 1
            if self.calls > self.limit:
                raise KeyboardInterrupt
            return super().forward(x)

    model = make(Raising)
    before, optimizer = own_parameters(model), SGN(model.parameters())
    optimizer.step(objective_of(model))
    calls = model.calls
    for limit in range(calls, calls + 5):  # In the middle of a pass for curvature, or of a search.
        model.calls, model.limit = calls, limit
        with pytest.raises(KeyboardInterrupt):
            [optimizer.step(objective_of(model)) for _ in range(3)]
        assert own_parameters(model) == before


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
    # One batch that is all there is, in one part.
    objective().gradient()
    objective().linearize()


# A model that is not the same function twice.


class Shaking(nn.Linear):
    """Random while it trains, in a way that no layer shows."""

    share = 1.0

    def forward(self, x):
        seldom = self.training and torch.rand(()) < self.share
        return super().forward(functional.dropout(x, 0.5) if seldom else x)


class Coupled(nn.Linear):
    """Couples the samples of a batch, in a way that no layer shows."""

    def forward(self, x):
        outputs = super().forward(x)
        return outputs - outputs.mean(0)


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


def test_a_network_that_couples_the_samples_of_a_batch_is_refused():
    objective = objective_of(make(lambda: Coupled(4, 3)))
    for ask in (objective.linearize, objective.full_gradient):
        with pytest.raises(OptimizerError, match="couples the samples of a batch"):
            ask()


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


# What derivatives do not pass.


class Detached(nn.Sequential):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.dense = nn.Embedding(3, 2, sparse=True), nn.Linear(2, 3)

    def forward(self, x):
        return self.dense(self.table((x > 0).long()).mean(1))


def reentrant():
    model = MODELS["checkpoint"]()
    model.reentrant = True
    return model


REFUSED = {
    "no_grad": (lambda: Detached(*layers()), "outputs have no gradient"),
    "reentrant checkpoint": (reentrant, "use_reentrant=False"),
    "DataParallel": (lambda: nn.DataParallel(layers()), r"does not pass DataParallel; .* \.module"),
    "compiled": (lambda: torch.compile(layers(), backend="eager"), r"torch.compile; .*\._orig_mod"),
    "TorchScript": (lambda: torch.jit.script(layers()), "does not pass RecursiveScriptModule"),
    "sparse embedding": (Embedded, "layer table: curvature needs sparse = False"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_models_that_derivatives_do_not_pass_are_refused_in_one_line(name):
    build, message = REFUSED[name]
    model = make(build)
    optimizer = SGN(model.parameters())
    with pytest.raises(OptimizerError, match=message) as caught:
        optimizer.step(objective_of(model))
    assert "\n" not in str(caught.value)


def ctc(outputs, targets):
    log_probabilities = outputs[None].expand(2, -1, -1).log_softmax(-1)
    count = len(outputs)
    lengths = torch.full((2, count), 1) * torch.tensor([[2], [1]])
    given = torch.ones(count, 1, dtype=torch.long)
    return functional.ctc_loss(log_probabilities, given, *lengths, reduction="sum") / count


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda h, y: functional.mse_loss(h.detach(), y), "loss: is detached from the outputs"),
        (lambda h, y: torch.tensor(functional.mse_loss(h, y).item()), "loss: is detached"),
        (ctc, "loss: has no second derivative"),
    ],
)
def test_losses_that_derivatives_do_not_pass_are_refused(loss, message):
    model = make(layers)
    with pytest.raises(OptimizerError, match=message):
        SGN(model.parameters()).step(objective_of(model, loss))
    with torch.inference_mode(), pytest.raises(OptimizerError, match=r"torch\.inference_mode"):
        SGN(model.parameters()).step(objective_of(model))


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
