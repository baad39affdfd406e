"""SQGN against Algorithm 1 written out, its linear rate, and the cure of stuck runs."""

import copy
import io
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional

from seistomo.optim import SQGN, ModelObjective, OptimizerError, epoch_objectives
from seistomo.optim.lbfgs import PairHistory
from seistomo.optim.objective import flatten

SAMPLES, BATCH, EPOCH = 24, 4, 6
ALPHA, LAMBDA = 0.3, 0.05


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (SAMPLES,), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    return model, functional.cross_entropy, inputs, targets


def objectives(problem, epochs, batch_size=BATCH):
    generator = torch.Generator().manual_seed(7)
    for _ in range(epochs):
        yield from epoch_objectives(*problem, batch_size, generator)


class Literal:
    """Thiele et al. 2021, Algorithm 1, line by line, with dense matrices."""

    def __init__(self, problem, *, alpha=ALPHA, K=2, M=1, L=20, T=BATCH, first_step="code"):
        self.model, self.loss, self.inputs, self.targets = problem
        self.shapes = {name: p.shape for name, p in self.model.named_parameters()}
        self.alpha, self.K, self.M, self.L, self.T = alpha, K, M, L, T
        self.first_step = first_step
        self.generator = torch.Generator().manual_seed(5)
        self.weights = flatten(list(self.model.parameters())).detach()
        self.k, self.history = 0, []

    def outputs(self, weights, samples):
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), weights.split(sizes), strict=True)
        named = {name: part.view(shape) for (name, shape), part in parts}
        return functional_call(self.model, named, (self.inputs[samples],))

    def gradient(self, weights, samples):
        return jacrev(lambda w: self.loss(self.outputs(w, samples), self.targets[samples]))(weights)

    def gauss_newton(self, weights, samples):
        outputs = self.outputs(weights, samples)
        jacobian = jacrev(self.outputs)(weights, samples).flatten(0, 1)
        curved = hessian(lambda h: self.loss(h, self.targets[samples]))(outputs)
        curved = curved.flatten(2, 3).flatten(0, 1)
        return jacobian.T @ curved @ jacobian

    def direction(self, gradient):
        if not self.history:
            return -gradient if self.first_step == "paper" else -1e-7 * gradient
        p, coefficients = -gradient, []
        for s, v in reversed(self.history):
            coefficients.append(s.dot(p) / s.dot(v))
            p = p - coefficients[-1] * v
        p = p * sum(s.dot(v) / v.dot(v) for s, v in self.history) / len(self.history)
        for (s, v), a in zip(self.history, reversed(coefficients), strict=True):
            p = p + (a - v.dot(p) / s.dot(v)) * s
        return p

    def step(self, batch_index, batch):
        everything = torch.arange(SAMPLES)
        gradient = self.gradient(self.weights, batch)
        if self.K is not None:
            if batch_index % self.K == 0:
                self.snapshot = self.weights
                self.full = self.gradient(self.weights, everything)
            gradient = gradient - self.gradient(self.snapshot, batch) + self.full
        direction = self.direction(gradient)
        if self.k == 0 and self.first_step == "paper":
            s = 1e-7 * direction
        else:
            s = self.alpha * direction
        self.weights = self.weights + s
        if self.k % self.M == 0:
            if len(batch) > self.T:
                batch = batch[torch.randperm(len(batch), generator=self.generator)[: self.T]]
            elif len(batch) < self.T:
                batch = torch.randperm(SAMPLES, generator=self.generator)[: self.T]
            v = self.gauss_newton(self.weights, batch) @ s + LAMBDA * s
            self.history = [*self.history, (s, v)][-self.L :]
        self.k += 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"M": 3, "L": 3},
        {"L": 4, "T": 2, "K": 3},
        {"first_step": "paper", "K": 6},
        {"first_step": "paper", "K": None, "T": 3},
        {"K": None, "M": 3, "L": 2},
        {"T": 9, "K": 1},
    ],
)
def test_equals_algorithm_1_step_by_step(problem, options):
    literal = Literal(problem, **options)
    optimizer = SQGN(
        problem[0].parameters(),
        ALPHA,
        history=literal.L,
        pair_interval=literal.M,
        damping=LAMBDA,
        full_gradient_interval=literal.K or "never",
        curvature_samples=None if literal.T == BATCH else literal.T,
        curvature_from="training_set" if literal.T > BATCH else "batch",
        first_step=literal.first_step,
        seed=5,
    )
    start = optimizer.weights()
    for objective in objectives(problem, 3):
        before = literal.weights
        loss = problem[1](problem[0](problem[2][objective.samples]), problem[3][objective.samples])
        torch.testing.assert_close(optimizer.step(objective), loss.detach())
        literal.step(objective.batch_index, objective.samples)
        moved = literal.weights - before
        error = optimizer.weights() - literal.weights
        assert error.norm() < 1e-8 * moved.norm() + 1e-14
        assert optimizer.report["pairs"] == len(literal.history)
    assert (optimizer.weights() - start).norm() > 0.1


