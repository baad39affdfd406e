"""Processes that share each batch: what one process gives, whatever their number and fate.

All of them are real processes that meet as torchrun makes them meet.
"""

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from seistomo.training import load_run, train
from seistomo.training.checkpoint import load_checkpoint

# What a process does; a forked one has what it imports from its parent.
RUN = """
import os, signal, sys
output = os.open(log, os.O_WRONLY | os.O_CREAT)
os.dup2(output, 1), os.dup2(output, 2)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.update(environment)
import torch
torch.set_num_threads(1)
if prepare: exec(prepare)
sys.argv = ["seistomo", *arguments]
from seistomo.cli import main
main()
"""
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
# Where samples are: kept whole by each process, kept in shares, read anew.
PLACES = {"kept": 1.0, "shares": None, "file": 0.0}


class Rank:
    """One process of a run."""

    def __init__(self, process, log):
        self.process, self.log = process, log

    @property
    def words(self):
        return self.log.read_text() if self.log.exists() else ""

    def send(self, number):
        os.kill(self.process.pid, number)

    def wait(self):
        self.process.join(120)
        assert self.process.exitcode is not None, f"the process hangs: {self.words}"
        return self.process.exitcode


@pytest.fixture(scope="session")
def _processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seistomo.cli", "seistomo.training", "seistomo.evaluation"])
    return context


@pytest.fixture
def start_ranks(_processes, tmp_path):
    """Start `seistomo ARGUMENTS` as torchrun does; kill what is left at the end."""
    ranks = []

    def begin(count, *arguments, prepare=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        begun = []
        for rank in range(count):
            environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count}
            environment |= {"LOCAL_WORLD_SIZE": count}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            names = {
                "arguments": [str(word) for word in arguments],
                "environment": {key: str(value) for key, value in environment.items()},
                "prepare": prepare,
                "log": str(tmp_path / f"log-{len(ranks)}.txt"),
            }
            process = _processes.Process(target=exec, args=(RUN, names))
            process.start()
            begun.append(Rank(process, Path(names["log"])))
            ranks.append(begun[-1])
        return begun

    yield begin
    for rank in ranks:
        if rank.process.is_alive():
            rank.send(signal.SIGKILL)
        rank.process.join()


@pytest.fixture
def command(dataset, make_config, tmp_path):
    """Return the arguments that train with some settings changed."""

    def write(out, *overrides):
        path = tmp_path / f"{out.name}.toml"
        path.write_text(make_config(*overrides).to_toml())
        return ["train", path, "--data", dataset, "--out", out, "--quiet"]

    return write


def wait_until(condition, *ranks):
    deadline = time.monotonic() + 60
    while not condition() and any(rank.process.is_alive() for rank in ranks):
        assert time.monotonic() < deadline
        time.sleep(0.02)


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


@pytest.mark.parametrize(
    ("name", "count", "place"),
    [
        ("adam", 2, "shares"),
        ("svrg", 3, "file"),
        ("sqgn", 3, "shares"),
        ("sgn", 2, "kept"),
        pytest.param("adam", 3, "file", marks=pytest.mark.slow),
        pytest.param("svrg", 2, "shares", marks=pytest.mark.slow),
        pytest.param("sqgn", 2, "kept", marks=pytest.mark.slow),
        pytest.param("sqgn", 3, "file", marks=pytest.mark.slow),
        pytest.param("sgn", 3, "shares", marks=pytest.mark.slow),
    ],
)
def test_several_processes_give_what_one_gives(
    name, count, place, alone, command, start_ranks, tmp_path
):
    memory = PLACES[place]
    if memory is None:
        # 30 samples of 480 gathers and 168 nodes: room for half of them.
        memory = 30 * 4 * (480 + 168) * 0.52 / 2**30
    settings = [*OPTIMIZERS[name], f"training.cache_memory={memory!r}"]
    ranks = start_ranks(count, *command(tmp_path / "run", *settings))
    assert [rank.wait() for rank in ranks] == [0] * count, [rank.words for rank in ranks]
    assert_same_to_rounding(tmp_path / "run", alone(name))
    assert "4 epochs in" in ranks[0].words
    assert not any(rank.words for rank in ranks[1:]), "rank 0 speaks for all"
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["last"]["epoch"] == 4
    assert load_run(tmp_path / "run", device="cpu").epoch >= 1
    assert not list(tmp_path.glob("run/.*"))


