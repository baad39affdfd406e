"""Processes that make one data set together: the same bytes whatever their number and fate."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed

from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.ranks import OtherRankError, Ranks
from seistomo.errors import InputError


@pytest.fixture
def config_file(tiny, tmp_path):
    def write(*settings):
        path = tmp_path / "config.toml"
        path.write_text(tiny("dataset.samples=40", *settings).to_toml())
        return path

    return write


def shards(out):
    return list(out.parent.glob(f"{out.name}.shards/shard-*.h5"))


def test_one_two_and_three_ranks_make_the_same_bytes(tiny, config_file, start_ranks, tmp_path):
    simulate(tiny("dataset.samples=40"), tmp_path / "one.h5")
    expected = (tmp_path / "one.h5").read_bytes()
    for count in (2, 3):
        out = tmp_path / f"{count}.h5"
        runs = start_ranks(count, "simulate", config_file(), "--out", out, "--quiet")
        assert [run.wait() for run in runs] == [0] * count, [run.words for run in runs]
        assert out.read_bytes() == expected
        assert not shards(out)
        assert "40 samples, 40 simulated" in runs[0].words
        assert not any(run.words for run in runs[1:]), "rank 0 speaks for all"


def test_killed_ranks_leave_what_other_ranks_finish(
    tiny, config_file, start_ranks, wait_until, tmp_path
):
    simulate(tiny("dataset.samples=40"), tmp_path / "one.h5")
    out, rng = tmp_path / "killed.h5", np.random.default_rng(1)
    for count, victim in ((3, 1), (2, 0), (3, 2)):
        before = len(shards(out))
        arguments = ("simulate", config_file(), "--out", out, "--resume", "--quiet")
        runs = start_ranks(count, *arguments)
        enough = before + 4
        wait_until(lambda enough=enough: len(shards(out)) >= enough, *runs)
        time.sleep(rng.uniform(0, 0.05))
        runs[victim].send(signal.SIGKILL)
        # As torchrun does when a rank dies.
        for run in runs:
            run.send(signal.SIGTERM)
        for run in runs:
            run.wait()
        assert not out.exists()
        assert len(shards(out)) >= before
    runs = start_ranks(2, *arguments)
    assert [run.wait() for run in runs] == [0, 0], [run.words for run in runs]
    assert out.read_bytes() == (tmp_path / "one.h5").read_bytes()
    assert not (tmp_path / "killed.h5.shards").exists()


def test_ranks_without_rank_0_end_by_themselves(config_file, start_ranks, wait_until, tmp_path):
    out = tmp_path / "data.h5"
    arguments = ("simulate", config_file("dataset.samples=2000"), "--out", out, "--quiet")
    runs = start_ranks(3, *arguments)
    wait_until(lambda: len(shards(out)) >= 3, *runs)
    runs[0].send(signal.SIGKILL)
    assert [run.wait() for run in runs[1:]] == [2, 2]
    for rank in (1, 2):
        assert f"error: rank {rank}: has lost the others" in runs[rank].words
        assert "Traceback" not in runs[rank].words


def test_a_failing_rank_stops_the_others_who_say_so(config_file, start_ranks, tmp_path):
    fail = (
        "from seistomo.dataset import models\n"
        "from seistomo.errors import InputError\n"
        "def refuse(config, seed, index):\n"
        "    raise InputError('no model today')\n"
        "if os.environ['RANK'] == '1': models.draw_model = refuse\n"
    )
    out = tmp_path / "data.h5"
    runs = start_ranks(3, "simulate", config_file(), "--out", out, "--quiet", prepare=fail)
    assert [run.wait() for run in runs] == [2, 2, 2]
    assert runs[1].words == "error: no model today\n"
    for rank in (0, 2):
        assert runs[rank].words in (
            f"error: rank {rank}: stopped, because rank 1 has failed\n",
            # Rank 0 holds the store: it may be gone before rank 2 has looked.
            *(line for line in runs[rank].words.splitlines(True) if "has lost the others" in line),
        )
    assert not out.exists()


def test_ctrl_c_reaches_all_ranks_and_one_speaks(config_file, start_ranks, wait_until, tmp_path):
    out = tmp_path / "data.h5"
    arguments = ("simulate", config_file("dataset.samples=2000"), "--out", out, "--quiet")
    runs = start_ranks(2, *arguments)
    wait_until(lambda: len(shards(out)) >= 3, *runs)
    for _ in range(2):
        # Once from the terminal, once more from torchrun.
        for run in runs:
            run.send(signal.SIGINT)
        time.sleep(0.01)
    assert runs[0].wait() == 130
    assert runs[1].wait() in (130, 2)
    assert "go on with the same command and --resume" in runs[0].words
    assert not any("Traceback" in run.words for run in runs)
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*/.*.part"))
    assert len(shards(out)) >= 3


def test_ranks_that_were_told_different_things_refuse(start_ranks, start, tiny, tmp_path):
    told = tmp_path / "config.toml"
    told.write_text(tiny().to_toml())
    change = "if os.environ['RANK'] == '1': arguments += ['--set', 'survey.frequency=7.0']\n"
    out = tmp_path / "data.h5"
    runs = start_ranks(2, "simulate", told, "--out", out, "--quiet", prepare=change)
    assert [run.wait() for run in runs] == [2, 2]
    assert "rank 1: survey.frequency = 7.0, but rank 0 has 8.0" in runs[1].words
    assert not out.exists()


def test_two_launches_do_not_disturb_each_other(config_file, start_ranks, wait_until, tmp_path):
    out = tmp_path / "data.h5"
    arguments = ("simulate", config_file("dataset.samples=2000"), "--out", out, "--quiet")
    first = start_ranks(2, *arguments)
    wait_until(lambda: shards(out), *first)
    second = start_ranks(2, *arguments, "--resume")
    assert [run.wait() for run in second] == [2, 2]
    assert "another process is writing it" in second[0].words
    assert all(run.running() for run in first)


def test_a_restart_by_torchrun_goes_on(tiny, tmp_path, monkeypatch):
    """The command is the first one, without --resume; what the dead ranks left is kept."""
    from seistomo.dataset import models

    def break_off(config, seed, index, draw=models.draw_model):
        if index == 5:
            raise KeyboardInterrupt
        return draw(config, seed, index)

    simulate(tiny(), tmp_path / "whole.h5")
    out = tmp_path / "data.h5"
    simulate(tiny("dataset.samples=2"), out)
    with monkeypatch.context() as patched:
        patched.setattr(models, "draw_model", break_off)
        with pytest.raises(KeyboardInterrupt):
            simulate(tiny(), out, overwrite=True)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert simulate(tiny(), out, overwrite=True).simulated == 6
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    # What nobody has begun to replace is as safe as ever.
    with pytest.raises(InputError, match="exists already"):
        simulate(tiny(), out)
    assert simulate(tiny(), out, overwrite=True).simulated == 10


class Store:
    """The store of ranks in threads."""

    def __init__(self):
        self.values, self.lock = {}, threading.Lock()

    def set(self, key, value):
        self.values[key] = value.encode()

    def get(self, key):
        return self.values[key]

    def add(self, key, amount):
        with self.lock:
            self.values[key] = self.values.get(key, 0) + amount
            return self.values[key]

    def check(self, keys):
        return all(key in self.values for key in keys)


def test_every_number_goes_to_one_rank():
    store, taken = Store(), []

    def take(rank):
        ranks = Ranks(rank, 4, rank, store)
        taken.extend(ranks.next_number() for _ in range(50))

    threads = [threading.Thread(target=take, args=(rank,)) for rank in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(200))


def test_what_is_announced_arrives_once_and_in_order():
    store = Store()
    leader, other = Ranks(0, 2, 0, store), Ranks(1, 2, 1, store)
    assert leader.announced() == []
    other.announce({"shard": [0, 2]})
    leader.announce({"shard": [2, 4]})
    assert leader.announced() == [{"shard": [0, 2]}, {"shard": [2, 4]}]
    assert leader.announced() == []
    # A rank that has counted and not yet written is waited for.
    number = store.add("announced", 1)
    assert leader.announced() == []
    store.set(f"announced/{number}", json.dumps({"shard": [4, 6]}))
    assert leader.announced() == [{"shard": [4, 6]}]


def test_a_lost_store_is_one_line():
    class Gone(Store):
        def check(self, keys):
            raise RuntimeError("Connection was closed\nlong story")

    with pytest.raises(OtherRankError, match=r"has lost the others: Connection was closed$"):
        Ranks(1, 2, 1, Gone()).wait()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 without a RANK from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "WORLD_SIZE = 2 without a RANK from 0 to 1"),
        ({"WORLD_SIZE": "two", "RANK": "0"}, "WORLD_SIZE = two: must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "rank 1: cannot join the others"),
    ],
)
def test_an_environment_that_no_launcher_makes_is_refused(environment, words, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        Ranks.from_environment()


def test_ranks_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    devices = [Ranks(rank, 4, rank % 4, Store()).device("auto") for rank in range(4)]
    assert devices == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert Ranks(1, 2, 1, Store()).device("cuda") == "cuda:1"
    assert Ranks(1, 2, 1, Store()).device("cpu") == "cpu"
    assert Ranks(1, 2, 1, Store()).device("cuda:0") == "cuda:0"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Ranks(1, 2, 1, Store()).device("auto") == "auto"


def test_a_gpu_and_a_cpu_do_not_share_a_set(tiny, tmp_path):
    from seistomo.dataset.order import Order

    order, ranks = Order(tiny(), tmp_path / "data.h5"), Ranks(3, 4, 3, Store())
    terms = json.loads(json.dumps(order.terms("cpu")))
    order.require_same_terms(terms, "cpu", ranks)
    with pytest.raises(InputError, match="rank 3: --device = 'cpu', but rank 0 has 'cuda'"):
        order.require_same_terms({**terms, "--device": "cuda"}, "cpu", ranks)


def test_nothing_is_left_in_the_store_for_the_next_call_or_attempt(monkeypatch):
    """Torchrun keeps one store for all its attempts."""
    store = torch.distributed.HashStore()
    monkeypatch.setattr(
        torch.distributed, "rendezvous", lambda *a, **k: iter([(store, 0, 2)]), raising=True
    )
    for name, value in {"WORLD_SIZE": 2, "RANK": 0, "MASTER_PORT": "of this test"}.items():
        monkeypatch.setenv(name, str(value))
    for attempt in ("0", "0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        ranks = Ranks.from_environment()
        ranks.require_all_well()
        assert ranks.next_number() == 0
        assert ranks.announced() == []
        ranks.announce({"rank": 0})
        ranks._say_failed()


def test_a_script_may_make_two_sets(config_file, start_ranks, tmp_path):
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    also = (
        "from seistomo.config import load_config\n"
        "from seistomo.dataset.generate import simulate\n"
        f"simulate(load_config(arguments[1]), {str(first)!r}, distributed=True)\n"
        f"assert os.path.exists({str(first)!r}), 'on every rank'\n"
    )
    runs = start_ranks(2, "simulate", config_file(), "--out", second, "--quiet", prepare=also)
    assert [run.wait() for run in runs] == [0, 0], [run.words for run in runs]
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
def test_torchrun_starts_killed_ranks_again(tiny, tmp_path):
    config, out = tmp_path / "config.toml", tmp_path / "data.h5"
    config.write_text(tiny("dataset.samples=80").to_toml())
    simulate(tiny("dataset.samples=80"), tmp_path / "one.h5")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts=1"]
    command = ["-m", "seistomo", "simulate", str(config), "--out", str(out), "-q"]
    run = subprocess.Popen(
        [*launcher, "--nproc-per-node=2", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while run.poll() is None and len(shards(out)) < 3:
        time.sleep(0.005)
    started = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(started[-1]), signal.SIGKILL)
    result, messages = run.communicate()
    assert run.returncode == 0, messages
    assert result.count("80 samples, ") == 1
    assert out.read_bytes() == (tmp_path / "one.h5").read_bytes()
    with open_dataset(out) as data:
        assert data.damaged() == []
