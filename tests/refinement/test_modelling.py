"""Gathers as a function of the model: against the simulator, their derivatives by adjoint tests."""

import numpy as np
import pytest
import torch

from seistomo.refinement.modelling import Modelling, modelling_config
from seistomo.simulation import Simulator

SHOTS = torch.arange(3)


def field(modelling, seed=0, dtype=torch.float64):
    """Return a random change of the models of all shots on the modelling grid."""
    random = torch.Generator().manual_seed(seed)
    change = torch.randn(modelling.grid.shape, generator=random, dtype=dtype)
    return 50 * change.expand(3, -1, -1).contiguous()


@pytest.fixture(scope="module")
def velocity(sample, modelling):
    """Return the models of all shots, float64, on the modelling grid."""
    model = torch.from_numpy(sample.start.astype(np.float64))
    return modelling.carry(model).expand(3, -1, -1).contiguous()


def test_gathers_are_the_simulators(sample, modelling):
    """Measured: 3e-4, of the filter that takes samples out of inner steps."""
    config = modelling_config(sample.config, sample.config.refinement)
    expected = Simulator(config, "cpu")(sample.model[None], [0])[0]
    ours = modelling.gathers(torch.from_numpy(sample.model.astype(np.float64))).numpy()
    ours[sample.dead] = 0
    assert np.linalg.norm(ours - expected) < 1e-3 * np.linalg.norm(expected)


def test_models_are_carried_as_the_simulator_does(sample, modelling):
    model = torch.from_numpy(sample.model.astype(np.float64))
    expected = modelling.grid.carry(sample.model[None])[0]
    np.testing.assert_allclose(modelling.carry(model), expected, rtol=1e-6)


def test_carrying_back_is_the_adjoint(sample, modelling):
    model = torch.from_numpy(sample.model.astype(np.float64)).requires_grad_()
    u = field(modelling)[0]
    (expected,) = torch.autograd.grad(modelling.carry(model), model, u)
    torch.testing.assert_close(modelling.carry_back(model.detach(), u), expected)
    v = torch.randn_like(expected)
    forward = (u * modelling.carry_change(model.detach(), v)).sum()
    torch.testing.assert_close(forward, (expected * v).sum())


def test_born_is_the_derivative_and_the_gradient_its_adjoint(modelling, velocity):
    """Measured: 7e-10 against differences, 1e-14 between both products."""
    change = field(modelling)
    scattered = modelling.born(velocity, change, SHOTS)
    ahead, behind = (modelling.shoot(velocity + h * change, SHOTS) for h in (1e-4, -1e-4))
    difference = (ahead - behind) / 2e-4
    assert (difference - scattered).norm() < 1e-7 * scattered.norm()
    leaf = velocity.clone().requires_grad_()
    gathers = modelling.shoot(leaf, SHOTS)
    u = torch.randn_like(gathers)
    (gradient,) = torch.autograd.grad(gathers, leaf, u)
    dot = (u * scattered).sum()
    assert abs(dot - (gradient * change).sum()) < 1e-10 * abs(dot)


def test_coarse_time_steps_give_nearly_the_gradient(sample, modelling, velocity):
    """Measured: 2e-4, for a third of the time and an eighth of the memory."""
    config = modelling_config(sample.config, sample.config.refinement)
    coarse = Modelling(config, sample.survey, torch.device("cpu"))
    assert coarse.shot_bytes < modelling.shot_bytes / 2
    gradients = []
    for own in (coarse, modelling):
        leaf = velocity.clone().requires_grad_()
        gathers = own.shoot(leaf, SHOTS)
        observed = torch.from_numpy(sample.gathers.astype(np.float64))
        (gradient,) = torch.autograd.grad((gathers - observed).square().sum(), leaf)
        gradients.append(gradient)
    assert (gradients[0] - gradients[1]).norm() < 2e-3 * gradients[1].norm()


def test_threads_do_not_change_a_bit(sample, modelling):
    model = torch.from_numpy(sample.start.astype(np.float64))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(modelling.gathers(model))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
