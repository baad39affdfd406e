"""SVRG against its definition, and its linear rate."""

import io

import pytest
import torch
from torch import nn

from seistomo.optim import SVRG, ModelObjective, OptimizerError, epoch_objectives

RIDGE = 0.05


class RidgeNetwork(nn.Module):
    """Logistic regression that gives its weights out too: their penalty is then part of ℓ."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features, dtype=torch.float64))

    def forward(self, inputs):
        weights = self.weight.expand(len(inputs), -1)
        return torch.cat([(inputs @ self.weight)[:, None], weights], dim=1)


def ridge_loss(outputs, targets):
    fit = nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)
    return fit + RIDGE / 2 * outputs[:, 1:].square().sum() / len(outputs)


@pytest.fixture
def logistic():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(230, 6, generator=generator, dtype=torch.float64)
    slopes = torch.randn(6, generator=generator, dtype=torch.float64)
    noise = torch.randn(230, generator=generator, dtype=torch.float64)
    return RidgeNetwork(6), inputs, (inputs @ slopes + noise > 0).double()


def lowest_loss(model, inputs, targets):
    """Return min f by Newton's method."""
    count, features = inputs.shape
    weight = torch.zeros_like(model.weight)
    for _ in range(20):
        likely = torch.sigmoid(inputs @ weight)
        gradient = inputs.T @ (likely - targets) / count + RIDGE * weight
        hessian = inputs.T @ (inputs * (likely * (1 - likely))[:, None]) / count
        hessian += RIDGE * torch.eye(features, dtype=torch.float64)
        weight = weight - torch.linalg.solve(hessian, gradient)
    assert float(gradient.norm()) < 1e-14
    fit = nn.functional.binary_cross_entropy_with_logits(inputs @ weight, targets)
    return float(fit + RIDGE / 2 * weight.square().sum())


def losses_of_epochs(problem, optimizer, epochs):
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(epochs):
        for objective in epoch_objectives(*problem, batch_size=23, generator=generator):
            optimizer.step(objective)
        found.append(float(objective.loss(samples=objective.training_samples)))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("interval", ["epoch", 5])
def test_converges_linearly_where_plain_sgd_stalls(logistic, interval):
    model, inputs, targets = logistic
    problem, lowest = (model, ridge_loss, inputs, targets), lowest_loss(*logistic)
    svrg = SVRG(model.parameters(), lr=0.25, full_gradient_interval=interval)
    above = losses_of_epochs(problem, svrg, 50) - lowest
    # A constant factor each epoch, over 12 decades, down to rounding.
    assert above[0] > 1e-3
    assert above[-1] < 1e-14
    falling = above[above > 1e-12]
    assert (falling[1:] < 0.75 * falling[:-1]).all()

    nn.init.zeros_(model.weight)
    sgd = torch.optim.SGD(model.parameters(), lr=0.25)
    assert (losses_of_epochs(problem, sgd, 50) - lowest)[20:].min() > 1e-6


def small_network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.fixture
def regression():
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(35, 4, generator=generator, dtype=torch.float64)
    return inputs, torch.randn(35, 3, generator=generator, dtype=torch.float64)


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


def gradient_of(model, inputs, targets):
    loss = mean_squared(model(inputs), targets)
    return torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("interval", [1, 2, 3, "epoch"])
