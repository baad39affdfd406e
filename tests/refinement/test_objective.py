"""The objective's gradient and products against differences and the dense Jacobian."""

import numpy as np
import pytest
import torch

from seistomo.evaluation.misfit import offset_taper
from seistomo.refinement.misfit import Misfit
from seistomo.refinement.objective import WaveformObjective
from seistomo.refinement.regularization import Regularization

BOUNDS = (1450.0, 4650.0)


@pytest.fixture
def make(sample, modelling):
    """Return a function that makes the objective at the start, in a term and with threads."""

    def make(kind="none", weight=1e-2, start=sample.start, misfit="squares"):
        taper = offset_taper(sample.survey, 40.0) * ~sample.dead
        weights = torch.from_numpy(taper.astype(np.float32))
        gathers = torch.from_numpy(sample.gathers)
        misfit = Misfit(gathers, weights, 10.0, 0.015, kind=misfit)
        scale = torch.linspace(800, 1200, 14, dtype=torch.float64)[:, None].expand(14, 18)
        theta = (torch.from_numpy(start.astype(np.float64)) / scale).requires_grad_()
        regularization = Regularization(kind, weight, 20.0)
        return WaveformObjective(modelling, misfit, regularization, scale, BOUNDS, theta)

    return make


@pytest.fixture
def v():
    return 0.05 * torch.randn(14, 18, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["none", "envelope", "tikhonov", "tv"])
def test_gradient_is_that_of_differences(make, v, kind):
    """Measured: 1e-4, of float32."""
    objective = make(misfit="envelope") if kind == "envelope" else make(kind)
    loss, (gradient,) = objective.loss_and_gradient()
    assert float(loss) == pytest.approx(float(objective.loss()), rel=1e-6)
    slope = float((gradient * v).sum())
    theta = objective.theta
    # Total variation bends where the slope is small.
    step = 0.004 if kind == "tv" else 0.02
    ends = [objective.loss({theta: theta.detach() + h * v}) for h in (step, -step)]
    assert float(ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=2e-3)


def test_products_are_those_of_the_dense_jacobian(make, modelling):
    """Jᵀ J with J from Born modelling column by column, for some of the nodes."""
    objective = make()
    linearized = objective.linearize()
    loss, (gradient,) = objective.loss_and_gradient()
    torch.testing.assert_close(linearized.loss, loss)
    torch.testing.assert_close(linearized.gradient[0], gradient, rtol=1e-4, atol=1e-7)
    model, shots = objective.velocity(objective.theta), objective.shots
    fine = modelling.carry(model).expand(3, -1, -1).contiguous()
    places, columns = [(3, 4), (3, 5), (7, 9), (12, 2)], []
    for place in places:
        unit = torch.zeros(14, 18, dtype=torch.float64)
        unit[place] = objective.scale[place]
        change = modelling.carry_change(model, unit).expand(3, -1, -1).contiguous()
        scattered = modelling.born(fine, change, shots)
        columns.append(objective.misfit.weighted(scattered.float(), shots).double().flatten())
    jacobian = torch.stack(columns, dim=1)
    dense = jacobian.T @ jacobian
    for number, place in enumerate(places):
        unit = torch.zeros(14, 18, dtype=torch.float64)
        unit[place] = 1.0
        product = linearized.product([unit])[0]
        found = torch.stack([product[other] for other in places])
        torch.testing.assert_close(found, dense[number], rtol=1e-4, atol=1e-5 * dense.max().item())
    assert objective.solves == 2 + 2 + 3 * len(places)


@pytest.mark.parametrize("kind", ["tikhonov", "tv"])
def test_products_of_a_term_are_symmetric_and_never_negative(sample, kind):
    term = Regularization(kind, 0.1, 20.0)
    model = torch.from_numpy(sample.model.astype(np.float64))
    u, v = (torch.randn_like(model) for _ in range(2))
    assert float((u * term.product(model, v)).sum()) == pytest.approx(
        float((v * term.product(model, u)).sum())
    )
    assert float((u * term.product(model, u)).sum()) > 0
    step = 1e-4
    slope = (term.value(model + step * u) - term.value(model - step * u)) / (2 * step)
    assert float((u * term.gradient(model)).sum()) == pytest.approx(slope, rel=1e-5)


def test_nodes_on_a_bound_stay_there(make, sample, v):
    start = sample.start.copy()
    start[5:] = BOUNDS[1]
    objective = make(start=start)
    linearized = objective.linearize()
    gradient, product = linearized.gradient[0], linearized.product([v])[0]
    assert (gradient[5:] >= 0).all()
    assert (product[5:][gradient[5:] == 0] == 0).all()
    assert product[:5].abs().min() > 0
    objective()
    torch.testing.assert_close(objective.theta.grad, gradient, rtol=1e-4, atol=1e-7)
    # L-BFGS-B knows the bounds by itself and needs the whole gradient.
    assert (objective.loss_and_gradient()[1][0][5:] < 0).any()


def test_some_shots_stand_for_all(make):
    objective = make()
    whole = objective.loss_and_gradient()[1][0]
    parts = []
    for shot in range(3):
        objective.shots = torch.tensor([shot])
        parts.append(objective.loss_and_gradient()[1][0])
    torch.testing.assert_close(torch.stack(parts).mean(dim=0), whole, rtol=1e-5, atol=1e-8)
    assert objective.solves == pytest.approx(4.0)
