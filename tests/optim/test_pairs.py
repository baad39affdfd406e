"""Curvature pairs against their definitions, with dense matrices."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional

from seistomo.optim import ModelObjective
from seistomo.optim.curvature_samples import CurvatureSamples
from seistomo.optim.pairs import (
    GaussNewtonPairs,
    GradientDifferencePairs,
    HessianPairs,
    LastStep,
)
from seistomo.optim.vectors import flatten, unflatten

LAMBDA = 0.3


class Problem:
    """A small network, its batch, and its dense derivatives at any weights."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(10, 3, generator=generator, dtype=torch.float64)
        self.targets = torch.randint(0, 3, (10,), generator=generator)
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)).double()
        self.parameters = list(self.model.parameters())
        self.batch = torch.arange(6)
        self.objective = ModelObjective(
            self.model, functional.cross_entropy, self.inputs, self.targets, samples=self.batch
        )

    @property
    def weights(self):
        return flatten(self.parameters).detach()

    def outputs(self, weights, samples):
        values = unflatten(weights, self.parameters)
        named = dict(zip(dict(self.model.named_parameters()), values, strict=True))
        return functional_call(self.model, named, (self.inputs[samples],))

    def loss(self, weights, samples):
        return functional.cross_entropy(self.outputs(weights, samples), self.targets[samples])

    def gauss_newton(self, weights, samples):
        def ell(outputs):
            return functional.cross_entropy(outputs, self.targets[samples])

        size = 3 * len(samples)
        jacobian = jacrev(self.outputs)(weights, samples).reshape(size, -1)
        curved = hessian(ell)(self.outputs(weights, samples)).reshape(size, size)
        return jacobian.T @ curved @ jacobian

    def walk(self, source, steps):
        """Take the steps; return the pairs, or None, and the weights after each step."""
        memory, pairs, visited = {}, [], []
        for iteration, step in enumerate(steps):
            before = flatten(self.objective.gradient())
            torch._foreach_add_([p.data for p in self.parameters], list(self.split(step)))
            last = LastStep(self.objective, self.parameters, step, before, iteration)
            with torch.no_grad():
                pairs.append(source.after(last, memory))
            visited.append(self.weights)
        return pairs, visited

    def split(self, vector):
        return unflatten(vector, self.parameters)


@pytest.fixture
def problem():
    return Problem()


def some_steps(problem, count, length=0.1):
    generator = torch.Generator().manual_seed(4)
    size = len(problem.weights)
    return list(length * torch.randn(count, size, generator=generator, dtype=torch.float64))


def all_of_the_batch():
    return CurvatureSamples(None, "batch", 0)


def same_pair(pair, step, change):
    length = step.norm()
    torch.testing.assert_close(pair.step, step / length)
    torch.testing.assert_close(pair.change, change / length, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("interval", [1, 3])
def test_gauss_newton_pairs_of_the_last_step_every_m_steps(problem, interval):
    steps = some_steps(problem, 7)
    source = GaussNewtonPairs(interval, LAMBDA, all_of_the_batch())
    pairs, visited = problem.walk(source, steps)
    for k, (pair, step, weights) in enumerate(zip(pairs, steps, visited, strict=True)):
        assert (pair is None) == (k % interval > 0)
        if pair is not None:
            dense = problem.gauss_newton(weights, problem.batch)
            same_pair(pair, step, dense @ step + LAMBDA * step)


def test_gauss_newton_pairs_on_drawn_samples(problem):
    steps = some_steps(problem, 3)
    source = GaussNewtonPairs(1, LAMBDA, CurvatureSamples(8, "training_set", 3))
    pairs, visited = problem.walk(source, steps)
    generator = torch.Generator().manual_seed(3)
    for pair, step, weights in zip(pairs, steps, visited, strict=True):
        drawn = torch.randperm(10, generator=generator)[:8]
        same_pair(pair, step, problem.gauss_newton(weights, drawn) @ step + LAMBDA * step)


def test_gradient_differences_are_of_the_same_batch(problem):
    steps = some_steps(problem, 4)
    start = problem.weights
    source = GradientDifferencePairs(2, LAMBDA, all_of_the_batch())
    pairs, visited = problem.walk(source, steps)
    gradient = jacrev(problem.loss)
    for k in (0, 2):
        before = start if k == 0 else visited[k - 1]
        difference = gradient(visited[k], problem.batch) - gradient(before, problem.batch)
        same_pair(pairs[k], steps[k], difference + LAMBDA * steps[k])
    assert pairs[1] is None
    assert pairs[3] is None


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_hessian_pairs_are_of_averaged_weights(problem, interval):
    steps = some_steps(problem, 3 * interval)
    mean_before = problem.weights
    source = HessianPairs(interval, LAMBDA, CurvatureSamples(4, "batch", 9))
    pairs, visited = problem.walk(source, steps)
    generator = torch.Generator().manual_seed(9)
    for block in range(3):
        end = (block + 1) * interval
        assert all(pair is None for pair in pairs[end - interval : end - 1])
        mean = torch.stack(visited[end - interval : end]).mean(0)
        drawn = torch.randperm(6, generator=generator)[:4]
        dense = hessian(problem.loss)(mean, drawn)
        step, mean_before = mean - mean_before, mean
        same_pair(pairs[end - 1], step, dense @ step + LAMBDA * step)


def test_curvature_of_a_step_too_short_for_its_square_in_float32():
    model = nn.Linear(3, 2)
    parameters = list(model.parameters())
    inputs = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    objective = ModelObjective(model, functional.mse_loss, inputs, torch.zeros(5, 2))
    step = torch.linspace(1, 2, 8)
    pairs = [
        GaussNewtonPairs(1, LAMBDA, all_of_the_batch()).after(
            LastStep(objective, parameters, length * step, step, 0), {}
        )
        for length in (1.0, 1e-30)
    ]
    assert torch.equal((1e-30 * step).square(), torch.zeros(8))
    torch.testing.assert_close(pairs[1].step, pairs[0].step)
    torch.testing.assert_close(pairs[1].change, pairs[0].change)


def test_no_step_gives_a_pair_of_zeros(problem):
    source = GaussNewtonPairs(1, LAMBDA, all_of_the_batch())
    pairs, _ = problem.walk(source, [torch.zeros_like(problem.weights)])
    assert not pairs[0].step.any()
    assert not pairs[0].change.any()
