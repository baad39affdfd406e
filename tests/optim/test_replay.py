"""Replayed tangents against torch's own, and networks that cannot be replayed."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, jvp

from seistomo.optim import ModelObjective
from seistomo.optim.replay import _TRACES, MOST_TRACES, find_replay


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


def expected_tangent(model, inputs, vector):
    names, values = zip(*model.named_parameters(), strict=True)
    values = tuple(value.detach() for value in values)
    return jvp(
        lambda *own: functional_call(model, dict(zip(names, own, strict=True)), (inputs,)),
        values,
        tuple(vector),
    )


def find(model, inputs, vector):
    """The replay that a linearization would find after its first product."""
    outputs, tangent = expected_tangent(model, inputs, vector)
    at = {parameter: parameter for parameter in model.parameters()}
    return find_replay(model, at, inputs, outputs, (vector, tangent))


@pytest.mark.parametrize("name", MODELS)
def test_replayed_tangent_is_torchs(name):
    model, inputs, vector = make(MODELS[name])
    for shift in (0.0, 0.3):  # The trace holds for other weights and inputs, too.
        with torch.no_grad():
            for value in model.parameters():
                value += shift
        inputs = inputs + shift
        replay = find(model, inputs, vector)
        other = [v.sin() for v in vector]
        assert torch.equal(replay(other), expected_tangent(model, inputs, other)[1])
    assert _TRACES[model].left == MOST_TRACES - 1


def test_some_of_the_parameters_at_other_values():
    model, inputs, vector = make(MODELS["dense"])
    at = {parameter: parameter.detach() + 0.2 for parameter in model[2].parameters()}
    still = [torch.zeros_like(v) for v in vector[:2]]
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for value in moved[2].parameters():
            value += 0.2
    outputs, tangent = expected_tangent(moved, inputs, [*still, *vector[2:]])
    replay = find_replay(model, at, inputs, outputs, (vector[2:], tangent))
    torch.testing.assert_close(replay([2 * v for v in vector[2:]]), 2 * tangent)


def test_outputs_that_v_does_not_reach():
    model, inputs, vector = make(lambda: nn.Linear(6, 2))
    model.forward = lambda x: x * 2
    assert not find(model, inputs, vector)(vector).any()


def test_networks_that_decide_by_values_are_not_replayed():
    model, inputs, vector = make(lambda: Deciding(6, 2))
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
        found(twice), expected_tangent(model, inputs, twice)[1], rtol=1e-9, atol=0
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
        torch.testing.assert_close(found(twice), expected)


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


def test_what_cannot_be_traced_is_tried_once():
    model, inputs, vector = make(lambda: Deciding(6, 2))
    outputs = model(inputs).detach()
    at = {parameter: parameter for parameter in model.parameters()}
    for samples in (4, 3):
        known = outputs[:samples], (vector, torch.zeros(samples, 2).double())
        assert find_replay(model, at, inputs[:samples], *known) is None
        assert _TRACES[model].left == 0


@pytest.mark.parametrize("wrong", ["outputs", "tangent"])
def test_outputs_that_are_never_the_same_are_not_replayed(wrong):
    model, inputs, vector = make(MODELS["dense"])
    outputs, tangent = expected_tangent(model, inputs, vector)
    at = {parameter: parameter for parameter in model.parameters()}
    known = (outputs + 1, tangent) if wrong == "outputs" else (outputs, 2 * tangent)
    assert find_replay(model, at, inputs, known[0], (vector, known[1])) is None
    assert _TRACES[model].left == 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("memory"), KeyError("a"), RuntimeError("CUDA error: x")]
)
def test_errors_of_memory_device_and_program_come_through(error):
    class Raising(nn.Linear):
        def forward(self, x):
            if torch._C._functorch.peek_interpreter_stack() is not None:
                raise error
            return super().forward(x)

    model, inputs, vector = make(lambda: Raising(6, 2))
    objective = ModelObjective(model, nn.functional.mse_loss, inputs, inputs[:, :2])
    linearization = objective.linearize()
    linearization.product(vector)
    with pytest.raises(type(error)):
        linearization.product(vector)


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
