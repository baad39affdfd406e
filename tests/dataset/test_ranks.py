"""Processes that make one data set together: the same bytes whatever their number and fate."""

import signal
import time

import h5py
import numpy as np
import pytest

from seistomo.dataset import models
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError

SAMPLES = "dataset.samples=40"


@pytest.fixture
def config_file(tiny, tmp_path):
    def write(*settings):
        path = tmp_path / "config.toml"
        path.write_text(tiny(SAMPLES, *settings).to_toml())
        return path

    return write


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory):
    """Return the bytes that one process makes."""
    path = tmp_path_factory.mktemp("alone") / "data.h5"
    simulate(tiny(SAMPLES), path)
    return path.read_bytes()


def made(out):
    """Return how many rows the unfinished file has."""
    try:
        with h5py.File(out.with_name(f"{out.name}.unfinished"), locking=False) as file:
            return np.count_nonzero(file["crc32"][...])
    except OSError:
        return 0


def test_ranks_make_the_bytes_of_one_process(alone, config_file, start_ranks, tmp_path):
    out = tmp_path / "data.h5"
    runs = start_ranks(3, "simulate", config_file(), "--out", out, "--quiet")
    assert [run.wait() for run in runs] == [0, 0, 0], [run.words for run in runs]
    assert out.read_bytes() == alone
    assert sorted(path.name for path in tmp_path.glob("*.h5*")) == ["data.h5"]
    assert "40 samples, 40 simulated" in runs[0].words
    assert not any(run.words for run in runs[1:]), "rank 0 speaks for all"


def test_killed_ranks_leave_what_other_ranks_finish(
    alone, config_file, start_ranks, wait_until, tmp_path
):
    out, rng = tmp_path / "killed.h5", np.random.default_rng(1)
    arguments = ("simulate", config_file(), "--out", out, "--resume", "--quiet")
    runs = start_ranks(3, *arguments)
    wait_until(lambda: made(out) >= 8, *runs)
    for run in (runs[1], *runs):
        time.sleep(rng.uniform(0, 0.05))
        run.send(signal.SIGKILL)
    for run in runs:
        run.wait()
    assert not out.exists()
    assert made(out) >= 8
    left = 40 - made(out)
    runs = start_ranks(2, *arguments)
    assert [run.wait() for run in runs] == [0, 0], [run.words for run in runs]
    assert f"40 samples, {left} simulated" in runs[0].words
    assert out.read_bytes() == alone


def test_ctrl_c_reaches_all_ranks_and_what_is_there_stays(
    config_file, start_ranks, wait_until, tmp_path
):
    out = tmp_path / "data.h5"
    arguments = ("simulate", config_file("dataset.samples=2000"), "--out", out, "--quiet")
    first = start_ranks(2, *arguments)
    wait_until(lambda: made(out) >= 6, *first)
    second = start_ranks(2, *arguments, "--resume")
    assert [run.wait() for run in second] == [2, 2]
    assert "another process is writing it" in "".join(run.words for run in second)
    assert all(run.running() for run in first)
    for _ in range(2):
        # Once from the terminal, once more from torchrun.
        for run in first:
            run.send(signal.SIGINT)
        time.sleep(0.01)
    assert first[0].wait() == 130
    assert first[1].wait() in (130, 2)
    assert not any("Traceback" in run.words for run in first)
    assert not list(tmp_path.glob(".*.part"))
    assert made(out) >= 6


def test_ranks_that_were_told_different_things_refuse(config_file, start_ranks, tmp_path):
    change = "if os.environ['RANK'] == '1': arguments += ['--set', 'survey.frequency=7.0']\n"
    out = tmp_path / "data.h5"
    runs = start_ranks(2, "simulate", config_file(), "--out", out, "--quiet", prepare=change)
    assert [run.wait() for run in runs] == [2, 2]
    assert "rank 1: survey.frequency = 7.0, but rank 0 has 8.0" in runs[1].words
    assert not out.exists()


def test_a_restart_by_torchrun_goes_on(tiny, tmp_path, monkeypatch):
    """The command is the first one, without --resume; what the dead ranks left is kept."""

    def break_off(config, seed, index, draw=models.draw_model):
        if index == 5:
            raise KeyboardInterrupt
        return draw(config, seed, index)

    out = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), out)
    with monkeypatch.context() as patched:
        patched.setattr(models, "draw_model", break_off)
        with pytest.raises(KeyboardInterrupt):
            simulate(tiny(), out, overwrite=True)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert simulate(tiny(), out, overwrite=True).simulated == 6
    # What nobody has begun to replace is as safe as ever.
    with pytest.raises(InputError, match="exists already"):
        simulate(tiny(), out)
    assert simulate(tiny(), out, overwrite=True).simulated == 10
