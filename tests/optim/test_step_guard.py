"""Steps that are taken back."""

import math

import pytest
import torch
from torch import nn

from seistomo.optim import SQGN, ModelObjective
from seistomo.optim.step_guard import StepGuard

STEP = torch.tensor([3.0, 4.0], dtype=torch.float64)
CALM = [1.0, 1.02, 0.99, 1.01, 1.0]


def play(losses, factor=2.0, step=STEP):
    """Return what becomes of a step of length 5 that is planned again and again."""
    guard, memory, seen = StepGuard(factor), {}, []
    for loss in losses:
        taken, part, back = guard.guarded(step, torch.tensor(loss, dtype=step.dtype), memory)
        seen.append((taken, float(part), bool(back)))
    return seen, memory


def test_steps_pass_unchanged_while_the_loss_is_usual():
    seen, memory = play([1.0, 1.9, 0.2, 0.7, 1.1, 1.4, 0.9])
    assert all(torch.equal(taken, STEP) and part == 1 and not back for taken, part, back in seen)
    assert memory["guard"]["limit"] == math.inf


def test_a_step_is_taken_back_once_and_the_next_are_kept_short():
    seen, _ = play([*CALM, 2.1, 1.0, 1.0, 1.0, 1.0, 1.0])
    assert [back for *_, back in seen] == [*[False] * 5, True, *[False] * 5]
    assert torch.equal(seen[5][0], -STEP)
    lengths = [float(taken.norm()) for taken, *_ in seen[6:]]
    assert lengths == pytest.approx([2.5, 2.5 * 1.25, 2.5 * 1.25**2, 2.5 * 1.25**3, 5.0])
    assert [part for _, part, _ in seen[6:]] == pytest.approx([length / 5 for length in lengths])


def test_two_steps_in_a_row_are_never_taken_back():
    seen, memory = play([*CALM, 9.0, 9.0, 9.0])
    assert [back for *_, back in seen[5:]] == [True, False, True]
    # What was taken back for is no usual loss.
    assert memory["guard"]["losses"].tolist()[-2:] == [1.0, 9.0]


def test_a_loss_that_rises_slowly_becomes_usual():
    seen, _ = play([1.1**k for k in range(40)])
    assert not any(back for *_, back in seen)


def test_what_batches_differ_by_is_usual():
    noisy = [1.0, 1.5, 0.6, 1.3, 0.8]
    assert play([*CALM, 2.5])[0][-1][-1]
    assert not play([*noisy, 2.5])[0][-1][-1]
    assert play([*noisy, 25.0])[0][-1][-1]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_not_remembered(loss):
    seen, memory = play([*CALM, loss, 1.0])
    assert [back for *_, back in seen[5:]] == [loss == math.inf, False]
    assert memory["guard"]["losses"].tolist()[-6:] == [*CALM, 1.0]
    seen, memory = play([1.0], step=torch.tensor([1.0, math.nan], dtype=torch.float64))
    assert not memory["guard"]["last"].any(), "a step that is no number is not taken"


def test_zero_takes_nothing_back():
    for losses in ([*CALM, 1e30, 1.0], [-loss for loss in [*CALM, -1e30]]):
        seen, _ = play(losses, factor=0)
        assert not any(back for *_, back in seen)


def test_losses_below_zero_may_differ_by_as_much():
    below = [-loss for loss in CALM]
    assert not play([*below, -0.1])[0][-1][-1]
    assert play([*below, 0.1])[0][-1][-1]


def test_nothing_is_taken_back_before_five_losses():
    seen, _ = play([1.0, 1.0, 1.0, 1.0, 50.0])
    assert not any(back for *_, back in seen)


def test_a_step_may_be_taken_back_past_a_batch_without_a_loss():
    seen, _ = play([*CALM, math.nan, 9.0])
    assert [back for *_, back in seen[5:]] == [False, True]


def run(undo_above, steps=150, interval="never"):
    """Fit a small network with curvature of one sample in 16 and no damping; return losses."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(16, 6, generator=generator)
    targets = torch.sin(inputs @ torch.randn(6, 5, generator=generator))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 12), nn.ReLU())
        model.append(nn.Linear(12, 5))
    optimizer = SQGN(
        model.parameters(),
        0.5,
        damping=1e-9,
        curvature_samples=1,
        full_gradient_interval=interval,
        undo_above=undo_above,
    )
    losses, undone = [], 0
    for _ in range(steps):
        objective = ModelObjective(model, nn.functional.mse_loss, inputs, targets)
        losses.append(float(optimizer.step(objective)))
        undone += optimizer.report["undone"]
    return losses, undone, optimizer


@pytest.mark.parametrize("interval", ["never", "epoch"])
def test_a_run_that_leaps_without_it_learns(interval):
    leaping, none, _ = run(0, interval=interval)
    assert none == 0
    guarded, undone, _ = run(2.0, interval=interval)
    assert undone > 0
    assert max(leaping) > 10 * leaping[0]
    assert guarded[-1] < min(0.2 * guarded[0], 0.5 * leaping[-1])


def test_an_undone_step_leads_back_to_where_it_began():
    model = nn.Linear(2, 1)
    optimizer = SQGN(model.parameters(), 0.1, damping=1.0, full_gradient_interval="never")
    inputs, targets = torch.ones(4, 2), torch.zeros(4, 1)
    for _ in range(6):
        start, pairs = optimizer.weights(), optimizer.report.get("pairs", 0)
        optimizer.step(ModelObjective(model, nn.functional.mse_loss, inputs, targets))
    assert not torch.equal(optimizer.weights(), start)
    optimizer.step(ModelObjective(model, nn.functional.mse_loss, inputs, targets + 1e3))
    assert optimizer.report["undone"]
    assert optimizer.report["fraction"] == 0
    # The pair of the step that was taken back has gone, that of the way back has come.
    assert optimizer.report["pairs"] == pairs + 1
    torch.testing.assert_close(optimizer.weights(), start)


def test_a_full_gradient_of_an_undone_step_is_taken_again():
    model = nn.Linear(2, 1)
    optimizer = SQGN(model.parameters(), 0.1, damping=1.0, full_gradient_interval="epoch")
    inputs, targets = torch.ones(8, 2), torch.zeros(8)
    batches = torch.arange(8).split(2)
    costs = []
    for epoch, shift in enumerate((0.0, 0.0, 1e3)):
        for number in range(4):
            objective = ModelObjective(
                model,
                lambda outputs, wanted: nn.functional.mse_loss(outputs[:, 0], wanted),
                inputs,
                targets + (shift if number == 0 else 0.0),
                samples=batches[number],
                batches=batches,
                batch_index=number,
            )
            optimizer.step(objective)
            assert optimizer.report["undone"] == (epoch == 2 and number == 0)
            costs.append(objective.gradient_evaluations)
    assert costs == [4, 1, 1, 1, 4, 1, 1, 1, 4, 4, 1, 1]
