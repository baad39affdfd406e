"""What the methods are compared with: dense derivatives, and a problem whose solution is known."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev
from torch.nn import functional

RIDGE = 0.02


class Dense:
    """Loss, gradient, Gauss–Newton matrix and Hessian on some rows at any weights [weight]."""

    def __init__(self, model, loss, inputs, targets):
        self.model, self.ell, self.inputs, self.targets = model, loss, inputs, targets
        self.shapes = {name: p.shape for name, p in model.named_parameters()}

    def outputs(self, w, rows):
        parts = w.split([shape.numel() for shape in self.shapes.values()])
        pairs = zip(self.shapes.items(), parts, strict=True)
        named = {name: part.view(shape) for (name, shape), part in pairs}
        return functional_call(self.model, named, (self.inputs[rows],))

    def loss(self, w, rows):
        return self.ell(self.outputs(w, rows), self.targets[rows])

    def gradient(self, w, rows):
        return grad(self.loss)(w, rows)

    def hessian(self, w, rows):
        # Reverse mode twice: it suits every model.
        return torch.autograd.functional.hessian(lambda v: self.loss(v, rows), w)

    def gauss_newton(self, w, rows):
        at = self.outputs(w, rows)
        J = torch.autograd.functional.jacobian(lambda v: self.outputs(v, rows), w)
        J = J.reshape(at.numel(), -1)
        curved = hessian(lambda h: self.ell(h.view_as(at), self.targets[rows]))(at.reshape(-1))
        return J.T @ curved @ J


@pytest.fixture
def dense():
    return Dense


class Ridge(nn.Module):
    """Logistic regression whose outputs include its weights, so that ℓ can penalize them."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, inputs):
        weights = self.weight.expand(len(inputs), -1)
        return torch.cat([(inputs @ self.weight)[:, None], weights], dim=1)


def ridge_loss(outputs, targets):
    fit = functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)
    return fit + RIDGE / 2 * outputs[:, 1:].square().sum() / len(outputs)


@pytest.fixture(params=[1.0])
def logistic(request):
    """Model, loss and data of condition 100 (or what a test asks for), and Newton's solution."""
    generator = torch.Generator().manual_seed(3)
    scales = torch.logspace(0, request.param, 8, dtype=torch.float64)
    inputs = scales * torch.randn(200, 8, generator=generator, dtype=torch.float64)
    targets = (inputs @ (1 / scales) + torch.randn(200, generator=generator) > 0).double()
    problem = Ridge(8), ridge_loss, inputs, targets

    def loss(weight):
        return ridge_loss(functional_call(problem[0], {"weight": weight}, (inputs,)), targets)

    solution = torch.zeros(8, dtype=torch.float64)
    for _ in range(12):
        solution -= torch.linalg.solve(hessian(loss)(solution), jacrev(loss)(solution))
    assert jacrev(loss)(solution).norm() < 1e-13
    return problem, solution
