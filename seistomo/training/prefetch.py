"""Samples read ahead of the optimizer by threads of their own, and how long it waited for them."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

# Threads that read and scale for a GPU, at most; a CPU's cores are busy with the network.
MOST_READERS = 8

Item = TypeVar("Item")
Submit = Callable[..., Future]


class WaitClock:
    """How long whoever computes has waited for data.

    Attributes
    ----------
    seconds
        In all: for reading and scaling that was not done yet, and for picking a part's samples
        out of what is in memory.
    """

    def __init__(self):
        self.seconds = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside a ``with`` block."""
        mark = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - mark


def read_ahead(
    jobs: Sequence[Callable[[Submit], Item]], readers: int, ahead: int = 1
) -> Iterator[Item]:
    """Yield what the jobs begin to read, in order, some jobs ahead of the one in hand.

    A job is called with ``submit`` and returns at once; what it submits is done by the readers,
    in the order of submission. So an item is yielded before it is whole, and who uses it waits
    for the part that is needed, by the futures that the job keeps in it. When the iterator is
    closed, what has not begun is given up and the threads end.

    Parameters
    ----------
    jobs
        Each begins to read one item.
    readers
        Number of threads.
    ahead
        Items that are read beside the one in hand.
    """
    begun: list[Item] = []
    with ThreadPoolExecutor(max_workers=readers, thread_name_prefix="prefetch") as executor:
        try:
            for number in range(len(jobs)):
                for job in jobs[number + len(begun) : number + 1 + ahead]:
                    begun.append(job(executor.submit))
                yield begun.pop(0)
        except GeneratorExit:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def reader_count(device: torch.device, processes: int) -> int:
    """Return how many threads read and scale samples.

    Parameters
    ----------
    device
        Where the network computes.
    processes
        Processes that share this machine.
    """
    if device.type != "cuda":
        return 1
    return max(1, min(MOST_READERS, (os.cpu_count() or 1) // processes))
