"""Processes that share work: what they exchange, and how all end when one does.

Those that can fail are real processes, which meet as torchrun makes them meet.
"""

import multiprocessing
import os
import pickle
import signal
import socket
import time

import numpy as np
import pytest
import torch
import torch.distributed as dist

from seistomo import ranks
from seistomo.errors import InputError, OtherRankError
from seistomo.ranks import LostRankError, Processes

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


# What a process does.


def exchange_everything(processes):
    rows = processes.share(7)
    processes.tell({"rank": processes.rank})
    processes.agree(True)
    return {
        "shared": processes.shared(lambda: {"weights": torch.arange(3), "from": processes.rank}),
        "gathered": processes.gathered(rows * 0.1, 7),
        "any": processes.any_of(torch.arange(3) == processes.rank),
        "agree": (processes.agree(True), processes.agree(processes.rank > 0)),
        "numbers": [processes.add("shard") for _ in range(20)],
        "told": sorted(item["rank"] for item in processes.told()),
    }


def fail_alone(processes):
    if processes.rank == 1:
        raise InputError("no step today")
    processes.agree(True)


def fail_all(processes):
    raise InputError("bad file")


def fail_strangely(processes):
    if processes.rank == 0:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    processes.agree(True)


def fail_while_others_poll(processes):
    if processes.rank == 0:
        raise InputError("disk full")
    while True:
        processes.wait()


def fail_while_others_hang(processes):
    if processes.rank == 2:
        raise InputError("no step today")
    time.sleep(60)


def interrupt_one(processes):
    if processes.rank == 1:
        raise KeyboardInterrupt
    processes.agree(True)


def die(processes):
    processes.agree(True)
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    processes.agree(True)


def die_while_others_poll(processes):
    processes.agree(True)
    time.sleep(3 * ranks.WATCH)
    if processes.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        processes.wait()


def one_process(work, environment, results):
    os.environ.update(environment)
    torch.set_num_threads(1)
    ranks.GRACE, ranks.SILENT_LOOKS, ranks.WATCH = 2.0, 8, 0.2
    rank = int(environment["RANK"])
    try:
        with Processes.from_environment().together() as processes:
            found = work(processes)
    except BaseException as error:
        found = type(error).__name__, str(error)
    results.put(pickle.dumps((rank, found)))


@pytest.fixture(scope="module")
def context():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seistomo.ranks"])
    return context


@pytest.fixture
def run(context):
    """Return what each process gave or raised, None where it was ended, and exit codes."""

    def run(work, count=3):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        results, started = context.Queue(), []
        for rank in range(count):
            values = (rank, count, rank, count, "127.0.0.1", port)
            environment = dict(zip(NAMES, map(str, values), strict=True))
            started.append(context.Process(target=one_process, args=(work, environment, results)))
            started[-1].start()
        for process in started:
            process.join(60)
        codes = [process.exitcode for process in started]
        for process in started:
            process.kill()
        found = dict(pickle.loads(results.get()) for code in codes if code == 0)
        return [found.get(rank) for rank in range(count)], codes

    return run


def test_what_is_exchanged(run):
    found, codes = run(exchange_everything)
    assert codes == [0, 0, 0]
    for one in found:
        assert one["shared"]["weights"].tolist() == [0, 1, 2]
        assert one["shared"]["from"] == 0
        np.testing.assert_array_equal(one["gathered"], np.arange(7) * 0.1)
        assert one["any"].tolist() == [True, True, True]
        assert one["agree"] == (True, False)
        assert one["told"] == [0, 1, 2]
    assert sorted(n for one in found for n in one["numbers"]) == list(range(1, 61))


@pytest.mark.parametrize(
    ("work", "speaker", "words"),
    [
        (fail_alone, 1, ("InputError", "rank 1: no step today")),
        (fail_all, 0, ("InputError", "bad file")),
        (fail_strangely, 0, ("RuntimeError", "CUDA error: an illegal memory access")),
        (fail_while_others_poll, 0, ("InputError", "disk full")),
    ],
)
def test_one_failure_ends_all_and_one_says_why(work, speaker, words, run):
    found, codes = run(work)
    assert codes == [0, 0, 0]
    kind, message = found.pop(speaker)
    assert (kind, message[: len(words[1])]) == words
    assert [kind for kind, _ in found] == ["OtherRankError"] * 2


