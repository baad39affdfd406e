"""The damped quadratic model against its matrix."""

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective
from seistomo.optim.cg import conjugate_gradients
from seistomo.optim.quadratic_model import quadratic_model

SIZE, SAMPLES, RHO = 4, 9, 0.3


def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, SIZE, generator=generator, dtype=torch.float64)
    targets = torch.randn(SAMPLES, 1, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(SIZE, 1, bias=False).double()
    return model, ModelObjective(model, nn.functional.mse_loss, inputs, targets)


@pytest.mark.parametrize("curvature", ["gauss_newton", "hessian"])
@pytest.mark.parametrize("samples", [None, [0, 3, 4, 8]])
@torch.no_grad()
def test_loss_and_gradient_are_the_batchs_and_the_product_that_of_the_samples(curvature, samples):
    model, objective = problem()
    rows = slice(None) if samples is None else samples
    X, w = objective.inputs, model.weight.flatten()
    residual = X @ w - objective.targets.flatten()
    T = X[rows]
    A = 2 * T.T @ T / len(T) + RHO * torch.eye(SIZE, dtype=torch.float64)
    chosen = None if samples is None else torch.tensor(samples)
    found = quadratic_model(objective, list(model.parameters()), chosen, RHO, curvature)
    torch.testing.assert_close(found.loss, residual.square().mean())
    torch.testing.assert_close(found.gradient, 2 * X.T @ residual / SAMPLES)
    for column in torch.eye(SIZE, dtype=torch.float64):
        kept = column.clone()
        torch.testing.assert_close(found.product(column), A @ column)
        assert torch.equal(column, kept)


@pytest.mark.parametrize("rate", [1.0, 0.6, torch.tensor([0.1, 2.0, 1.0, 0.3])])
@torch.no_grad()
def test_predicted_reduction_is_of_the_gradient_whatever_was_solved_for(rate):
    model, objective = problem()
    found = quadratic_model(objective, list(model.parameters()), None, RHO)
    X, g = objective.inputs, found.gradient
    A = 2 * X.T @ X / SAMPLES + RHO * torch.eye(SIZE, dtype=torch.float64)
    other = torch.linspace(-1, 2, SIZE, dtype=torch.float64)
    for right_hand_side in (g, other):
        solution = conjugate_gradients(found.product, right_hand_side, max_iterations=2)
        step = rate * solution.solution
        expected = -float(g @ step + step @ A @ step / 2)
        predicted = found.predicted_reduction(solution, right_hand_side, rate)
        assert predicted == pytest.approx(expected)
