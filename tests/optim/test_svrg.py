"""SVRG and its variance-reduced gradients against their definition, and the linear rate."""

import copy

import pytest
import torch
from torch import nn

from seistomo.optim import SVRG, ModelObjective, OptimizerError, epoch_objectives


@pytest.mark.parametrize("logistic", [0.0], indirect=True)
def test_converges_linearly_where_plain_sgd_stalls(logistic):
    problem, solution = logistic

    def errors(optimizer):
        found, generator = [], torch.Generator().manual_seed(1)
        for _ in range(45):
            for objective in epoch_objectives(*problem, batch_size=20, generator=generator):
                optimizer.step(objective)
            found.append(float((problem[0].weight.detach() - solution).norm()))
        return torch.tensor(found, dtype=torch.float64)

    own = problem[0].parameters()
    above = errors(SVRG(own, lr=1.0, full_gradient_interval="epoch"))
    # A constant factor each epoch, over 8 decades.
    assert above[0] > 1e-2
    assert above[-1] < 1e-10
    falling = above[above > 1e-9]
    assert (falling[1:] < 0.8 * falling[:-1]).all()
    nn.init.zeros_(problem[0].weight)
    assert errors(torch.optim.SGD(problem[0].parameters(), lr=1.0))[20:].min() > 1e-3


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


INPUTS, TARGETS = random(35, 4, seed=2), random(35, 3, seed=3)


def epoch(model, inputs=INPUTS, generator=None, size=6):
    """Six batches, the last of five samples."""
    return epoch_objectives(model, mean_squared, inputs, TARGETS[: len(inputs)], size, generator)


def gradient_of(model, rows=slice(None)):
    loss = mean_squared(model(INPUTS[rows]), TARGETS[rows])
    return torch.autograd.grad(loss, list(model.parameters()))


@pytest.mark.parametrize("interval", [2, "epoch"])
def test_equals_its_definition_step_by_step(interval):
    model, snapshot, literal = network(), network(), network()
    layers = [{"params": model[2].parameters(), "lr": 0.02}, {"params": model[0].parameters()}]
    optimizer = SVRG(layers, lr=0.05, full_gradient_interval=interval)
    generator, steps = torch.Generator().manual_seed(4), 0
    for _ in range(3):
        for objective in epoch(model, generator=generator):
            if steps % (6 if interval == "epoch" else interval) == 0:
                snapshot.load_state_dict(literal.state_dict())
                full = gradient_of(snapshot)
            rows = objective.samples
            here, there = gradient_of(literal, rows), gradient_of(snapshot, rows)
            expected_loss = mean_squared(literal(INPUTS[rows]), TARGETS[rows]).detach()
            with torch.no_grad():
                rates = [0.05, 0.05, 0.02, 0.02]
                terms = zip(literal.parameters(), rates, here, there, full, strict=True)
                for weight, rate, one, other, mean in terms:
                    weight -= rate * (one - other + mean)
            loss = optimizer.step(objective)
            torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=0)
            for ours, theirs in zip(model.parameters(), literal.parameters(), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
            steps += 1


def test_costs_a_gradient_a_step_beside_the_full_gradients():
    model = network()
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    counts, held = [], []
    for objective in epoch(model, INPUTS[:30], size=5):
        optimizer.step(objective)
        counts.append(objective.gradient_evaluations)
        # Gradients that are used up are dropped.
        held.append(len(optimizer.memory["snapshot"]["batches"]))
    assert counts == [6, 1, 1, 6, 1, 1]
    assert held == [2, 1, 0, 2, 1, 0]
    # A run that begins inside an epoch takes its full gradient there.
    later = list(epoch(model, INPUTS[:30], size=5))[1:4]
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    for objective in later:
        optimizer.step(objective)
    assert [objective.gradient_evaluations for objective in later] == [6, 1, 6]


def test_what_is_not_finite_moves_nothing_and_its_full_gradient_is_taken_again():
    model, inputs = network(), INPUTS.clone()
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    batches = list(epoch(model, inputs))
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


def test_other_batches_than_the_snapshots_are_refused():
    model = network()
    optimizer = SVRG(model.parameters(), lr=0.05, full_gradient_interval=3)
    optimizer.step(next(epoch(model)))
    other = list(epoch(model, generator=torch.Generator().manual_seed(9)))[1]
    with pytest.raises(OptimizerError, match=r"^batch 2 of 6: .* restore the generator"):
        optimizer.step(other)
    assert 1 in optimizer.memory["snapshot"]["batches"]  # Nothing is lost.


def test_an_interval_that_does_not_divide_the_epoch_is_refused():
    model = network()
    optimizer, before = SVRG(model.parameters(), full_gradient_interval=4), copy.deepcopy(model)
    with pytest.raises(OptimizerError, match=r"full_gradient_interval = 4: .* 6 batches"):
        optimizer.step(next(epoch(model)))
    alone = ModelObjective(model, mean_squared, INPUTS, TARGETS)
    message = r'epoch of 1 batch; allowed here: 1, "epoch", and in SQGN "never"'
    with pytest.raises(OptimizerError, match=message):
        optimizer.step(alone)
    assert torch.equal(model[0].weight, before[0].weight)