def test_an_interrupt_of_one_interrupts_all(run):
    found, codes = run(interrupt_one)
    assert codes == [0, 0, 0]
    assert [kind for kind, _ in found] == ["KeyboardInterrupt"] * 3


@pytest.mark.parametrize("work", [die, die_while_others_poll])
def test_a_killed_process_ends_the_others(work, run):
    found, codes = run(work)
    assert codes == [0, -signal.SIGKILL, 0]
    kinds = sorted(found[rank][0] for rank in (0, 2))
    assert kinds == ["LostRankError", "OtherRankError"]
    assert any("was killed or cannot be reached" in found[rank][1] for rank in (0, 2))


def test_processes_that_hang_are_ended(run):
    """As under NCCL, whose exchanges nobody wakes."""
    began = time.monotonic()
    found, codes = run(fail_while_others_hang)
    assert codes == [2, 2, 0]
    assert found[2] == ("InputError", "rank 2: no step today")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[a/pair.cc:553] Connection closed by peer [1]:2. More"), LostRankError),
        (dist.DistNetworkError("failed to recv, got 0 bytes"), LostRankError),
        (dist.DistBackendError("ncclRemoteError: a remote process exited"), LostRankError),
        (RuntimeError("CUDA error: device-side assert triggered"), RuntimeError),
        (RuntimeError("CUDA error: the launch timed out and was terminated"), RuntimeError),
        (torch.AcceleratorError("CUDA error: the launch timed out"), torch.AcceleratorError),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
        (RuntimeError("shapes do not match"), RuntimeError),
    ],
)
def test_only_a_lost_connection_is_told_as_one(error, expected):
    with pytest.raises(expected) as caught, Processes(0, 2).exchange():
        raise error
    assert caught.type is expected


def test_what_others_have_ended_is_told_as_theirs():
    processes = Processes(0, 2)
    processes._end = 1, ranks.FAILED
    with pytest.raises(OtherRankError), processes.exchange():
        raise RuntimeError("NCCL communicator was aborted")
    with pytest.raises(OtherRankError):
        processes.require_all_well()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE = 2 without a RANK from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "WORLD_SIZE = 2 without a RANK from 0 to 1"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE = two: must be a number"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "first"}, "LOCAL_RANK = first: must be"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "rank 1: cannot join the others"),
    ],
)
def test_an_environment_that_no_launcher_makes_is_refused(environment, words, monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert Processes.from_environment().count == 1
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=words):
        Processes.from_environment()


def test_nothing_is_left_in_the_store_for_the_next_call_or_attempt(monkeypatch):
    """Torchrun keeps one store for all its attempts."""
    store = dist.HashStore()
    monkeypatch.setattr(dist, "rendezvous", lambda *a, **k: iter([(store, 0, 2)]))
    for name, value in zip(NAMES, (0, 2, 0, 2, "here", "of this test"), strict=True):
        monkeypatch.setenv(name, str(value))
    for attempt in ("0", "0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", attempt)
        processes = Processes.from_environment()
        assert processes.add("shard") == 1
        assert processes.told() == []
        processes.tell("something")
        assert ranks.restarted() == (attempt == "1")


def test_processes_take_a_gpu_each(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def device(rank, name, local_count=2):
        return str(Processes(rank, 4, rank % local_count, local_count).device(name))

    assert [device(rank, "auto") for rank in range(4)] == ["cuda:0", "cuda:1"] * 2
    assert device(1, "cuda") == "cuda:1"
    assert device(1, "cpu") == "cpu"
    assert device(1, "cuda:1", local_count=1) == "cuda:1"
    with pytest.raises(InputError, match="device = cuda:0: 2 processes on this machine"):
        device(1, "cuda:0")
    with pytest.raises(InputError, match="which has 2 GPUs; start at most one a GPU"):
        device(3, "auto", local_count=4)
    # Each is shown its own GPU alone.
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device(3, "auto", local_count=4) == "cuda:0"