@pytest.mark.parametrize("name", [pytest.param("adam", marks=pytest.mark.slow), "sqgn"])
def test_a_killed_rank_ends_all_and_others_finish(name, alone, command, start_ranks, tmp_path):
    run, every = tmp_path / "run", "training.checkpoint_iterations=1"
    arguments = command(run, *OPTIMIZERS[name], every)
    # Slow, so that it can be killed on the way.
    slow = "import time; from seistomo.training.fit import _Training\n"
    slow += "step = _Training._step\n"
    slow += "_Training._step = lambda *a: (time.sleep(0.02), step(*a))[1]\n"
    for count, victim in ((3, 1), (2, 0)):
        before = iterations(run)
        ranks = start_ranks(count, *arguments, "--resume", prepare=slow)
        wait_until(lambda before=before: iterations(run) >= before + 2, *ranks)
        ranks[victim].send(signal.SIGKILL)
        status = [rank.wait() for rank in ranks]
        assert status.pop(victim) == -signal.SIGKILL
        assert status == [2] * (count - 1)
        words = [rank.words for rank in ranks]
        assert not any("Traceback" in word for word in words), words
        if victim:
            assert sum("error:" in word for word in words) == 1, words
            assert "--resume" in "".join(words)
        assert iterations(run) < 16
    ranks = start_ranks(2, *arguments, "--resume")
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.words for rank in ranks]
    assert_same_to_rounding(run, alone(name))
    assert ranks[0].words.count("results will differ in rounding") == 0


def iterations(run):
    path = run / "checkpoint.pt"
    return load_checkpoint(path).progress.iteration if path.exists() else 0


def test_a_run_of_two_goes_on_with_three_and_says_so(alone, command, start_ranks, tmp_path):
    run = tmp_path / "run"
    short = command(run, *OPTIMIZERS["sqgn"], "training.epochs=2")
    ranks = start_ranks(2, *short)
    assert [rank.wait() for rank in ranks] == [0, 0], [rank.words for rank in ranks]
    ranks = start_ranks(3, *command(run, *OPTIMIZERS["sqgn"]), "--resume")
    assert [rank.wait() for rank in ranks] == [0, 0, 0], [rank.words for rank in ranks]
    assert "was started with 2 processes, now 3" in ranks[0].words
    assert not any(rank.words for rank in ranks[1:])
    assert_same_to_rounding(run, alone("sqgn"))


@pytest.mark.parametrize("victim", [0, 2])
def test_one_failing_rank_ends_all_with_one_message(victim, command, start_ranks, tmp_path):
    fail = (
        "from seistomo.training.fit import _Training\n"
        "from seistomo.errors import InputError\n"
        "calls, step = [], _Training._step\n"
        "def failing(*arguments):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 6: raise InputError('no step today')\n"
        "    return step(*arguments)\n"
        f"if os.environ['RANK'] == '{victim}': _Training._step = failing\n"
    )
    ranks = start_ranks(3, *command(tmp_path / "run"), prepare=fail)
    assert [rank.wait() for rank in ranks] == [2, 2, 2], [rank.words for rank in ranks]
    name = f"rank {victim}: " if victim else ""
    words = ["", "", ""]
    words[victim] = f"error: {name}no step today\n"
    assert [rank.words for rank in ranks] == words
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress.epoch == 1


def test_what_all_refuse_is_said_once(command, start_ranks, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("")
    for arguments, words in (
        (command(run), f"run {run}: exists already"),
        (command(tmp_path / "large", "training.batch_size=31"), "training.batch_size = 31"),
        ([*command(tmp_path / "other"), "--set", "training.epoch=3"], "training.epoch"),
    ):
        ranks = start_ranks(3, *arguments)
        assert [rank.wait() for rank in ranks] == [2, 2, 2], [rank.words for rank in ranks]
        assert words in ranks[0].words
        assert ranks[0].words.count("error:") == 1
        assert not any(rank.words for rank in ranks[1:]), [rank.words for rank in ranks]
    assert not (tmp_path / "large").exists()


@pytest.mark.parametrize("interrupted", [(0, 1, 2), (1,)])
def test_ctrl_c_ends_all_with_one_message(interrupted, command, start_ranks, tmp_path):
    run = tmp_path / "run"
    ranks = start_ranks(3, *command(run, "training.epochs=100000"))
    wait_until(lambda: (run / "checkpoint.pt").exists(), *ranks)
    for number in interrupted:
        ranks[number].send(signal.SIGINT)
    assert [rank.wait() for rank in ranks] == [130, 130, 130], [rank.words for rank in ranks]
    assert "go on with the same command and --resume" in ranks[0].words
    assert not any(rank.words for rank in ranks[1:])
    history = (run / "history.csv").read_text().splitlines()
    assert len(history) - 1 == load_checkpoint(run / "checkpoint.pt").progress.epoch


@pytest.mark.slow
def test_torchrun(alone, command, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    arguments = [str(word) for word in command(tmp_path / "run", *OPTIMIZERS["adam"])]
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
