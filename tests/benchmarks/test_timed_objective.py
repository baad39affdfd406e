"""Times are put where they belong, and answers are passed on."""

import time

import pytest
import torch
from torch import nn

from seistomo.benchmarks.timed_objective import (
    FULL_GRADIENT,
    GRADIENT,
    LOSS,
    PRODUCT,
    StopWatch,
    TimedObjective,
)
from seistomo.optim import ModelObjective, epoch_objectives, make_optimizer

SLEEP = 0.01


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


class SlowLinear(nn.Linear):
    """Takes its time to go forward."""

    def forward(self, inputs):
        time.sleep(SLEEP)
        return super().forward(inputs)


def small_model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 4, generator=generator), torch.randn(12, 2, generator=generator)


@pytest.mark.parametrize(
    ("ask", "part"),
    [
        (lambda objective: objective(), GRADIENT),
        (lambda objective: objective.gradient(), GRADIENT),
        (lambda objective: objective.loss_and_gradient(), GRADIENT),
        (lambda objective: objective.linearize().gradient, GRADIENT),
        (lambda objective: objective.linearize().loss, GRADIENT),
        (lambda objective: objective.loss(), LOSS),
        (lambda objective: objective.full_gradient(cache_next=1), FULL_GRADIENT),
        (lambda objective: objective.linearize().product(vector_of(objective)), PRODUCT),
        (lambda objective: objective.hessian_product(vector_of(objective)), PRODUCT),
    ],
)
def test_each_answer_is_booked_to_its_part(data, ask, part):
    watch = StopWatch(torch.device("cpu"))
    ask(TimedObjective(ModelObjective(SlowLinear(4, 2), mean_squared, *data), watch))
    assert watch.seconds.pop(part) >= SLEEP
    assert set(watch.seconds.values()) == {0.0}


def vector_of(objective):
    return [torch.ones_like(parameter) for parameter in objective.model.parameters()]


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("adam", 0.01, {}),
        ("sqgn", 0.1, {"full_gradient_interval": 2}),
        ("sgn", 0.5, {"curvature_samples": 2}),
    ],
)
def test_optimizers_do_the_same_with_it(data, name, rate, options):
    watch, weights = StopWatch(torch.device("cpu")), []
    for timed in (False, True):
        model = small_model()
        optimizer = make_optimizer(name, model.parameters(), rate, options)
        generator = torch.Generator().manual_seed(1)
        for objective in epoch_objectives(model, mean_squared, *data, 3, generator):
            asked = TimedObjective(objective, watch) if timed else objective
            optimizer.step(asked)
            assert asked.gradient_evaluations == objective.gradient_evaluations > 0
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
    assert watch.seconds[GRADIENT] > 0