def test_groups_have_their_own_learning_rate(problem):
    rates = torch.cat([torch.full((16,), ALPHA), torch.full((15,), 0.1)]).double()
    literal = Literal(problem, alpha=rates)
    first, last = problem[0][0], problem[0][2]
    groups = [{"params": first.parameters()}, {"params": last.parameters(), "lr": 0.1}]
    optimizer = SQGN(groups, ALPHA, damping=LAMBDA, full_gradient_interval=2, first_step="code")
    for objective in objectives(problem, 2):
        optimizer.step(objective)
        literal.step(objective.batch_index, objective.samples)
    torch.testing.assert_close(optimizer.weights(), literal.weights)


def test_a_learning_rate_set_during_the_run_acts(problem):
    optimizer = SQGN(problem[0].parameters(), ALPHA, full_gradient_interval=2)
    batches = objectives(problem, 1)
    optimizer.step(next(batches))
    optimizer.param_groups[0]["lr"] = 0.0
    before = optimizer.weights()
    optimizer.step(next(batches))
    assert torch.equal(optimizer.weights(), before)
    assert optimizer.report["pair"] == "no step"
    assert optimizer.report["refused"] == {"no step": 1}


@pytest.mark.parametrize(
    "options",
    [
        {"curvature_samples": 2},
        {"curvature": "hessian", "pair_interval": 3},
        {"curvature": "gradient_difference"},
        {"full_gradient_interval": "never", "history": 3},
    ],
)
def test_state_dict_in_the_middle_of_an_epoch_continues_bit_for_bit(problem, options):
    options = {"full_gradient_interval": 3, "damping": LAMBDA, **options}
    model = problem[0]
    optimizer = SQGN(model.parameters(), ALPHA, **options)
    batches = list(objectives(problem, 3))
    for objective in batches[:8]:
        optimizer.step(objective)
    stream = io.BytesIO()
    torch.save(optimizer.state_dict(), stream)
    stream.seek(0)
    other = copy.deepcopy(model)
    resumed = SQGN(other.parameters(), ALPHA, **options)
    resumed.load_state_dict(torch.load(stream, weights_only=True))
    for theirs, ours in zip(
        list(objectives((other, *problem[1:]), 3))[8:], batches[8:], strict=True
    ):
        optimizer.step(ours)
        resumed.step(theirs)
        assert torch.equal(optimizer.weights(), resumed.weights())


class Ridge(nn.Module):
    """Logistic regression whose outputs include its weights, so that ℓ can penalize them."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, inputs):
        weights = self.weight.expand(len(inputs), -1)
        return torch.cat([(inputs @ self.weight)[:, None], weights], dim=1)


def ridge_loss(outputs, targets, ridge=0.02):
    fit = functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)
    return fit + ridge / 2 * outputs[:, 1:].square().sum() / len(outputs)


@pytest.fixture
def logistic():
    """A regularized logistic regression of condition 100, and its solution by Newton's method."""
    generator = torch.Generator().manual_seed(3)
    scales = torch.logspace(0, 1, 8, dtype=torch.float64)
    inputs = scales * torch.randn(200, 8, generator=generator, dtype=torch.float64)
    targets = (inputs @ (1 / scales) + torch.randn(200, generator=generator) > 0).double()
    model = Ridge(8)

    def loss(weight):
        return ridge_loss(functional_call(model, {"weight": weight}, (inputs,)), targets)

    solution = torch.zeros(8, dtype=torch.float64)
    for _ in range(20):
        solution -= torch.linalg.solve(hessian(loss)(solution), jacrev(loss)(solution))
    assert jacrev(loss)(solution).norm() < 1e-13
    return model, inputs, targets, solution


@pytest.mark.parametrize("first_step", ["safe", "code"])
def test_exact_gradients_converge_linearly(logistic, first_step):
    model, inputs, targets, solution = logistic
    optimizer = SQGN(
        model.parameters(),
        0.3,
        damping=0.0,
        history=8,
        full_gradient_interval="never",
        first_step=first_step,
    )
    errors = []
    for _ in range(160):
        optimizer.step(ModelObjective(model, ridge_loss, inputs, targets))
        errors.append(float((model.weight.detach() - solution).norm()))
    assert errors[0] > 0.1
    assert errors[-1] < 1e-9
    # Each ten steps, the error falls by at least this factor, over more than eight decades.
    falls = [after / before for before, after in zip(errors[10:], errors[20:], strict=False)]
    assert max(fall for fall, error in zip(falls, errors[20:], strict=False) if error > 1e-10) < 0.5


