"""Full gradients, and the batches' own gradients that fall out of them."""

import pytest
import torch
from torch import nn

from seistomo.optim import ModelObjective, OptimizerError, epoch_objectives
from seistomo.optim.checks import require_deterministic

SAMPLES = 23


def mean_squared(outputs, targets):
    return (outputs - targets).square().sum() / len(outputs)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 4, generator=generator, dtype=torch.float64)
    targets = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    return model, mean_squared, inputs, targets


def by_hand(problem, rows, params=None):
    """Return loss and gradient over some rows, all at once."""
    model, loss, inputs, targets = problem
    value = loss(model(inputs[rows]), targets[rows])
    return value.detach(), torch.autograd.grad(value, params or list(model.parameters()))


def assert_same(found, expected):
    loss, gradient = found
    torch.testing.assert_close(loss, expected[0], rtol=1e-13, atol=0)
    for one, other in zip(gradient, expected[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def assert_full_gradient(problem, objective, batches, cache_next):
    """Compare everything with what each batch, and the whole set, gives by itself."""
    full = objective.full_gradient(cache_next=cache_next)
    assert_same(full[:2], by_hand(problem, torch.arange(SAMPLES)))
    assert len(full.batch_losses) == len(full.batch_gradients) == cache_next
    own = zip(full.batch_losses, full.batch_gradients, strict=True)
    for found, rows in zip(own, batches, strict=False):
        assert_same(found, by_hand(problem, rows))


@pytest.mark.parametrize("micro_batch", [None, 2])
@pytest.mark.parametrize("cache_next", [0, 1, 2, 4])
def test_batches_of_unequal_size_count_by_their_samples(problem, cache_next, micro_batch):
    # 7, 7, 7 and 2 samples.
    objectives = list(epoch_objectives(*problem, 7, micro_batch=micro_batch))
    batches = [objective.samples for objective in objectives]
    assert_full_gradient(problem, objectives[0], batches, cache_next)


def test_the_next_batches_begin_with_this_one(problem):
    objectives = list(epoch_objectives(*problem, 4))
    batches = [objective.samples for objective in objectives]
    assert_full_gradient(problem, objectives[3], batches[3:], 3)


def test_an_epoch_may_be_shorter_than_the_training_set(problem):
    objectives = list(epoch_objectives(*problem, 3, batches=4))
    batches = [objective.samples for objective in objectives]
    assert [objective.batches_per_epoch for objective in objectives] == [4] * 4
    assert_full_gradient(problem, objectives[0], batches, 4)


@pytest.mark.parametrize("repeated", ["within a batch", "between batches"])
def test_batches_may_be_drawn_with_replacement(problem, repeated):
    batches = {
        "within a batch": [torch.tensor([1, 1, 4, 5]), torch.tensor([2, 3, 6, 7])],
        "between batches": [torch.tensor([1, 2, 4, 5]), torch.tensor([2, 3, 6, 7])],
    }[repeated]
    objective = ModelObjective(*problem, samples=batches[0], batches=batches)
    assert_full_gradient(problem, objective, batches, 2)


def test_training_set_of_one_batch(problem):
    objective = ModelObjective(*problem)
    assert_full_gradient(problem, objective, [torch.arange(SAMPLES)], 1)
    assert objective.gradient_evaluations == 1


def test_own_gradients_cost_nothing_more(problem):
    first = next(epoch_objectives(*problem, 5))
    for cache_next in (0, 2, 5):
        before = first.gradient_evaluations
        first.full_gradient(cache_next=cache_next)
        assert first.gradient_evaluations - before == pytest.approx(SAMPLES / 5)
    with_replacement = [torch.arange(5), torch.arange(5)]
    second = ModelObjective(*problem, samples=with_replacement[0], batches=with_replacement)
    second.full_gradient(cache_next=2)
    assert second.gradient_evaluations == pytest.approx(SAMPLES / 5 + 2)


def test_the_rest_of_the_training_set_is_forwarded_in_large_pieces(problem):
    sizes = []
    first = next(epoch_objectives(*problem, 3))
    first.full_gradient()  # At first use the model is asked again and again for the same few.
    problem[0].register_forward_hook(lambda _m, inputs, _o: sizes.append(len(inputs[0])))
    first.full_gradient(cache_next=2)
    # Four batches at once, what is left of 23 samples, and the two batches asked for.
    assert sizes == [3, 3, 12, SAMPLES - 6 - 12]


def test_elsewhere_than_at_the_weights(problem):
    model = problem[0]
    first = next(epoch_objectives(*problem, 7))
    bias, weight = model[2].bias, model[2].weight
    there = {bias: bias.detach() + 0.1, weight: weight.detach() * 2}
    kept = [parameter.detach().clone() for parameter in model.parameters()]
    full = first.full_gradient(there, cache_next=1)
    for parameter, before in zip(model.parameters(), kept, strict=True):
        assert torch.equal(parameter, before)
    with torch.no_grad():
        bias += 0.1
        weight *= 2
    assert_same(full[:2], by_hand(problem, torch.arange(SAMPLES), [bias, weight]))
    own = full.batch_losses[0], full.batch_gradients[0]
    assert_same(own, by_hand(problem, first.samples, [bias, weight]))


def test_it_leaves_no_trace_in_grad_and_no_graph(problem):
    full = next(epoch_objectives(*problem, 7)).full_gradient(cache_next=1)
    assert all(parameter.grad is None for parameter in problem[0].parameters())
    tensors = [full.loss, *full.gradient, *full.batch_losses, *full.batch_gradients[0]]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_more_batches_than_the_epoch_still_has_are_refused(problem):
    third = list(epoch_objectives(*problem, 6))[2]
    message = "next 3 batches: the objective knows 2 from batch 3 of 4 on"
    with pytest.raises(OptimizerError, match=message):
        third.full_gradient(cache_next=3)
    alone = ModelObjective(*problem, samples=torch.arange(4), batch_index=1, batches_per_epoch=4)
    with pytest.raises(OptimizerError, match="knows 1 from batch 2 of 4 on"):
        alone.full_gradient(cache_next=2)


def test_a_training_set_out_of_reach_is_refused(problem):
    objective = ModelObjective(*problem, sample_count=1000)
    with pytest.raises(OptimizerError, match="reaches 23 of 1000 training samples"):
        objective.full_gradient()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(5), r"layer 1 \(BatchNorm1d\) in train mode"),
        (nn.Dropout(), r"layer 1 \(Dropout\) in train mode"),
        (nn.RReLU(), r"layer 1 \(RReLU\) in train mode"),
    ],
)
def test_random_or_coupled_layers_are_refused_until_they_are_in_eval_mode(problem, layer, message):
    _, loss, inputs, targets = problem
    model = nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 3)).double()
    objective = ModelObjective(model, loss, inputs, targets)
    vector = [torch.ones_like(parameter) for parameter in model.parameters()]
    for ask in (
        objective.full_gradient,
        objective.linearize,
        lambda: objective.hessian_product(vector),
    ):
        with pytest.raises(OptimizerError, match=message):
            ask()
    layer.eval()
    objective.full_gradient()
    objective.linearize().product(vector)
    objective.hessian_product(vector)


@pytest.mark.parametrize(
    ("layer", "refused"),
    [
        (nn.Dropout(0.0), None),
        (nn.GroupNorm(1, 5), None),
        (nn.LayerNorm(5), None),
        (nn.BatchNorm1d(5, track_running_stats=False).eval(), "without running statistics"),
        (nn.GRU(5, 5, num_layers=2, dropout=0.5), "layer 1 .GRU. in train mode"),
        (nn.GRU(5, 5, num_layers=2, dropout=0.5).eval(), None),
        (nn.GRU(5, 5), None),
        (nn.MultiheadAttention(5, 1, dropout=0.1), "layer 1 .MultiheadAttention. in train mode"),
        (nn.MultiheadAttention(5, 1), None),
    ],
)
def test_only_layers_that_are_random_or_coupled_are_refused(layer, refused):
    model = nn.Sequential(nn.Linear(4, 5), layer)
    if refused is None:
        require_deterministic(model)
        return
    with pytest.raises(OptimizerError, match=refused):
        require_deterministic(model)
