"""Batches: the same bits from memory and from the file, in an order of (seed, epoch)."""

import threading
import time

import numpy as np
import pytest
import torch

from seistomo.dataset import open_dataset
from seistomo.ranks import Processes
from seistomo.training.batches import batch_groups
from seistomo.training.data import SplitData
from seistomo.training.normalization import learn_normalization
from seistomo.training.room import GIB, free_memory, memory_budget

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
        first, *_ = split.batches(batch_groups(0, 0, 30, 5))
        with pytest.raises(OSError, match="gone"):
            first.take(torch.arange(1))


def test_memory_budget():
    assert memory_budget(0.0, CPU) == 0
    assert memory_budget(1.5, CPU) == 1.5 * GIB
    assert 0 < memory_budget(None, CPU) <= free_memory()


def test_waiting_for_data_is_counted(dataset, make_config, monkeypatch):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        split = SplitData(data, data.indices("train"), normalization, CPU, memory=0)
        read, gate = data.read_gathers, threading.Event()

        def slow(indices):
            gate.wait(5)
            return read(indices)

        monkeypatch.setattr(data, "read_gathers", slow)
        batches = split.batches(batch_groups(0, 0, 30, 5))
        # A batch is there before its samples are; only who uses them waits.
        batch = next(batches)
        assert split.clock.seconds == 0
        threading.Timer(0.05, gate.set).start()
        batch.take(torch.arange(2))
        assert split.clock.seconds >= 0.04
        batches.close()


def test_the_next_batch_is_read_while_one_is_used(dataset, make_config, monkeypatch):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        split = SplitData(data, data.indices("train"), normalization, CPU, memory=0)
        seen, read = [], data.read_gathers
        monkeypatch.setattr(
            data, "read_gathers", lambda rows: (read(rows), seen.append(rows[0]))[0]
        )
        groups = batch_groups(0, 0, 30, 5)
        batches = split.batches(groups)
        batch = next(batches)
        batch.take(torch.arange(5))
        deadline = time.monotonic() + 20
        while len(seen) < 10 and time.monotonic() < deadline:
            time.sleep(0.001)
        # This batch and the next, in their order, and nothing beyond.
        assert seen == split.samples[np.concatenate(groups[:2])].tolist()
        batches.close()


@pytest.mark.parametrize("owned", [True, False])
def test_shares_of_an_epoch_cover_it_once(dataset, make_config, owned):
    """Three processes that hold thirds of the set, or are dealt thirds of each batch."""
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config().training)
        groups = batch_groups(0, 0, 30, 8)
        arguments = (data, data.indices("train"), normalization, CPU)
        whole = SplitData(*arguments, memory=GIB)
        taken = []
        for rank in range(3):
            processes = Processes(rank, 3, rank, 3)
            # They would ask each other.
            processes.agree = lambda condition: condition
            memory = whole.needed_bytes() // 3 if owned else 0
            split = SplitData(*arguments, memory=memory, processes=processes)
            assert (split.owned, split.in_memory) == (owned, owned)
            owners = split.owners(groups)
            for number, batch in enumerate(split.batches(groups, None, owners)):
                own = torch.from_numpy(np.flatnonzero(owners[groups[number]] == rank))
                if not owned:
                    assert len(own) in (len(batch) // 3, len(batch) // 3 + 1)
                reference = next(whole.batches(groups[number : number + 1]))
                assert torch.equal(batch.samples, reference.samples)
                for one, other in zip(batch.take(own), reference.take(own), strict=True):
                    assert torch.equal(one, other)
                taken += batch.samples[own].tolist()
    assert sorted(taken) == sorted(whole.samples.tolist())