def test_variance_reduction_converges_to_the_solution_where_plain_batches_do_not(logistic):
    model, inputs, targets, solution = logistic

    def error_after(epochs, **options):
        model.weight.data.zero_()
        optimizer = SQGN(model.parameters(), 0.1, damping=0.0, **options)
        for objective in objectives((model, ridge_loss, inputs, targets), epochs, 50):
            optimizer.step(objective)
        return float((model.weight.detach() - solution).norm())

    assert error_after(60, full_gradient_interval="epoch") < 1e-5
    assert error_after(60, full_gradient_interval="never") > 1e-3


def test_steps_go_only_as_far_as_the_model_of_the_loss_stays_positive(problem):
    model = problem[0]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 8  # Saturates the softmax, which hides curvature.
    optimizer = SQGN(model.parameters(), ALPHA, damping=LAMBDA, full_gradient_interval="never")
    fractions = []
    for objective in objectives(problem, 3):
        loss, gradient = float(objective.loss()), flatten(objective.gradient())
        pairs = PairHistory(copy.deepcopy(optimizer.memory["pairs"])) if fractions else None
        optimizer.step(objective)
        t = optimizer.report["fraction"]
        fractions.append(t)
        if pairs is None:
            continue
        promise = ALPHA * float(gradient.dot(pairs.inverse_product(gradient)))
        least = loss - t * promise + ALPHA * t**2 * promise / 2
        if t < 1:
            assert least == pytest.approx(0, abs=1e-9 * loss)
        else:
            assert least >= 0
    assert min(fractions) < 0.9
    assert max(fractions) == 1


@pytest.mark.parametrize("seed", [63, 102, 113, 118, 129])  # 5 of the first 150 get stuck.
def test_relus_that_the_published_first_steps_kill_survive(seed):
    def units_alive(**options):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Linear(8, 6, bias=False, dtype=torch.float64),
            nn.ReLU(),
            nn.Linear(6, 6, bias=False, dtype=torch.float64),
            nn.ReLU(),
            nn.Linear(6, 4, dtype=torch.float64),
        )
        optimizer = SQGN(model.parameters(), **options, full_gradient_interval="never")
        for _ in range(15):
            optimizer.step(ModelObjective(model, functional.cross_entropy, inputs, targets))
        assert optimizer.report["finite"]
        return int((model[:4](inputs) > 0).any(0).sum())

    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(200, 8, generator=generator, dtype=torch.float64)
    centres = torch.rand(4, 8, generator=generator, dtype=torch.float64)
    targets = torch.cdist(inputs, centres).argmin(1)
    inputs = 100 * inputs  # Saturates the softmax, as pixels from 0 to 255 do.
    with torch.random.fork_rng():
        assert units_alive(first_step="code", undo_above=0) == 0
        assert units_alive(undo_above=0) > 0
        assert units_alive() > 0


def test_steps_are_limited_however_many_pairs_there_are(problem, monkeypatch):
    model, loss, *data = problem
    optimizer = SQGN(model.parameters(), 0.5, history=3, full_gradient_interval="never")
    for _ in range(30):
        optimizer.step(ModelObjective(model, loss, *data))
    monkeypatch.setattr(PairHistory, "inverse_product", lambda self, vector: 1e9 * vector)
    objective = ModelObjective(model, loss, *data)
    value, gradient = objective.loss_and_gradient()
    optimizer.step(objective)
    assert optimizer.report["fraction"] < 1
    # f - t p + t² α p / 2 = 0 at the fraction t, with p = α 10⁹ |g|².
    t, promise = optimizer.report["fraction"], 0.5e9 * float(flatten(gradient).square().sum())
    assert float(value) == pytest.approx(t * promise - 0.25 * t**2 * promise, rel=1e-9)


def test_first_step_does_not_depend_on_the_scale_of_the_loss(problem):
    model, loss, *data = problem
    lengths = []
    for factor in (1e-6, 1.0, 1e9):
        copied = copy.deepcopy(model)
        optimizer = SQGN(copied.parameters(), ALPHA, full_gradient_interval="never")
        optimizer.step(ModelObjective(copied, lambda h, y, c=factor: c * loss(h, y), *data))
        lengths.append(optimizer.report["step_length"])
    expected = math.sqrt(torch.finfo(torch.float64).eps) * (1 + optimizer.weights().norm())
    assert lengths == pytest.approx([expected.item()] * 3, rel=1e-6)


