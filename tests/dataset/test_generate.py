"""Simulated data sets: each sample written once, the same bytes whatever happens on the way."""

import errno
import shutil
import signal
import time
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seistomo.config import load_config
from seistomo.dataset import models, open_dataset
from seistomo.dataset.generate import plan_for, samples_of, simulate
from seistomo.dataset.store import schema
from seistomo.dataset.unfinished import Unfinished
from seistomo.errors import InputError


@pytest.fixture(scope="module")
def reference(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "data.h5"
    simulate(tiny(), path)
    return path


@pytest.fixture
def break_off(monkeypatch):
    """Return a context manager in which drawing sample ``at`` ends the run."""

    @contextmanager
    def context(at, error=KeyboardInterrupt):
        def draw(config, seed, index, draw=models.draw_model):
            if index == at:
                raise error
            return draw(config, seed, index)

        with monkeypatch.context() as patched:
            patched.setattr(models, "draw_model", draw)
            yield

    return context


def done(out):
    """Return which rows of the unfinished file are there."""
    path = out.with_name(f"{out.name}.unfinished")
    try:
        with h5py.File(path, locking=False) as file:
            return np.flatnonzero(file["crc32"][...]).tolist()
    except OSError:
        return []


def test_data_set_holds_what_was_asked_for(tiny, reference):
    with open_dataset(reference) as data:
        assert data.samples == 10
        assert data.gather_shape == (2, 7, 140)
        assert data.velocity_shape == (24, 28)
        assert data.seeds(range(10)).tolist() == [[3, i] for i in range(10)]
        assert data.damaged() == []
        gathers = data.read_gathers(range(10))
        assert data.config == schema.stored_config(tiny())
        assert data.config.dataset.shard_samples != 2, "settings of speed are not stored"
    assert np.abs(gathers).max(axis=(1, 2, 3)).min() > 0
    assert [path.name for path in reference.parent.iterdir()] == ["data.h5"]


@pytest.mark.parametrize(
    ("change", "threads"), [("simulation.models_per_call=3", 5), ("training.device=cpu", 1)]
)
def test_bytes_do_not_depend_on_how_the_work_is_divided(tiny, reference, tmp_path, change, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        summary = simulate(tiny(change), tmp_path / "data.h5")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "data.h5").read_bytes() == reference.read_bytes()
    assert 0 < summary.wave_seconds < summary.seconds
    assert "10 samples, 10 simulated in" in str(summary)


def test_a_grown_set_is_the_set_made_at_once(tiny, reference, tmp_path):
    path = tmp_path / "data.h5"
    assert simulate(tiny("dataset.samples=4"), path).simulated == 4
    with open_dataset(path) as data:
        splits = data.splits
    assert simulate(tiny(), path, resume=True).simulated == 6
    assert path.read_bytes() == reference.read_bytes()
    with open_dataset(path) as data:
        np.testing.assert_array_equal(data.splits[:4], splits)
    before = path.stat().st_mtime_ns
    assert simulate(tiny(), path, resume=True).simulated == 0
    assert path.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [path]


def test_existing_output_is_refused_then_replaced(tiny, reference, tmp_path):
    path = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already; use --overwrite"):
        simulate(tiny(), path)
    with pytest.raises(InputError, match=r"survey\.frequency = 8\.0, now it is 9\.0"):
        simulate(tiny("survey.frequency=9.0"), path, resume=True)
    with pytest.raises(InputError, match="holds 2 samples, more than"):
        simulate(tiny("dataset.samples=1"), path, resume=True)
    with pytest.raises(InputError, match="choose one of"):
        simulate(tiny(), path, resume=True, overwrite=True)
    assert path.read_bytes() == before
    link = tmp_path / "link.h5"
    link.symlink_to(path)
    simulate(tiny(), link, overwrite=True)
    assert path.read_bytes() == reference.read_bytes()
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_a_failure_midway_keeps_whole_shards_and_the_old_file(tiny, reference, tmp_path, break_off):
    path = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), path)
    before = path.read_bytes()
    with break_off(5), pytest.raises(KeyboardInterrupt):
        simulate(tiny(), path, overwrite=True)
    assert path.read_bytes() == before
    assert done(path) == [0, 1, 2, 3]
    shutil.move(path, tmp_path / "old.h5")
    with pytest.raises(InputError, match=r"left data\.h5\.unfinished; use --resume"):
        simulate(tiny(), path)
    with pytest.raises(InputError, match=r"data\.h5: no such file; data\.h5\.unfinished is"):
        open_dataset(path)
    with pytest.raises(InputError, match="unfinished; finish it with"):
        open_dataset(tmp_path / "data.h5.unfinished")
    shutil.move(tmp_path / "old.h5", path)
    # A resumed overwrite still replaces the old file.
    assert simulate(tiny(), path, resume=True).simulated == 6
    assert path.read_bytes() == reference.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_run_may_end_with_another_number_of_samples(tiny, tmp_path, break_off):
    path, more = tmp_path / "data.h5", tiny("dataset.samples=12")
    with break_off(5), pytest.raises(KeyboardInterrupt):
        simulate(tiny(), path)
    assert simulate(more, path, resume=True).simulated == 8
    simulate(more, tmp_path / "whole.h5")
    assert path.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_an_unfinished_file_that_cannot_be_read_is_made_again(
    tiny, reference, tmp_path, break_off, capsys
):
    path = tmp_path / "data.h5"
    with break_off(5), pytest.raises(KeyboardInterrupt):
        simulate(tiny(), path)
    unfinished = tmp_path / "data.h5.unfinished"
    unfinished.write_bytes(unfinished.read_bytes()[:3000])
    assert simulate(tiny(), path, resume=True).simulated == 10
    assert "made again" in capsys.readouterr().err
    assert path.read_bytes() == reference.read_bytes()
    # One that HDF5 reads is never thrown away unasked.
    shutil.copy(path, unfinished)
    with h5py.File(unfinished, "a") as file:
        del file["crc32"]
    before = unfinished.read_bytes()
    with pytest.raises(InputError, match="damaged, crc32 missing; make it again with --overwrite"):
        simulate(tiny(), path, resume=True)
    assert unfinished.read_bytes() == before


