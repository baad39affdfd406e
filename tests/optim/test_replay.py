"""Replayed tangents against torch's own, and networks that cannot be replayed."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp

from seistomo.optim import ModelObjective
from seistomo.optim.replay import MOST_TRACES, Trace, find_replay


class Deciding(nn.Linear):
    """A network whose operations depend on the values it sees."""

    def forward(self, x):
        y = super().forward(x)
        return y if y.sum() > 0 else -y


class Scaled(nn.Linear):
    factor = 1.0

    def forward(self, x):
        return super().forward(x).sin() * self.factor


MODELS = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)),
    "in place": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)),
    "buffers": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval(),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 2, 2), nn.MaxPool2d((1, 2)), nn.Flatten()
    ),
}


def make(build, samples=4):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build().double()
        inputs = torch.randn(samples, 6, dtype=torch.float64)
        vector = [torch.randn_like(p) for p in model.parameters()]
    return model, inputs, vector


def parts_of(model):
    return [name for name, _ in model.named_parameters()], list(model.parameters())


def expected_tangent(model, inputs, vector):
    names, values = parts_of(model)
    values = tuple(value.detach() for value in values)
    return jvp(
        lambda *own: functional_call(model, dict(zip(names, own, strict=True)), (inputs,)),
        values,
        tuple(vector),
    )


@pytest.mark.parametrize("name", MODELS)
def test_replayed_tangent_is_torchs(name):
    model, inputs, vector = make(MODELS[name])
    names, values = parts_of(model)
    trace = Trace(model, names, values, inputs)
    for shift in (0.0, 0.3):  # The trace holds for other weights and inputs, too.
        with torch.no_grad():
            for value in values:
                value += shift
        inputs = inputs + shift
        found = trace.run(model, values, inputs)
        outputs, tangent = expected_tangent(model, inputs, vector)
        assert torch.equal(found.outputs, outputs)
        assert torch.equal(found.tangent(vector), tangent)
        assert torch.equal(found.tangent([2 * v for v in vector]), 2 * tangent)


def test_some_of_the_parameters():
    model, inputs, vector = make(MODELS["dense"])
    names, values = parts_of(model)
    found = Trace(model, names[2:], values[2:], inputs).run(model, values[2:], inputs)
    still = [torch.zeros_like(v) for v in vector[:2]]
    _, tangent = expected_tangent(model, inputs, [*still, *vector[2:]])
    torch.testing.assert_close(found.tangent(vector[2:]), tangent)


def test_outputs_that_v_does_not_reach():
    model, inputs, vector = make(lambda: nn.Linear(6, 2))
    model.forward = lambda x: x * 2
    names, values = parts_of(model)
    found = Trace(model, names, values, inputs).run(model, values, inputs)
    assert not found.tangent(vector).any()


def test_networks_that_decide_by_values_are_not_replayed():
    model, inputs, vector = make(lambda: Deciding(6, 2))
    assert find_replay(model, *parts_of(model), inputs, model(inputs).detach()) is None
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, torch.zeros(4, 2).double())
    linearization = objective.linearize()
    one, two = linearization.product(vector), linearization.product(vector)
    torch.testing.assert_close(one, two)


def test_a_network_that_was_changed_is_traced_anew():
    model, inputs, vector = make(lambda: Scaled(6, 2))
    arguments = (model, *parts_of(model), inputs)
    find_replay(*arguments, model(inputs).detach())
    model.factor = 3.0
    found = find_replay(*arguments, model(inputs).detach())
    torch.testing.assert_close(found.tangent(vector), expected_tangent(model, inputs, vector)[1])


def test_outputs_that_are_never_the_same_are_not_replayed():
    model, inputs, _ = make(MODELS["dense"])
    assert find_replay(model, *parts_of(model), inputs, model(inputs).detach() + 1) is None


def test_no_more_traces_than_agreed():
    model, _, _ = make(lambda: nn.Linear(6, 2))
    for samples in range(1, MOST_TRACES + 3):
        inputs = torch.ones(samples, 6, dtype=torch.float64)
        found = find_replay(model, *parts_of(model), inputs, model(inputs).detach())
        assert (found is None) == (samples > MOST_TRACES)