def test_what_is_not_finite_moves_nothing_and_leaves_no_trace(problem):
    model, loss, inputs, targets = problem
    optimizer = SQGN(model.parameters(), ALPHA, damping=LAMBDA, full_gradient_interval="never")
    for objective in objectives(problem, 1):
        optimizer.step(objective)
    before, pairs = optimizer.weights(), copy.deepcopy(optimizer.memory["pairs"])
    broken = inputs.clone()
    broken[3] = math.nan
    assert math.isnan(optimizer.step(ModelObjective(model, loss, broken, targets)))
    assert torch.equal(optimizer.weights(), before)
    assert not optimizer.report["finite"]
    assert optimizer.report["pair"] == "not finite"
    assert all(
        torch.equal(pairs[key], optimizer.memory["pairs"][key]) for key in ("steps", "scales")
    )
    optimizer.step(ModelObjective(model, loss, inputs, targets))
    assert optimizer.report["finite"]
    assert optimizer.report["pair"] == "stored"


def test_a_full_gradient_that_is_not_finite_is_taken_again(problem):
    model, loss, inputs, targets = problem
    inputs = inputs.clone()
    optimizer = SQGN(model.parameters(), ALPHA, damping=LAMBDA, full_gradient_interval=6)
    batches = list(objectives((model, loss, inputs, targets), 1))
    good = inputs[batches[2].samples[0]].clone()
    inputs[batches[2].samples[0]] = math.nan  # Of the third batch: the full gradient's too.
    start = optimizer.weights()
    optimizer.step(batches[0])
    assert not optimizer.report["finite"]
    assert torch.equal(optimizer.weights(), start)
    inputs[batches[2].samples[0]] = good
    for objective in batches[1:]:
        optimizer.step(objective)
        assert optimizer.report["finite"]
    costs = [objective.gradient_evaluations for objective in batches]
    assert costs == [EPOCH, EPOCH, 1, 1, 1, 1]
    assert not torch.equal(optimizer.weights(), start)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("history", 5),
        ("pair_interval", 2),
        ("full_gradient_interval", "never"),
        ("curvature", "hessian"),
    ],
)
def test_a_state_of_other_options_is_refused(problem, option, value):
    optimizer = SQGN(problem[0].parameters(), full_gradient_interval=2)
    optimizer.step(next(objectives(problem, 1)))
    options = {"full_gradient_interval": 2, option: value}
    other = SQGN(problem[0].parameters(), **options)
    with pytest.raises(OptimizerError, match=f"{option} = {value}: this state was made with"):
        other.load_state_dict(optimizer.state_dict())
    # What does not shape the memory may change.
    changed = SQGN(problem[0].parameters(), 0.5, damping=1.0, full_gradient_interval=2)
    changed.load_state_dict(optimizer.state_dict())


def test_unsafe_pairs_are_refused_counted_and_not_stored():
    # A saddle: negative curvature along the first weight.
    class Saddle(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))

        def forward(self, inputs):
            return inputs * torch.stack([-(self.weight[0] ** 2), self.weight[1]])

    model = Saddle()
    optimizer = SQGN(
        model.parameters(),
        damping=0.0,
        curvature="hessian",
        full_gradient_interval="never",
        first_step="code",
    )
    inputs = torch.ones(4, 2, dtype=torch.float64)

    def loss(outputs, targets):
        return (10 + outputs.sum(1)).mean()

    for count in (1, 2):
        optimizer.step(ModelObjective(model, loss, inputs, inputs))
        assert optimizer.report["pair"] == "no positive curvature along the step"
        assert optimizer.report["refused"] == {"no positive curvature along the step": count}
        assert optimizer.report["pairs"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "lr = 0"),
        ({"history": 0}, "history = 0"),
        ({"pair_interval": 0}, "pair_interval = 0"),
        ({"damping": -1}, "damping = -1"),
        ({"full_gradient_interval": 0}, "full_gradient_interval = 0"),
        ({"full_gradient_interval": "daily"}, "full_gradient_interval = 'daily'"),
        ({"curvature": "exact"}, "curvature = 'exact': must be one of gauss_newton"),
        ({"curvature_samples": 0}, "curvature_samples = 0"),
        ({"curvature_from": "test_set"}, "curvature_from = 'test_set'"),
        ({"curvature_from": "training_set"}, "needs curvature_samples"),
        ({"curvature": "gradient_difference", "curvature_samples": 3}, "curvature_samples = 3"),
        ({"undo_above": 1.0}, "undo_above = 1.0: must be 0 or a number above 1"),
        ({"first_step": "large"}, "first_step = 'large': must be one of safe, code, paper"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_options_are_refused_at_construction(problem, options, message):
    with pytest.raises(OptimizerError) as caught:
        SQGN(problem[0].parameters(), **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