def test_nothing_is_left_where_nothing_was_made(tiny, tmp_path, break_off):
    with break_off(0, InputError("no model today")), pytest.raises(InputError, match="today"):
        simulate(tiny(), tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written: "):
        simulate(tiny(), tmp_path / "file" / "data.h5")


def test_full_disk_is_foreseen(tiny, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"needs about .* GB free"):
        simulate(tiny(), tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_on_the_way_keeps_what_is_there(tiny, reference, tmp_path, monkeypatch):
    from seistomo.dataset.store import writer

    path, written = tmp_path / "data.h5", []

    def full(handle, data, offset, write=writer._write_at):
        written.append(len(data))
        if sum(written) > 130_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(handle, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(writer, "_write_at", full)
        with pytest.raises(InputError, match="the disk is full; free some space and go on with"):
            simulate(tiny(), path)
    assert len(done(path)) >= 2
    assert simulate(tiny(), path, resume=True).simulated <= 8
    assert path.read_bytes() == reference.read_bytes()


@pytest.fixture
def start_long(tiny, start, tmp_path):
    """Start `seistomo simulate` with enough samples to be interrupted."""
    config = tmp_path / "config.toml"
    config.write_text(tiny("dataset.samples=40").to_toml())
    return lambda out, *more, **options: start(
        "simulate", config, "--out", out, "--quiet", *more, **options
    )


def test_kill_and_ctrl_c_at_any_moment_then_resume_gives_the_same_bytes(
    tiny, start_long, wait_until, tmp_path
):
    simulate(tiny("dataset.samples=40"), tmp_path / "whole.h5")
    out, rng = tmp_path / "killed.h5", np.random.default_rng(0)
    run = start_long(out, threads=2)
    wait_until(lambda: len(done(out)) >= 6, run)
    with pytest.raises(InputError, match="another process is writing it"):
        simulate(tiny("dataset.samples=40"), out, resume=True)
    run.send(signal.SIGKILL)
    run.wait()
    run = start_long(out, "--resume", threads=3)
    wait_until(lambda: len(done(out)) >= 12, run)
    time.sleep(rng.uniform(0, 0.1))
    run.send(signal.SIGKILL)
    run.wait()
    before = len(done(out))
    run = start_long(out, "--resume", threads=2)
    wait_until(lambda: len(done(out)) > before, run)
    for _ in range(3):
        # An impatient user.
        run.send(signal.SIGINT)
        time.sleep(0.005)
    assert run.wait() == 130
    assert "--resume" in run.words
    assert "Traceback" not in run.words
    assert not list(tmp_path.glob(".*.part"))
    assert not out.exists()
    left = 40 - len(done(out))
    assert left < 40 - before
    run = start_long(out, "--resume")
    assert run.wait() == 0
    assert f"40 samples, {left} simulated" in run.words
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "killed.h5.unfinished").exists()


def test_a_kill_while_a_set_grows_loses_nothing(tiny, start_long, wait_until, tmp_path):
    """Whatever is being copied, and in the last step."""
    slow = (
        "from seistomo.dataset import unfinished\n"
        "copy, finish = unfinished.copy_rows, unfinished.finish\n"
        "def slow_copy(*a):\n"
        "    open({0!r}, 'w').close(); yield from copy(*a); import time; time.sleep(100)\n"
        "def slow_finish(*a):\n"
        "    finish(*a); open({1!r}, 'w').close(); import time; time.sleep(100)\n"
        "unfinished.{2} = slow_{3}\n"
    )
    out = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=36"), out)
    simulate(tiny("dataset.samples=40"), tmp_path / "whole.h5")
    for name, short in (("copy_rows", "copy"), ("finish", "finish")):
        mark = tmp_path / f"{short}-mark"
        prepare = slow.format(str(mark), str(mark), name, short)
        run = start_long(out, "--resume", prepare=prepare)
        wait_until(mark.exists, run)
        run.send(signal.SIGKILL)
        run.wait()
        with open_dataset(out) as data:
            assert (data.samples, data.damaged()) == (36, [])
    run = start_long(out, "--resume")
    assert run.wait() == 0
    assert "40 samples, 0 simulated" in run.words
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not list(tmp_path.glob(".*")) + list(tmp_path.glob("*.unfinished"))


def test_a_part_is_resumed_as_that_part_only(tiny, reference, tmp_path, break_off):
    path = tmp_path / "part.h5"
    with break_off(8), pytest.raises(KeyboardInterrupt):
        simulate(tiny(), path, shard="2/2")
    assert done(path) == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r"holds samples 4 to 7 \(--shard 2/2\), but 0 to 3 are"):
        simulate(tiny(), path, shard="1/2", resume=True)
    assert simulate(tiny(), path, shard="2/2", resume=True).simulated == 2
    with open_dataset(path) as data:
        assert data.sample_indices.tolist() == [4, 5, 6, 7, 8, 9]
        assert data.shard == (2, 2)
    # Asked for the whole set, the part is kept and the rest made around it.
    assert simulate(tiny(), path, resume=True).simulated == 4
    assert path.read_bytes() == reference.read_bytes()


def divided(samples, each):
    return load_config("", [f"dataset.samples={samples}", f"dataset.shard_samples={each}"])


@given(st.integers(1, 500), st.integers(1, 60), st.data())
def test_shards_are_next_to_each_other_and_nearly_equal(samples, each, data):
    blocks = -(-samples // each)
    count = data.draw(st.integers(1, blocks))
    ranges = [samples_of(divided(samples, each), i, count) for i in range(1, count + 1)]
    assert [index for part in ranges for index in part] == list(range(samples))
    assert all(part.start % each == 0 for part in ranges)
    lengths = [-(-len(part) // each) for part in ranges]
    assert max(lengths) - min(lengths) <= 1


def test_too_many_shards_are_refused_with_what_would_do():
    with pytest.raises(InputError, match=r"use at most 3 parts, or dataset.shard_samples = 25"):
        samples_of(divided(100, 40), 1, 4)
    assert len(samples_of(divided(100, 25), 4, 4)) == 25
    with pytest.raises(InputError, match="there are only 3 samples"):
        samples_of(divided(3, 1), 1, 4)


def test_another_wavelet_in_the_same_file_is_refused(tiny, tmp_path):
    """What counts is the wavelet that was used, not the name of its file."""
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    samples = np.hanning(40) * np.sin(np.linspace(0, 12, 40))
    np.savetxt(one, samples)
    np.savetxt(other, samples)
    options = ('survey.wavelet="file"', "dataset.samples=4", "dataset.split=[1, 1, 1]")
    path = tmp_path / "data.h5"
    simulate(tiny(*options, f"survey.wavelet_file={one}"), path)
    named = tiny(*options[:1], "dataset.samples=6", f"survey.wavelet_file={other}")
    with pytest.raises(InputError, match=r"dataset\.split"):
        simulate(named, path, resume=True)
    longer = tiny(*options, "dataset.samples=6", f"survey.wavelet_file={other}")
    assert simulate(longer, path, resume=True).simulated == 2
    np.savetxt(other, samples[::-1])
    with pytest.raises(InputError, match="made with another wavelet than"):
        simulate(longer, path, resume=True)


def test_a_set_that_was_made_meanwhile_is_not_replaced(tiny, tmp_path, monkeypatch):
    out, lock = tmp_path / "data.h5", Unfinished._lock

    def locked_late(self, path):
        out.write_text("made by another process")
        return lock(self, path)

    monkeypatch.setattr(Unfinished, "_lock", locked_late)
    unfinished = Unfinished(plan_for(tiny(), out, None), resume=False, overwrite=False)
    with pytest.raises(InputError, match="exists already"), unfinished:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]
