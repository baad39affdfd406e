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


def find(model, inputs, vector):
    """The replay that a linearization would find after its first product."""
    outputs, tangent = expected_tangent(model, inputs, vector)
    return find_replay(model, *parts_of(model), inputs, outputs, (vector, tangent))


def test_networks_that_decide_by_values_are_not_replayed():
    model, inputs, vector = make(lambda: Deciding(6, 2))
    outputs, tangent = model(inputs).detach(), torch.zeros(4, 2).double()
    assert find_replay(model, *parts_of(model), inputs, outputs, (vector, tangent)) is None
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, torch.zeros(4, 2).double())
    linearization = objective.linearize()
    for other in [linearization.product(vector) for _ in range(3)]:
        torch.testing.assert_close(linearization.product(vector), other)


@pytest.mark.parametrize("size", [1.0, 1e-9])
def test_a_network_that_was_changed_is_traced_anew(size):
    model, inputs, vector = make(lambda: Scaled(6, 2))
    model.factor = size
    find(model, inputs, vector)
    model.factor = 3 * size
    found = find(model, inputs, vector)
    twice = [2 * v for v in vector]
    torch.testing.assert_close(
        found.tangent(twice), expected_tangent(model, inputs, twice)[1], rtol=1e-9, atol=0
    )


def test_a_change_that_the_outputs_do_not_show_is_seen():
    class Stopping(nn.Module):
        stop = False

        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(6, 3), nn.Linear(3, 2)

        def forward(self, x):
            hidden = self.first(x)
            return self.second(hidden.detach() if self.stop else hidden)

    model, inputs, vector = make(Stopping)
    find(model, inputs, vector)
    model.stop = True
    found = find(model, inputs, vector)
    twice = [2 * v for v in vector]
    still = [torch.zeros_like(v) for v in twice[:2]]
    model.stop = False
    expected = expected_tangent(model, inputs, [*still, *twice[2:]])[1]
    if found is not None:
        torch.testing.assert_close(found.tangent(twice), expected)


def test_a_model_that_gains_a_buffer_goes_on():
    model, inputs, vector = make(MODELS["dense"])
    assert find(model, inputs, vector) is not None
    model.register_buffer("extra", torch.ones(2))
    assert find(model, inputs, vector) is not None


def test_layouts_of_inputs_are_told_apart():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.dense = nn.Conv2d(2, 3, 1), nn.Linear(12, 2)

        def forward(self, x):
            return self.dense(self.convolution(x).flatten(1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, inputs = Flat(), torch.randn(4, 2, 2, 2)
        vector = [torch.randn_like(p) for p in model.parameters()]
    for layout in (torch.contiguous_format, torch.channels_last):
        assert find(model, inputs.contiguous(memory_format=layout), vector) is not None


def test_a_trace_with_a_shape_of_its_own_making_does_no_harm():
    class Routed(nn.Linear):
        def forward(self, x):
            chosen = (x[:, 0] > 0).nonzero()[:, 0]
            y = super().forward(x)
            part = y[chosen].reshape(len(chosen) * 2, 1).view(-1, 2)
            return y.index_add(0, chosen, part)

    model, inputs, vector = make(lambda: Routed(6, 2), samples=9)
    zeros = torch.zeros(9, 2, dtype=torch.float64)
    for flip in (1, -1):
        objective = ModelObjective(model, nn.functional.mse_loss, flip * inputs, zeros)
        linearization = objective.linearize()
        products = [linearization.product(vector) for _ in range(3)]
        reverse = ModelObjective(
            model, nn.functional.mse_loss, flip * inputs, zeros, jacobian_mode="reverse"
        )
        for product in products:
            torch.testing.assert_close(product, reverse.linearize().product(vector))


def test_outputs_that_are_never_the_same_are_not_replayed():
    model, inputs, vector = make(MODELS["dense"])
    outputs, tangent = expected_tangent(model, inputs, vector)
    arguments = (model, *parts_of(model), inputs)
    assert find_replay(*arguments, outputs + 1, (vector, tangent)) is None
    assert find_replay(*arguments, outputs, (vector, 2 * tangent)) is None


def test_a_model_is_not_traced_for_ever():
    model, _, _ = make(lambda: nn.Linear(6, 2))
    for samples in range(1, MOST_TRACES + 3):
        inputs = torch.ones(samples, 6, dtype=torch.float64)
        vector = [torch.ones_like(p) for p in model.parameters()]
        assert (find(model, inputs, vector) is None) == (samples > MOST_TRACES)


def test_numbers_that_are_not_finite_use_up_no_trace():
    model, inputs, vector = make(lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)))
    for _ in range(MOST_TRACES + 1):
        assert find(model, inputs * torch.nan, vector) is None
    assert find(model, inputs, vector) is not None
