"""SQGN against Algorithm 1 written out, its linear rate, and the cure of stuck runs."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from seistomo.optim import SQGN, ModelObjective, OptimizerError, epoch_objectives
from seistomo.optim.lbfgs import PairHistory
from seistomo.optim.objective import flatten
from seistomo.optim.sqgn import guarded

SAMPLES, BATCH = 24, 4
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

    def __init__(self, dense, *, alpha=ALPHA, K=2, M=1, L=20, T=BATCH, first_step="code"):
        self.dense, self.alpha, self.K, self.M, self.L, self.T = dense, alpha, K, M, L, T
        self.first_step = first_step
        self.generator = torch.Generator().manual_seed(5)
        self.weights = flatten(list(dense.model.parameters())).detach()
        self.k, self.history = 0, []

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
        gradient = self.dense.gradient(self.weights, batch)
        if self.K is not None:
            if batch_index % self.K == 0:
                self.snapshot = self.weights
                self.full = self.dense.gradient(self.weights, everything)
            gradient = gradient - self.dense.gradient(self.snapshot, batch) + self.full
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
            v = self.dense.gauss_newton(self.weights, batch) @ s + LAMBDA * s
            self.history = [*self.history, (s, v)][-self.L :]
        self.k += 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"L": 4, "T": 2, "K": 3},
        {"first_step": "paper", "K": 6},
        {"first_step": "paper", "K": None, "T": 3},
        {"T": 9, "K": 1},
    ],
)
def test_equals_algorithm_1_step_by_step(problem, dense, options):
    literal = Literal(dense(*problem), **options)
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


def test_exact_gradients_converge_linearly(logistic):
    problem, solution = logistic
    options = {"damping": 0.0, "history": 8, "full_gradient_interval": "never"}
    optimizer = SQGN(problem[0].parameters(), 0.3, **options)
    errors = []
    for _ in range(160):
        optimizer.step(ModelObjective(*problem))
        errors.append(float((problem[0].weight.detach() - solution).norm()))
    assert errors[0] > 0.1
    assert errors[-1] < 1e-9
    # Each ten steps, the error falls by at least this factor, over more than eight decades.
    falls = [after / before for before, after in zip(errors[10:], errors[20:], strict=False)]
    assert max(fall for fall, error in zip(falls, errors[20:], strict=False) if error > 1e-10) < 0.5


def test_variance_reduction_converges_to_the_solution_where_plain_batches_do_not(logistic):
    problem, solution = logistic

    def error_after(epochs, **options):
        problem[0].weight.data.zero_()
        optimizer = SQGN(problem[0].parameters(), 0.1, damping=0.0, **options)
        for objective in objectives(problem, epochs, 50):
            optimizer.step(objective)
        return float((problem[0].weight.detach() - solution).norm())

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


@pytest.mark.parametrize("seed", [63, 129])  # Two of five in the first 150 that get stuck.
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curvature_from": "training_set"}, "needs curvature_samples"),
        ({"curvature": "gradient_difference", "curvature_samples": 3}, "curvature_samples = 3"),
        ({"undo_above": 1.0}, "undo_above = 1.0: must be 0 or a number above 1"),
    ],
)
def test_options_that_cannot_be_are_named(problem, options, message):
    with pytest.raises(OptimizerError, match=message):
        SQGN(problem[0].parameters(), **options)


# Other pairs, by the optimizer's own steps: s and v = (B + λ I) s against dense matrices.


def newest_pair(optimizer):
    """Return s / |s| and v / |s|."""
    state = optimizer.memory["pairs"]
    slot = (state["stored"] - 1) % len(state["steps"])
    return state["steps"][slot], state["changes"][slot]


def assert_pair(optimizer, step, change):
    s, v = newest_pair(optimizer)
    torch.testing.assert_close(s, step / step.norm(), rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(v, change / step.norm(), rtol=1e-6, atol=1e-9)


def test_gradient_differences_are_of_the_same_batch(problem, dense):
    dense = dense(*problem)
    options = {"pair_interval": 2, "full_gradient_interval": "never", "damping": 5.0}
    optimizer = SQGN(problem[0].parameters(), ALPHA, curvature="gradient_difference", **options)
    for k, objective in enumerate(objectives(problem, 1)):
        before = optimizer.weights()
        optimizer.step(objective)
        after, batch = optimizer.weights(), objective.samples
        assert optimizer.report["pair"] == ("not due" if k % 2 else "stored")
        if k in (2, 4):  # The first step is too short for differences of gradients.
            difference = dense.gradient(after, batch) - dense.gradient(before, batch)
            assert_pair(optimizer, after - before, difference + 5.0 * (after - before))


@pytest.mark.parametrize("interval", [1, 3])
def test_hessian_pairs_are_of_averaged_weights(problem, dense, interval):
    dense = dense(*problem)
    options = {"full_gradient_interval": "never", "damping": 5.0, "first_step": "paper"}
    optimizer = SQGN(
        problem[0].parameters(), ALPHA, curvature="hessian", pair_interval=interval,
        curvature_samples=3, seed=5, **options,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    mean_before, block = optimizer.weights(), []
    for objective in objectives(problem, 2):
        optimizer.step(objective)
        block.append(optimizer.weights())
        if len(block) < interval:
            assert optimizer.report["pair"] == "not due"
            continue
        mean, block = torch.stack(block).mean(0), []
        batch = objective.samples[torch.randperm(BATCH, generator=generator)[:3]]
        step, mean_before = mean - mean_before, mean
        if step.norm() > 1e-4:  # Else the difference of the weights is mostly rounding.
            assert_pair(optimizer, step, dense.hessian(mean, batch) @ step + 5.0 * step)


# Steps that are taken back.

STEP = torch.tensor([3.0, 4.0], dtype=torch.float64)
CALM = [1.0, 1.02, 0.99, 1.01, 1.0]


def play(losses, factor=2.0, step=STEP):
    """Return what becomes of a step of length 5 that is planned again and again."""
    memory, seen = {}, []
    for loss in losses:
        taken, part, back = guarded(step, torch.tensor(loss, dtype=step.dtype), factor, memory)
        seen.append((taken, float(part), bool(back)))
    return seen, memory["guard"]


def backs(losses, factor=2.0):
    return [back for *_, back in play(losses, factor)[0]]


def test_a_step_is_taken_back_once_and_the_next_are_kept_short():
    seen, _ = play([*CALM, 2.1, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert [back for *_, back in seen] == [*[False] * 5, True, *[False] * 5]
    assert all(torch.equal(taken, STEP) and part == 1 for taken, part, _ in seen[:5])
    assert torch.equal(seen[5][0], -STEP)
    lengths = [float(taken.norm()) for taken, *_ in seen[6:]]
    assert lengths == pytest.approx([2.5, 2.5 * 1.25, 2.5 * 1.25**2, 2.5 * 1.25**3, 5.0])
    assert [part for _, part, _ in seen[6:]] == pytest.approx([length / 5 for length in lengths])


@pytest.mark.parametrize(
    ("losses", "factor", "last"),
    [
        ([1.0, 1.9, 0.2, 0.7, 1.1, 1.4, 0.9], 2.0, [False] * 7),  # What is usual.
        ([*CALM, 9.0, 9.0, 9.0], 2.0, [True, False, True]),  # Never two in a row.
        ([1.1**k for k in range(40)], 2.0, [False] * 40),  # What rises slowly becomes usual.
        ([1.0, 1.0, 1.0, 1.0, 50.0], 2.0, [False] * 5),  # Not before five losses.
        ([1.0, 1.5, 0.6, 1.3, 0.8, 2.5], 2.0, [False]),  # What batches differ by is usual.
        ([*(-loss for loss in CALM), 0.1], 2.0, [True]),  # Below zero, too.
        ([*CALM, math.nan, 9.0], 2.0, [False, True]),  # Past a batch without a loss.
        ([*CALM, math.inf, 1.0], 2.0, [True, False]),
        ([*CALM, 1e30, 1.0], 0, [False] * 7),  # Zero: never.
    ],
)
def test_which_steps_are_taken_back(losses, factor, last):
    assert backs(losses, factor)[-len(last) :] == last


def run(undo_above):
    """Fit a small network with curvature of one sample in 16 and no damping; return losses."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(16, 6, generator=generator)
    targets = torch.sin(inputs @ torch.randn(6, 5, generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU())
        model.append(nn.Linear(12, 5))
    options = {"damping": 1e-9, "curvature_samples": 1, "full_gradient_interval": "never"}
    optimizer = SQGN(model.parameters(), 0.5, undo_above=undo_above, **options)
    losses, undone = [], 0
    for _ in range(150):
        objective = ModelObjective(model, nn.functional.mse_loss, inputs, targets)
        losses.append(float(optimizer.step(objective)))
        undone += optimizer.report["undone"]
    return losses, undone


def test_a_run_that_leaps_without_it_learns():
    leaping, none = run(0)
    assert none == 0
    guarded, undone = run(2.0)
    assert undone > 0
    assert max(leaping) > 10 * leaping[0]
    assert guarded[-1] < min(0.2 * guarded[0], 0.5 * leaping[-1])


def test_an_undone_step_leads_back_to_where_it_began():
    model = nn.Linear(2, 1)
    optimizer = SQGN(model.parameters(), 0.1, damping=1.0, full_gradient_interval="never")
    inputs, targets = torch.ones(4, 2), torch.zeros(4, 1)
    for _ in range(6):
        start, pairs = optimizer.weights(), optimizer.report.get("pairs", 0)
        optimizer.step(ModelObjective(model, nn.functional.mse_loss, inputs, targets))
    assert not torch.equal(optimizer.weights(), start)
    optimizer.step(ModelObjective(model, nn.functional.mse_loss, inputs, targets + 1e3))
    assert optimizer.report["undone"]
    assert optimizer.report["fraction"] == 0
    # The pair of the step that was taken back has gone, that of the way back has come.
    assert optimizer.report["pairs"] == pairs + 1
    torch.testing.assert_close(optimizer.weights(), start)


def test_a_full_gradient_of_an_undone_step_is_taken_again():
    model = nn.Linear(2, 1)
    optimizer = SQGN(model.parameters(), 0.1, damping=1.0, full_gradient_interval="epoch")
    inputs, targets = torch.ones(8, 2), torch.zeros(8, 1)
    batches = torch.arange(8).split(2)
    costs = []
    for epoch, shift in enumerate((0.0, 0.0, 1e3)):
        for number in range(4):
            place = {"samples": batches[number], "batches": batches, "batch_index": number}
            wanted = targets + (shift if number == 0 else 0.0)
            objective = ModelObjective(model, nn.functional.mse_loss, inputs, wanted, **place)
            optimizer.step(objective)
            assert optimizer.report["undone"] == (epoch == 2 and number == 0)
            costs.append(objective.gradient_evaluations)
    assert costs == [4, 1, 1, 1, 4, 1, 1, 1, 4, 4, 1, 1]
