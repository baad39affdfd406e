"""Simulated data sets: the same bytes whatever happens on the way."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.store import schema
from seistomo.errors import InputError

SETTINGS = [
    "velocity.shape=[24, 28]",
    "survey.sources=2",
    "survey.receivers=7",
    "survey.time_samples=140",
    "dataset.samples=10",
    "dataset.seed=3",
    "dataset.shard_samples=2",
    "simulation.models_per_call=2",
]


def tiny(*more):
    return load_config("", [*SETTINGS, *more])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
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
def test_bytes_do_not_depend_on_how_the_work_is_divided(reference, tmp_path, change):
    simulate(tiny(change), tmp_path / "data.h5")
    assert (tmp_path / "data.h5").read_bytes() == reference.read_bytes()


def test_a_grown_set_is_the_set_made_at_once(reference, tmp_path):
    path = tmp_path / "data.h5"
    assert simulate(tiny("dataset.samples=4"), path).simulated == 4
    with open_dataset(path) as data:
        splits = data.splits
    assert simulate(tiny(), path, resume=True).simulated == 6
    assert path.read_bytes() == reference.read_bytes()
    with open_dataset(path) as data:
        np.testing.assert_array_equal(data.splits[:4], splits)


def test_summary_says_how_fast_it_was(tmp_path):
    done = simulate(tiny("dataset.samples=4"), tmp_path / "data.h5")
    assert 0 < done.wave_seconds < done.seconds
    assert "4 samples, 4 simulated in" in str(done)
    assert "a model," in str(done)


def test_resuming_a_finished_set_changes_nothing(reference):
    before = reference.stat().st_mtime_ns
    assert simulate(tiny(), reference, resume=True).simulated == 0
    assert reference.stat().st_mtime_ns == before


def test_existing_output_is_refused_then_replaced(reference, tmp_path):
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


def test_a_failure_midway_keeps_whole_shards_and_the_old_file(reference, tmp_path, monkeypatch):
    from seistomo.dataset import generate

    path = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), path)
    before = path.read_bytes()
    original = generate.draw_model

    def stop_at_five(config, seed, index):
        if index == 5:
            raise KeyboardInterrupt
        return original(config, seed, index)

    monkeypatch.setattr(generate, "draw_model", stop_at_five)
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


def test_a_damaged_shard_is_made_again(reference, tmp_path, monkeypatch):
    from seistomo.dataset import generate

    path = tmp_path / "data.h5"
    with monkeypatch.context() as patched:
        patched.setattr(generate, "merge", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            simulate(tiny(), path)
    shard = tmp_path / "data.h5.shards" / "shard-00000004-00000006.h5"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match="an interrupted run left"):
        simulate(tiny(), path)
    assert simulate(tiny(), path, resume=True).simulated == 2
    assert path.read_bytes() == reference.read_bytes()


def test_full_disk_is_foreseen(tmp_path, monkeypatch):
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match=r"needs about .* GB free"):
        simulate(tiny(), tmp_path / "data.h5")
    assert list(tmp_path.iterdir()) == []


def start(folder, *arguments):
    config = folder / "config.toml"
    config.write_text(tiny("dataset.samples=120").to_toml())
    command = [sys.executable, "-m", "seistomo", "simulate", str(config), "--quiet"]
    return subprocess.Popen(
        [*command, "--out", str(folder / "data.h5"), *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_shards(process, folder, count):
    while process.poll() is None and len(list(folder.glob("data.h5.shards/shard-*"))) < count:
        time.sleep(0.005)


@pytest.mark.slow
def test_kill_and_ctrl_c_at_any_moment_then_resume_gives_the_same_bytes(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    assert start(tmp_path / "whole").wait() == 0
    folder = tmp_path / "killed"
    process = start(folder)
    wait_for_shards(process, folder, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rng = np.random.default_rng(0)
    for count in (12, 25):
        process = start(folder, "--resume")
        wait_for_shards(process, folder, count)
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
    process = start(folder, "--resume")
    wait_for_shards(process, folder, 40)
    process.send_signal(signal.SIGINT)
    _, words = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in words
    assert "--resume" in words
    assert "Traceback" not in words
    process = start(folder, "--resume")
    assert process.wait() == 0
    assert (folder / "data.h5").read_bytes() == (tmp_path / "whole" / "data.h5").read_bytes()
    assert not (folder / "data.h5.shards").exists()


def test_two_processes_cannot_write_one_set(tmp_path):
    process = start(tmp_path)
    wait_for_shards(process, tmp_path, 1)
    if process.poll() is None:
        with pytest.raises(InputError, match="another process is writing it"):
            simulate(tiny("dataset.samples=120"), tmp_path / "data.h5", resume=True)
    process.kill()
    process.wait()


def test_settings_of_speed_are_not_stored(reference):
    stored = open_dataset(reference).config
    assert stored == schema.stored_config(tiny())
    assert stored.dataset.shard_samples != 2


def test_too_few_samples_for_the_splits_are_told(tmp_path, capsys):
    simulate(tiny("dataset.samples=2"), tmp_path / "data.h5")
    assert "dataset.samples = 2: too few" in capsys.readouterr().err
    simulate(tiny("dataset.samples=7"), tmp_path / "more.h5")
    assert "too few" not in capsys.readouterr().err
