"""Batches: their order, and sizes that grow."""

import csv

import numpy as np
import pytest

from seistomo.config import LoopConfig, with_overrides
from seistomo.errors import InputError
from seistomo.progress import set_quiet
from seistomo.training import train
from seistomo.training.batches import batch_count, batch_size, epoch_groups


def groups_of(seed, epoch, samples, batch_size, **others):
    settings = LoopConfig(seed=seed, batch_size=batch_size, **others)
    return epoch_groups(settings, epoch, samples)


def test_order_depends_on_seed_and_epoch_alone():
    one = groups_of(3, 5, 23, 8)
    for a, b in zip(one, groups_of(3, 5, 23, 8), strict=True):
        assert np.array_equal(a, b)
    for other in (groups_of(3, 6, 23, 8), groups_of(4, 5, 23, 8)):
        assert not np.array_equal(np.concatenate(one), np.concatenate(other))


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [(24, 8, [8, 8, 8]), (25, 8, [7, 6, 6, 6]), (23, 8, [8, 8, 7]), (5, 5, [5]), (3, 1, [1, 1, 1])],
)
def test_epochs_are_cut_into_equal_batches_without_replacement(samples, batch_size, sizes):
    groups = groups_of(0, 0, samples, batch_size)
    assert [len(group) for group in groups] == sizes
    assert sorted(np.concatenate(groups)) == list(range(samples))


@pytest.mark.parametrize(
    ("epochs", "doublings", "sizes"),
    [
        (6, 0, [10] * 6),
        (6, 1, [10] * 3 + [20] * 3),
        (6, 2, [10, 10, 20, 20, 40, 40]),
        (7, 2, [10, 10, 10, 20, 20, 40, 40]),
        # No larger than the split, and steps are left out where there are too few epochs.
        (8, 3, [10, 10, 20, 20, 40, 40, 60, 60]),
        (2, 3, [10, 40]),
        (1, 3, [10]),
    ],
)
def test_sizes_double_after_equal_parts_of_the_epochs(epochs, doublings, sizes):
    settings = LoopConfig(epochs=epochs, batch_size=10, batch_doublings=doublings)
    assert [batch_size(settings, epoch, 60) for epoch in range(epochs)] == sizes
    counts = [batch_count(settings, epoch, 60) for epoch in range(epochs)]
    assert counts == [-(-60 // size) for size in sizes]


@pytest.fixture
def growing(make_config):
    # 30 samples: four batches of at most 8, then two, then one.
    return make_config("training.epochs=3", "training.batch_doublings=2")


@pytest.mark.parametrize("optimizer", ["adam", "sqgn"])
def test_a_run_takes_fewer_larger_steps(growing, dataset, tmp_path, optimizer):
    config = with_overrides(
        growing,
        ["optimizer.name=sqgn", 'optimizer.options.full_gradient_interval="epoch"']
        if optimizer == "sqgn"
        else [],
    )
    train(config, dataset, tmp_path / "run")
    with open(tmp_path / "run" / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == [4, 6, 7]
    if optimizer == "adam":
        # An epoch is four batches of the first size, however it is cut.
        assert [float(row["gradient_evaluations"]) for row in rows] == [4, 8, 12]


def test_growth_is_told(growing, dataset, tmp_path, capsys):
    set_quiet(False)
    train(growing, dataset, tmp_path / "run")
    assert "4 batches an epoch of at most 8, of 30 at the end" in capsys.readouterr().err


def test_an_interval_that_later_epochs_are_too_short_for_is_refused_at_once(
    growing, dataset, tmp_path
):
    config = with_overrides(
        growing, ["optimizer.name=svrg", "optimizer.options.full_gradient_interval=2"]
    )
    with pytest.raises(
        InputError, match=r"interval = 2: .*batch_doublings = 2 epoch 3 has 1 batch,"
    ):
        train(config, dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(with_overrides(config, ["training.batch_doublings=1"]), dataset, tmp_path / "run")


def test_more_epochs_are_refused_inside_an_epoch_whose_batches_they_change(
    growing, dataset, tmp_path, monkeypatch
):
    from seistomo.training.fit import _Training

    config = with_overrides(growing, ["training.checkpoint_iterations=1"])
    save = _Training.save

    def interrupted(self):
        save(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Training, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config, dataset, tmp_path / "run")
    more = with_overrides(config, ["training.epochs=9"])
    with pytest.raises(InputError, match=r"epochs = 9: .*epoch 1, .*finish that with 3"):
        train(more, dataset, tmp_path / "run", resume=True)
    train(config, dataset, tmp_path / "run", resume=True)
    assert train(more, dataset, tmp_path / "run", resume=True).last["epoch"] == 9
