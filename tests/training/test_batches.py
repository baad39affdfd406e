"""Batches and learning rates over the epochs."""

import numpy as np
import pytest
import torch

from seistomo.config import LoopConfig, with_overrides
from seistomo.errors import InputError
from seistomo.training import train
from seistomo.training.batches import batch_count, batch_size, epoch_groups
from seistomo.training.fit import make_schedule, resume_schedule


def groups_of(seed, epoch, samples, batch_size, **others):
    settings = LoopConfig(seed=seed, batch_size=batch_size, **others)
    return epoch_groups(settings, epoch, samples)


def test_order_depends_on_seed_and_epoch_alone():
    one = np.concatenate(groups_of(3, 5, 23, 8))
    assert np.array_equal(one, np.concatenate(groups_of(3, 5, 23, 8)))
    for other in (groups_of(3, 6, 23, 8), groups_of(4, 5, 23, 8)):
        assert not np.array_equal(one, np.concatenate(other))


@pytest.mark.parametrize(
    ("samples", "batch_size", "batches", "sizes"),
    [
        (24, 8, None, [8, 8, 8]),
        (25, 8, None, [7, 6, 6, 6]),
        (23, 8, 9, [8, 8, 7]),
        (25, 8, 2, [8, 8]),
    ],
)
def test_batches_are_drawn_without_replacement(samples, batch_size, batches, sizes):
    groups = groups_of(0, 0, samples, batch_size, batches_per_epoch=batches)
    assert [len(group) for group in groups] == sizes
    drawn = np.concatenate(groups)
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(samples))


@pytest.mark.parametrize(
    ("epochs", "doublings", "sizes"),
    [
        (6, 2, [10, 10, 20, 20, 40, 40]),
        (7, 2, [10, 10, 10, 20, 20, 40, 40]),
        # No larger than the split, and steps are left out where there are too few epochs.
        (8, 3, [10, 10, 20, 20, 40, 40, 60, 60]),
        (2, 3, [10, 40]),
    ],
)
def test_sizes_double_after_equal_parts_of_the_epochs(epochs, doublings, sizes):
    settings = LoopConfig(epochs=epochs, batch_size=10, batch_doublings=doublings)
    assert [batch_size(settings, epoch, 60) for epoch in range(epochs)] == sizes
    counts = [batch_count(settings, epoch, 60) for epoch in range(epochs)]
    assert counts == [-(-60 // size) for size in sizes]


def test_a_run_takes_fewer_larger_steps(make_config, dataset, tmp_path):
    # 30 samples: four batches of at most 8, then two, then one.
    growing = make_config("training.epochs=3", "training.batch_doublings=2")
    result = train(growing, dataset, tmp_path / "run")
    assert [row["iteration"] for row in result.history] == [4, 6, 7]
    # An epoch is four batches of the first size, however it is cut.
    assert [row["gradient_evaluations"] for row in result.history] == [4, 8, 12]
    interval = ["optimizer.name=svrg", "optimizer.options.full_gradient_interval=2"]
    with pytest.raises(InputError, match=r"interval = 2: .* 1 batch; .* epoch 3 has 30"):
        train(with_overrides(growing, interval), dataset, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_more_epochs_are_refused_inside_an_epoch_whose_batches_they_change(
    make_config, dataset, tmp_path, monkeypatch
):
    growing = ["training.batch_doublings=2", "training.checkpoint_iterations=1"]
    config = make_config("training.epochs=3", *growing)
    steps, step = [], torch.optim.Adam.step

    def interrupted(self, closure):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(self, closure)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.Adam, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, dataset, tmp_path / "run")
    more = make_config("training.epochs=9", *growing)
    with pytest.raises(InputError, match=r"epochs = 9: .*epoch 1, .*finish that with 3"):
        train(more, dataset, tmp_path / "run", resume=True)
    train(config, dataset, tmp_path / "run", resume=True)
    assert train(more, dataset, tmp_path / "run", resume=True).last["epoch"] == 9


def rates(count, losses=None, state=None, start=0, **settings):
    config = LoopConfig(**settings)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = make_schedule(optimizer, config)
    if state:
        resume_schedule(schedule, state, config)
    used = []
    for epoch in range(start, count):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(*([losses[epoch]] if losses else []))
    return used, schedule.state_dict()


@pytest.mark.parametrize(
    ("schedule", "final", "expected"),
    [
        ("constant", 0.1, [0.5] * 5),
        ("linear", 0.2, [0.5, 0.4, 0.3, 0.2, 0.1]),
        ("cosine", 0.0, [0.5, 0.25 * (1 + 2**-0.5), 0.25, 0.25 * (1 - 2**-0.5), 0.0]),
    ],
)
def test_schedules(schedule, final, expected):
    settings = {"schedule": schedule, "final_learning_rate": final}
    assert rates(5, epochs=5, **settings)[0] == pytest.approx(expected)
    # Taken up again it goes on, and more epochs stretch it.
    state = rates(3, epochs=5, **settings)[1]
    assert rates(5, state=state, start=3, epochs=5, **settings)[0] == pytest.approx(expected[3:])
    longer = rates(11, epochs=11, **settings)[0]
    assert rates(11, state=state, start=3, epochs=11, **settings)[0] == longer[3:]


def test_plateau_falls_after_its_patience_down_to_the_lowest():
    settings = {"plateau_patience": 1, "plateau_factor": 0.5, "final_learning_rate": 0.25}
    losses = [4, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    assert rates(11, losses, schedule="plateau", **settings)[0] == [
        0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125, 0.125, 0.125,
    ]  # fmt: skip
