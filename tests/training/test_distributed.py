"""Processes that share each batch: what one process gives, whatever their number and fate.

All of them are real processes that meet as torchrun makes them meet.
"""

import json
import os
import signal
import subprocess
import sys

import pytest
import torch

from seistomo.training import load_run, train
from seistomo.training.checkpoint import load_checkpoint

OPTIMIZERS = {
    "adam": ["optimizer.name=adam"],
    "svrg": [
        "optimizer.name=svrg",
        "optimizer.learning_rate=1e-3",
        "optimizer.options={full_gradient_interval = 2}",
    ],
    "sqgn": [
        "optimizer.name=sqgn",
        "optimizer.learning_rate=0.1",
        'optimizer.options={full_gradient_interval = "epoch", curvature_samples = 3}',
    ],
    "sgn": [
        "optimizer.name=sgn",
        "optimizer.learning_rate=1.0",
        "optimizer.options={cg_iterations = 3, damping = 0.01}",
    ],
}


@pytest.fixture
def command(dataset, make_config, tmp_path):
    """Return the arguments that train with some settings changed."""

    def write(out, *overrides):
        path = tmp_path / f"{out.name}.toml"
        path.write_text(make_config(*overrides).to_toml())
        return ["train", path, "--data", dataset, "--out", out, "--quiet"]

    return write


def weights(run):
    network = load_checkpoint(run / "checkpoint.pt").network
    return torch.cat([tensor.double().flatten() for tensor in network.values()])


def assert_same_to_rounding(run, expected, tolerance=2e-4):
    """Compare how far the weights are apart with how far training has moved them."""
    start = weights(expected["start"])
    moved = float((weights(expected["run"]) - start).norm())
    apart = float((weights(run) - weights(expected["run"])).norm())
    assert moved > 1e-3
    assert apart < tolerance * moved
    one, other = (load_checkpoint(r / "checkpoint.pt").history for r in (run, expected["run"]))
    for a, b in zip(one, other, strict=True):
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, rel=1e-3)


@pytest.fixture(scope="module")
def alone(dataset, make_config, tmp_path_factory):
    """Return a function that gives a run of one process, and one that has hardly moved."""
    made = {}

    def run(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("alone")
            train(make_config(*OPTIMIZERS[name]), dataset, folder / "run")
            still = ["optimizer.name=sgd", "optimizer.learning_rate=1e-30", "training.epochs=1"]
            train(make_config(*still), dataset, folder / "start")
            made[name] = {"run": folder / "run", "start": folder / "start"}
        return made[name]

    return run


@pytest.mark.parametrize(("name", "count", "memory"), [("svrg", 3, 0.0), ("sgn", 2, 1.0)])
def test_several_processes_give_what_one_gives(
    name, count, memory, alone, command, start_ranks, tmp_path
):
    settings = [*OPTIMIZERS[name], f"training.cache_memory={memory}"]
    ranks = start_ranks(count, *command(tmp_path / "run", *settings))
    assert [rank.wait() for rank in ranks] == [0] * count, [rank.words for rank in ranks]
    assert_same_to_rounding(tmp_path / "run", alone(name))
    assert "4 epochs in" in ranks[0].words
    assert not any(rank.words for rank in ranks[1:]), "rank 0 speaks for all"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["last"]["epoch"] == 4
    assert load_run(tmp_path / "run", device="cpu").epoch >= 1
    assert not list(tmp_path.glob("run/.*"))


def test_a_killed_rank_ends_all_and_others_finish(
    alone, command, start_ranks, wait_until, tmp_path
):
    run, every = tmp_path / "run", "training.checkpoint_iterations=1"
    arguments = command(run, *OPTIMIZERS["sqgn"], every)
    # Slow, so that it can be killed on the way.
    slow = "import time; from seistomo.training.fit import Training\n"
    slow += "step = Training._step\n"
    slow += "Training._step = lambda *a: (time.sleep(0.2), step(*a))[1]\n"
    ranks = start_ranks(3, *arguments, "--resume", prepare=slow)
    wait_until(lambda: iterations(run) >= 2, *ranks)
    ranks[1].send(signal.SIGKILL)
    assert [rank.wait() for rank in ranks] == [2, -signal.SIGKILL, 2]
    words = [rank.words for rank in ranks]
    assert not any("Traceback" in word for word in words), words
    assert sum("error:" in word for word in words) == 1, words
    assert "--resume" in "".join(words)
    assert iterations(run) < 16
    ranks = start_ranks(2, *arguments, "--resume")
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.words for rank in ranks]
    assert_same_to_rounding(run, alone("sqgn"))
    assert "was started with 3 processes, now 2" in ranks[0].words


def iterations(run):
    path = run / "checkpoint.pt"
    return load_checkpoint(path).progress.iteration if path.exists() else 0


def test_ctrl_c_of_one_ends_all_with_one_message(command, start_ranks, wait_until, tmp_path):
    run = tmp_path / "run"
    ranks = start_ranks(3, *command(run, "training.epochs=100000"))
    wait_until(lambda: (run / "checkpoint.pt").exists(), *ranks)
    ranks[1].send(signal.SIGINT)
    assert [rank.wait() for rank in ranks] == [130, 130, 130], [rank.words for rank in ranks]
    assert "go on with the same command and --resume" in ranks[0].words
    assert not any(rank.words for rank in ranks[1:])
    history = (run / "history.csv").read_text().splitlines()
    assert len(history) - 1 == load_checkpoint(run / "checkpoint.pt").progress.epoch


@pytest.mark.slow
def test_torchrun(alone, command, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # 30 samples of 480 gathers and 168 nodes: room for half of them, which each process keeps.
    half = f"training.cache_memory={30 * 4 * (480 + 168) * 0.52 / 2**30!r}"
    arguments = [str(word) for word in command(tmp_path / "run", *OPTIMIZERS["adam"], half)]
    done = subprocess.run(
        [*launcher, "--nproc-per-node", "2", "-m", "seistomo", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 epochs in") == 1
    assert_same_to_rounding(tmp_path / "run", alone("adam"))
