"""Batches: the same bits from memory and from the file, in an order of (seed, epoch)."""

import threading

import numpy as np
import pytest
import torch

from seistomo.dataset import open_dataset
from seistomo.training.data import GIB, SplitData, batch_groups, free_memory, memory_budget
from seistomo.training.normalization import learn_normalization

CPU = torch.device("cpu")


@pytest.mark.parametrize("gather_type", ["float32", "float16"])
def test_streamed_batches_are_the_kept_ones_bit_for_bit(dataset, make_config, gather_type):
    config = make_config(f"training.gather_type={gather_type}")
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, config.training)
        samples = data.indices("train")
        kept = SplitData(data, samples, normalization, CPU, memory=GIB)
        streamed = SplitData(data, samples, normalization, CPU, memory=kept.needed_bytes() - 1)
        assert (kept.in_memory, streamed.in_memory) == (True, False)
        groups = batch_groups(0, 0, len(samples), 7)
        rows = torch.tensor([0, 1, 2, 5])
        for group, one, other in zip(
            groups, kept.batches(groups), streamed.batches(groups), strict=True
        ):
            assert torch.equal(one.samples, torch.from_numpy(samples[group]))
            assert torch.equal(one.samples, other.samples)
            for a, b in zip(one.take(rows), other.take(rows), strict=True):
                assert a.dtype == torch.float32
                assert torch.equal(a, b)


def test_batches_hold_the_scaled_samples(dataset, make_config):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        samples = data.indices("validation")
        split = SplitData(data, samples, normalization, CPU, memory=0)
        (batch,) = split.batches([np.array([4, 2])])
        inputs, targets = batch.take(torch.arange(2))
        gathers = normalization.gathers(data.read_gathers(samples[[4, 2]]))
        velocity = normalization.velocity.scale(data.read_velocity(samples[[4, 2]]))
    assert inputs.shape == (2, 1, *data.gather_shape)
    assert np.array_equal(inputs[:, 0].numpy(), gathers)
    assert np.array_equal(targets.numpy(), velocity)


def test_breaking_off_a_streamed_epoch_stops_its_thread(dataset, make_config):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        split = SplitData(data, data.indices("train"), normalization, CPU, memory=0)
        batches = split.batches(batch_groups(0, 0, 30, 5))
        next(batches)
        batches.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_reading_errors_reach_the_loop(dataset, make_config, monkeypatch):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        split = SplitData(data, data.indices("train"), normalization, CPU, memory=0)

        def fail(_indices):
            raise OSError("gone")

        monkeypatch.setattr(data, "read_gathers", fail)
        with pytest.raises(OSError, match="gone"):
            list(split.batches(batch_groups(0, 0, 30, 5)))


def test_order_depends_on_seed_and_epoch_alone():
    one = batch_groups(3, 5, 23, 8)
    for a, b in zip(one, batch_groups(3, 5, 23, 8), strict=True):
        assert np.array_equal(a, b)
    for other in (batch_groups(3, 6, 23, 8), batch_groups(4, 5, 23, 8)):
        assert not np.array_equal(np.concatenate(one), np.concatenate(other))


@pytest.mark.parametrize(
    ("samples", "batch_size", "sizes"),
    [(24, 8, [8, 8, 8]), (25, 8, [7, 6, 6, 6]), (23, 8, [8, 8, 7]), (5, 5, [5]), (3, 1, [1, 1, 1])],
)
def test_epochs_are_cut_into_equal_batches_without_replacement(samples, batch_size, sizes):
    groups = batch_groups(0, 0, samples, batch_size)
    assert [len(group) for group in groups] == sizes
    assert sorted(np.concatenate(groups)) == list(range(samples))


def test_memory_budget():
    assert memory_budget(0.0, CPU) == 0
    assert memory_budget(1.5, CPU) == 1.5 * GIB
    assert 0 < memory_budget(None, CPU) <= free_memory()
