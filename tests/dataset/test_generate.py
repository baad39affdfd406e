"""Simulated data sets: the same bytes whatever happens on the way."""

import signal
import time

import numpy as np
import pytest
import torch

from seistomo.dataset import merge, open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.store import schema
from seistomo.errors import InputError


@pytest.fixture(scope="module")
def reference(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "data.h5"
    simulate(tiny(), path)
    return path


def test_data_set_holds_what_was_asked_for(reference):
    with open_dataset(reference) as data:
        assert data.samples == 10
        assert data.gather_shape == (2, 7, 140)
        assert data.velocity_shape == (24, 28)
        assert data.seeds(range(10)).tolist() == [[3, i] for i in range(10)]
        assert data.damaged() == []
        gathers = data.read_gathers(range(10))
    assert np.abs(gathers).max(axis=(1, 2, 3)).min() > 0
    assert [path.name for path in reference.parent.iterdir()] == ["data.h5"]


@pytest.mark.parametrize(
    "change", ["dataset.shard_samples=7", "simulation.models_per_call=3", "training.device=cpu"]
)
def test_bytes_do_not_depend_on_how_the_work_is_divided(tiny, reference, tmp_path, change):
    simulate(tiny(change), tmp_path / "data.h5")
    assert (tmp_path / "data.h5").read_bytes() == reference.read_bytes()


def test_a_grown_set_is_the_set_made_at_once(tiny, reference, tmp_path):
    path = tmp_path / "data.h5"
    assert simulate(tiny("dataset.samples=4"), path).simulated == 4
    with open_dataset(path) as data:
        splits = data.splits
    assert simulate(tiny(), path, resume=True).simulated == 6
    assert path.read_bytes() == reference.read_bytes()
    with open_dataset(path) as data:
        np.testing.assert_array_equal(data.splits[:4], splits)


def test_summary_says_how_fast_it_was(tiny, tmp_path):
    done = simulate(tiny("dataset.samples=4"), tmp_path / "data.h5")
    assert 0 < done.wave_seconds < done.seconds
    assert "4 samples, 4 simulated in" in str(done)
    assert "a model," in str(done)


def test_resuming_a_finished_set_changes_nothing(tiny, reference):
    before = reference.stat().st_mtime_ns
    assert simulate(tiny(), reference, resume=True).simulated == 0
    assert reference.stat().st_mtime_ns == before


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
    assert path.read_bytes() == before
    simulate(tiny(), path, overwrite=True)
    assert path.read_bytes() == reference.read_bytes()


def test_a_failure_midway_keeps_whole_shards_and_the_old_file(
    tiny, reference, tmp_path, monkeypatch
):
    from seistomo.dataset import models

    path = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), path)
    before = path.read_bytes()
    original = models.draw_model

    def stop_at_five(config, seed, index):
        if index == 5:
            raise KeyboardInterrupt
        return original(config, seed, index)

    monkeypatch.setattr(models, "draw_model", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        simulate(tiny(), path, overwrite=True)
    assert path.read_bytes() == before
    shards = sorted(p.name for p in (tmp_path / "data.h5.shards").glob("*.h5"))
    assert shards == ["shard-00000000-00000002.h5", "shard-00000002-00000004.h5"]
    monkeypatch.undo()
    # A resumed overwrite still replaces the old file.
    assert simulate(tiny(), path, resume=True).simulated == 6
    assert path.read_bytes() == reference.read_bytes()
    assert not (tmp_path / "data.h5.shards").exists()


def test_a_damaged_shard_is_made_again(tiny, reference, tmp_path, monkeypatch):
    from seistomo.dataset import assembly

    def interrupted_at_the_end(path, config, samples, parts, step, **more):
        assert [part.start for part in parts] == [0, 2, 4, 6, 8]
        raise KeyboardInterrupt

    path = tmp_path / "data.h5"
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "write_merged", interrupted_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            simulate(tiny(), path)
    assert not path.exists()
    shard = tmp_path / "data.h5.shards" / "shard-00000004-00000006.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match="an interrupted run left"):
        simulate(tiny(), path)
    assert simulate(tiny(), path, resume=True).simulated == 2
    assert path.read_bytes() == reference.read_bytes()


def test_full_disk_is_foreseen(tiny, tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"needs about .* GB free"):
        simulate(tiny(), tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def start_long(tiny, start, tmp_path):
    """Start `seistomo simulate` with enough samples to be interrupted."""
    config = tmp_path / "config.toml"
    config.write_text(tiny("dataset.samples=60").to_toml())
    return lambda out, *more, **options: start(
        "simulate", config, "--out", out, "--quiet", *more, **options
    )


def shards(out):
    return list(out.parent.glob(f"{out.name}.shards/shard-*.h5"))


def test_kill_and_ctrl_c_at_any_moment_then_resume_gives_the_same_bytes(
    tiny, start_long, wait_until, tmp_path
):
    simulate(tiny("dataset.samples=60"), tmp_path / "whole.h5")
    out, rng = tmp_path / "killed.h5", np.random.default_rng(0)
    run = start_long(out, threads=2)
    wait_until(lambda: len(shards(out)) >= 3, run)
    run.send(signal.SIGKILL)
    run.wait()
    for count in (8, 14):
        run = start_long(out, "--resume", threads=3)
        wait_until(lambda count=count: len(shards(out)) >= count, run)
        time.sleep(rng.uniform(0, 0.1))
        run.send(signal.SIGKILL)
        run.wait()
    run = start_long(out, "--resume", threads=2)
    wait_until(lambda: len(shards(out)) >= 20, run)
    for _ in range(3):
        # An impatient user.
        run.send(signal.SIGINT)
        time.sleep(0.005)
    assert run.wait() == 130
    assert run.words.splitlines()[-1].startswith("interrupted; go on")
    assert "--resume" in run.words
    assert "Traceback" not in run.words
    assert not list(tmp_path.glob(".*.part")) + list(tmp_path.glob("*.shards/.*.part"))
    assert not out.exists()
    assert start_long(out, "--resume").wait() == 0
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not (tmp_path / "killed.h5.shards").exists()


def test_two_processes_cannot_write_one_set(tiny, start_long, wait_until, tmp_path):
    out = tmp_path / "data.h5"
    run = start_long(out)
    wait_until(lambda: shards(out), run)
    with pytest.raises(InputError, match="another process is writing it"):
        simulate(tiny("dataset.samples=60"), out, resume=True)


@pytest.mark.parametrize(("limit", "left"), [(40_000, 0), (200_000, 3)])
def test_full_disk_in_a_shard_or_in_the_joined_file(tiny, start_long, tmp_path, limit, left):
    """A process whose files may not be longer stands for a full disk: the shard's, then both."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    out = tmp_path / "data.h5"
    run = start_long(out, prepare=limited, threads=2)
    assert run.wait() == 2
    errors = [line for line in run.words.splitlines() if line.startswith("error")]
    assert len(errors) == 1, run.words
    assert "the disk is full; free some space" in errors[0]
    assert "Traceback" not in run.words
    assert len(shards(out)) >= left
    assert not out.exists()
    assert not list(tmp_path.glob(".*.part")) + list(tmp_path.glob("*.shards/.*.part"))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_bytes_do_not_depend_on_the_number_of_threads(tiny, reference, tmp_path, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        simulate(tiny(), tmp_path / "data.h5")
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert (tmp_path / "data.h5").read_bytes() == reference.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_parts_joined_are_the_set_made_at_once(tiny, reference, tmp_path, count):
    parts = []
    for number in range(1, count + 1):
        part = tmp_path / f"part-{number}.h5"
        done = simulate(tiny(), part, shard=f"{number}/{count}")
        assert f"(shard {number}/{count})" in str(done)
        parts.append(part)
    merge(parts[::-1], tmp_path / "data.h5")
    assert (tmp_path / "data.h5").read_bytes() == reference.read_bytes()
    merge([tmp_path], tmp_path / "data.h5", virtual=True, overwrite=True)
    with open_dataset(tmp_path / "data.h5") as one, open_dataset(reference) as other:
        assert one.identity == other.identity
        assert one.damaged() == []


def test_a_part_is_resumed_as_that_part_only(tiny, reference, tmp_path, monkeypatch):
    from seistomo.dataset import models

    def break_off(config, seed, index, draw=models.draw_model):
        if index == 8:
            raise KeyboardInterrupt
        return draw(config, seed, index)

    path = tmp_path / "part.h5"
    with monkeypatch.context() as patched:
        patched.setattr(models, "draw_model", break_off)
        with pytest.raises(KeyboardInterrupt):
            simulate(tiny(), path, shard="2/2")
    left = ["shard-00000004-00000006.h5", "shard-00000006-00000008.h5"]
    assert sorted(shard.name for shard in shards(path)) == left
    with pytest.raises(InputError, match=r"holds samples 4 to 5 \(--shard 2/2\), but 0 to 3 are"):
        simulate(tiny(), path, shard="1/2", resume=True)
    assert simulate(tiny(), path, shard="2/2", resume=True).simulated == 2
    with open_dataset(path) as data:
        assert data.sample_indices.tolist() == [4, 5, 6, 7, 8, 9]
        assert data.shard == (2, 2)
    # Asked for the whole set, the part is kept and the rest made around it.
    assert simulate(tiny(), path, resume=True).simulated == 4
    assert path.read_bytes() == reference.read_bytes()


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


def test_settings_of_speed_are_not_stored(tiny, reference):
    stored = open_dataset(reference).config
    assert stored == schema.stored_config(tiny())
    assert stored.dataset.shard_samples != 2


def test_too_few_samples_for_the_splits_are_told(tiny, tmp_path, capsys):
    simulate(tiny("dataset.samples=2"), tmp_path / "data.h5")
    assert "dataset.samples = 2: too few" in capsys.readouterr().err
    simulate(tiny("dataset.samples=7"), tmp_path / "more.h5")
    assert "too few" not in capsys.readouterr().err
