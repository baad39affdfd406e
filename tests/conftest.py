"""Progress out of the log, and real processes of `seistomo`, alone or as torchrun starts them."""

import multiprocessing
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from seistomo.progress import quietly

# What a process does; a forked one has what it imports from its parent.
RUN = """
import os, signal, sys
output = os.open(log, os.O_WRONLY | os.O_CREAT)
os.dup2(output, 1), os.dup2(output, 2)
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.update(environment)
import torch
torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
if prepare: exec(prepare)
sys.argv = ["seistomo", *arguments]
from seistomo.cli import main
main()
"""


@dataclass
class Run:
    """A `seistomo` process."""

    process: multiprocessing.Process
    log: Path

    @property
    def words(self) -> str:
        """What it has printed."""
        return self.log.read_text() if self.log.exists() else ""

    def running(self) -> bool:
        """Tell whether it has not ended."""
        return self.process.is_alive()

    def send(self, number: int) -> None:
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self) -> int:
        """Return its exit status when it has ended."""
        self.process.join(120)
        assert self.process.exitcode is not None, f"the process hangs: {self.words}"
        return self.process.exitcode


@pytest.fixture(autouse=True)
def _quiet():
    """Keep progress bars out of the test log."""
    with quietly():
        yield


@pytest.fixture(autouse=True)
def _same_numbers():
    """Give each test the same random numbers in every run: a difference over a kink fails."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def _processes():
    context = multiprocessing.get_context("forkserver")
    modules = ("cli", "dataset.generate", "training", "experiments", "evaluation", "refinement")
    context.set_forkserver_preload([f"seistomo.{name}" for name in modules])
    return context


@pytest.fixture
def start(_processes, tmp_path):
    """Start `seistomo ARGUMENTS` in a real process of its own; kill what is left at the end."""
    runs = []

    def begin(*arguments, environment=None, prepare="", threads=1):
        names = {
            "arguments": [str(word) for word in arguments],
            "environment": {"OMP_NUM_THREADS": str(threads), **(environment or {})},
            "prepare": prepare,
            "log": str(tmp_path / f"log-{len(runs)}.txt"),
        }
        process = _processes.Process(target=exec, args=(RUN, names))
        runs.append(Run(process, Path(names["log"])))
        process.start()
        return runs[-1]

    yield begin
    for run in runs:
        if run.running():
            run.send(signal.SIGKILL)
        run.process.join()


@pytest.fixture
def start_ranks(start):
    """Start ranks as torchrun does: `start_ranks(3, "simulate", ...)`."""

    def begin(count, *arguments, **options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return [
            start(
                *arguments,
                environment={
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(count),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(port),
                },
                **options,
            )
            for rank in range(count)
        ]

    return begin


@pytest.fixture
def wait_until():
    """Wait for a condition, or until no process is left that could bring it about."""

    def wait(condition, *runs):
        deadline = time.monotonic() + 120
        while not condition() and any(run.running() for run in runs):
            assert time.monotonic() < deadline
            time.sleep(0.002)

    return wait