def test_equals_its_definition_step_by_step(regression, interval):
    inputs, targets = regression
    model, snapshot, literal = small_network(), small_network(), small_network()
    layers = [{"params": model[2].parameters(), "lr": 0.02}, {"params": model[0].parameters()}]
    optimizer = SVRG(layers, lr=0.05, full_gradient_interval=interval)
    rates = [0.05, 0.05, 0.02, 0.02]
    generator, steps = torch.Generator().manual_seed(4), 0
    for _ in range(3):
        # Six batches, the last of five samples.
        for objective in epoch_objectives(model, mean_squared, *regression, 6, generator):
            if steps % (6 if interval == "epoch" else interval) == 0:
                snapshot.load_state_dict(literal.state_dict())
                full = gradient_of(snapshot, inputs, targets)
            batch = inputs[objective.samples], targets[objective.samples]
            here, there = gradient_of(literal, *batch), gradient_of(snapshot, *batch)
            expected_loss = mean_squared(literal(batch[0]), batch[1]).detach()
            with torch.no_grad():
                terms = zip(literal.parameters(), rates, here, there, full, strict=True)
                for weight, rate, one, other, mean in terms:
                    weight -= rate * (one - other + mean)
            loss = optimizer.step(objective)
            torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=0)
            for ours, theirs in zip(model.parameters(), literal.parameters(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
            steps += 1


def test_state_in_the_middle_of_an_interval_continues_bit_for_bit(regression):
    model = small_network()
    objectives = list(epoch_objectives(model, mean_squared, *regression, 6))
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    for objective in objectives[:4]:
        optimizer.step(objective)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    for objective in objectives[4:]:
        optimizer.step(objective)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)

    other = small_network()
    other.load_state_dict(weights)
    restored = SVRG(other.parameters(), lr=0.05, full_gradient_interval=3)
    restored.load_state_dict(state)
    batches = [objective.samples for objective in objectives]
    for index in (4, 5):
        objective = ModelObjective(
            other,
            mean_squared,
            *regression,
            samples=batches[index],
            batches=batches,
            batch_index=index,
        )
        restored.step(objective)
        # The gradient at the snapshot came with the state.
        assert objective.gradient_evaluations == 1
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_what_is_not_finite_moves_nothing_and_its_full_gradient_is_taken_again(regression):
    model = small_network()
    inputs, targets = regression[0].clone(), regression[1]
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    batches = list(epoch_objectives(model, mean_squared, inputs, targets, 6))
    start, good = optimizer.weights(), inputs[batches[1].samples[0]].clone()
    inputs[batches[1].samples[0]] = float("nan")  # Of the second batch: the full gradient's too.
    for objective in batches[:2]:
        optimizer.step(objective)
        assert optimizer.report == {"finite": False, "step_length": 0.0}
        assert objective.gradient_evaluations > 1
    assert torch.equal(optimizer.weights(), start)
    inputs[batches[1].samples[0]] = good
    optimizer.step(batches[2])
    assert batches[2].gradient_evaluations > 1
    moved = (optimizer.weights() - start).norm()
    assert optimizer.report == {"finite": True, "step_length": pytest.approx(float(moved))}
    optimizer.step(batches[3])
    inputs[batches[4].samples[0]] = float("inf")
    before = optimizer.weights()
    optimizer.step(batches[4])  # The full gradient is good: it stays.
    assert not optimizer.report["finite"]
    assert torch.equal(optimizer.weights(), before)
    optimizer.step(batches[5])
    assert optimizer.report["finite"]
    assert batches[5].gradient_evaluations == 1


def test_the_state_of_another_interval_is_refused(regression):
    model = small_network()
    optimizer = SVRG(model.parameters(), full_gradient_interval=3)
    optimizer.step(next(epoch_objectives(model, mean_squared, *regression, 6)))
    other = SVRG(model.parameters(), full_gradient_interval="epoch")
    message = "full_gradient_interval = epoch: this state was made with full_gradient_interval = 3"
    with pytest.raises(OptimizerError, match=message):
        other.load_state_dict(optimizer.state_dict())


def test_costs_a_gradient_a_step_beside_the_full_gradients(regression):
    model = small_network()
    inputs, targets = (values[:30] for values in regression)
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    counts = []
    for objective in epoch_objectives(model, mean_squared, inputs, targets, 5):
        optimizer.step(objective)
        counts.append(objective.gradient_evaluations)
    assert counts == [6, 1, 1, 6, 1, 1]


def test_an_interval_that_does_not_divide_the_epoch_is_refused(regression):
    model = small_network()
    optimizer = SVRG(model.parameters(), full_gradient_interval=4)
    objective = next(epoch_objectives(model, mean_squared, *regression, 6))
    before = optimizer.weights()
    with pytest.raises(OptimizerError, match=r"full_gradient_interval = 4: .* 6 batches"):
        optimizer.step(objective)
    assert torch.equal(optimizer.weights(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0: must be a positive number"),
        ({"lr": float("nan")}, "lr = nan: must be"),
        ({"lr": "fast"}, "lr = 'fast': must be"),
        ({"full_gradient_interval": 0}, "full_gradient_interval = 0: must be"),
        ({"full_gradient_interval": 2.0}, "full_gradient_interval = 2.0: must be"),
        ({"full_gradient_interval": "year"}, "full_gradient_interval = 'year': must be"),
    ],
)
def test_bad_options_are_told_at_construction(options, message):
    with pytest.raises(OptimizerError, match=message):
        SVRG(small_network().parameters(), **options)
