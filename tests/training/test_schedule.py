"""Learning-rate schedules, stepped once an epoch."""

import pytest
import torch

from seistomo.training.fit import make_schedule, resume_schedule


def rates(config, epochs, losses=None, state=None, start=0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = make_schedule(optimizer, config.training)
    if state:
        resume_schedule(schedule, state, config.training)
    used = []
    for epoch in range(start, epochs):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(*([losses[epoch]] if losses else []))
    return used, schedule.state_dict()


def test_constant(make_config):
    assert rates(make_config(), 5)[0] == [0.5] * 5


def test_linear_ends_at_the_share_asked_for(make_config):
    config = make_config(
        "training.schedule=linear", "training.epochs=5", "training.final_learning_rate=0.2"
    )
    assert rates(config, 5)[0] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])


def test_cosine_is_slow_at_both_ends(make_config):
    config = make_config(
        "training.schedule=cosine", "training.epochs=5", "training.final_learning_rate=0.0"
    )
    expected = [0.5, 0.25 * (1 + 2**-0.5), 0.25, 0.25 * (1 - 2**-0.5), 0.0]
    assert rates(config, 5)[0] == pytest.approx(expected)


def test_plateau_falls_after_its_patience_down_to_the_lowest(make_config):
    config = make_config(
        "training.schedule=plateau",
        "training.plateau_patience=1",
        "training.plateau_factor=0.5",
        "training.final_learning_rate=0.25",
    )
    losses = [4, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert rates(config, 11, losses)[0] == [
        0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_state_continues_and_more_epochs_stretch_the_schedule(make_config, kind):
    short = make_config(f"training.schedule={kind}", "training.epochs=6")
    whole, _ = rates(short, 6)
    _, state = rates(short, 3)
    assert rates(short, 6, state=state, start=3)[0] == whole[3:]
    longer = make_config(f"training.schedule={kind}", "training.epochs=11")
    assert rates(longer, 11, state=state, start=3)[0] == rates(longer, 11)[0][3:]
