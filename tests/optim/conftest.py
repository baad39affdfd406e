"""A strongly convex problem that the linear rates of SQGN and SVRG are measured on."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev
from torch.nn import functional

RIDGE = 0.02


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
    model = Ridge(8)

    def loss(weight):
        return ridge_loss(functional_call(model, {"weight": weight}, (inputs,)), targets)

    solution = torch.zeros(8, dtype=torch.float64)
    for _ in range(12):
        solution -= torch.linalg.solve(hessian(loss)(solution), jacrev(loss)(solution))
    assert jacrev(loss)(solution).norm() < 1e-13
    return (model, ridge_loss, inputs, targets), solution
