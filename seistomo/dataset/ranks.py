"""The processes that make one data set together, as torchrun starts them.

They share no memory and no lock, only a small key-value store (`torch.distributed`'s TCPStore, on
rank 0 or in torchrun itself) and the file system: rank 0 says what is to be made, each takes the
next shard that nobody has, and says when it is whole.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from seistomo.errors import InputError
from seistomo.interrupts import raise_if_interrupted
from seistomo.ranks import Processes

# Seconds between two looks at the store while there is nothing else to do.
POLL = 0.1
# The longest wait for the ranks' farewell at the end, s.
FAREWELL_TIMEOUT = 30.0


class Store(Protocol):
    """What of ``torch.distributed.Store`` is used."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def add(self, key: str, amount: int) -> int: ...
    def check(self, keys: list[str]) -> bool: ...


class OtherRankError(InputError):
    """Another rank has failed, and said why, or cannot be reached any more."""


class Ranks:
    """The processes that make a data set together, seen from one of them.

    Parameters
    ----------
    rank, count
        Number of this process, from 0, and of all.
    local_rank
        Number of this process on its machine, which chooses its GPU.
    store
        Where they meet; None for a process alone.
    """

    def __init__(
        self, rank: int = 0, count: int = 1, local_rank: int = 0, store: Store | None = None
    ) -> None:
        self.rank, self.count, self.local_rank = rank, count, local_rank
        self._store = _Memory() if store is None else store
        self._seen = 0

    @classmethod
    def from_environment(cls) -> "Ranks":
        """Join the processes that torchrun (or another launcher of its kind) has started.

        Without RANK and WORLD_SIZE in the environment this process is alone.

        Raises
        ------
        InputError
            If the environment is not as torchrun makes it, or rank 0 cannot be reached.
        """
        here = Processes.from_environment()
        store = here._store if here.count > 1 else None
        return cls(here.rank, here.count, here.local_rank, store)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which prepares, reports and merges."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """Return the device for this rank: its own GPU where ``name`` leaves that open."""
        gpus = torch.cuda.device_count()
        if name not in ("auto", "cuda") or not gpus or not torch.cuda.is_available():
            return name
        return f"cuda:{self.local_rank % gpus}"

    @contextmanager
    def together(self) -> Iterator[None]:
        """Tell the others when this rank fails inside a ``with`` block; wait for them at its end.

        Raises
        ------
        OtherRankError
            If the store cannot be reached any more.
        """
        try:
            yield
        except BaseException as error:
            if not isinstance(error, OtherRankError):
                self._say_failed()
            raise
        self._farewell()

    def share(self, prepare: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``prepare`` gave on rank 0; JSON-able."""
        if self.leads:
            plan = prepare()
            self._call("set", "plan", json.dumps(plan))
            return plan
        while not self._call("check", ["plan"]):
            self.wait()
        return json.loads(self._call("get", "plan"))

    def next_number(self) -> int:
        """Return the next number that no rank has had, from 0."""
        return self._call("add", "next", 1) - 1

    def count_samples(self, more: int = 0) -> int:
        """Add to the number of samples that all ranks have made; return it."""
        return self._call("add", "samples", more)

    def announce(self, item: dict[str, Any]) -> None:
        """Tell rank 0 something, JSON-able."""
        number = self._call("add", "announced", 1)
        self._call("set", f"announced/{number}", json.dumps(item))

    def announced(self) -> list[dict[str, Any]]:
        """Return what all ranks have announced since the last call."""
        items = []
        while self._call("check", [f"announced/{self._seen + 1}"]):
            self._seen += 1
            items.append(json.loads(self._call("get", f"announced/{self._seen}")))
        return items

    def wait(self) -> None:
        """Wait a moment; see whether the others are well.

        Raises
        ------
        OtherRankError
            If one has failed.
        KeyboardInterrupt
            If the user has pressed Ctrl-C.
        """
        self.require_all_well()
        time.sleep(POLL)

    def require_all_well(self) -> None:
        """Raise if another rank has failed.

        Raises
        ------
        OtherRankError
            Naming that rank.
        KeyboardInterrupt
            If the user has pressed Ctrl-C: that reaches the others too.
        """
        raise_if_interrupted()
        if self.count > 1 and self._call("check", ["failed"]):
            failed = self._call("get", "failed").decode()
            raise OtherRankError(f"rank {self.rank}: stopped, because rank {failed} has failed")

    def _say_failed(self) -> None:
        try:
            self._call("set", "failed", str(self.rank))
        except OtherRankError:
            return

    def _farewell(self) -> None:
        """Wait for rank 0, which waits until all have seen that it is done: it holds the store."""
        if self.count == 1:
            return
        if not self.leads:
            while not self._call("check", ["done"]):
                self.wait()
            self._call("add", "left", 1)
            return
        self._call("set", "done", "1")
        deadline = time.monotonic() + FAREWELL_TIMEOUT
        while self._call("add", "left", 0) < self.count - 1 and time.monotonic() < deadline:
            time.sleep(POLL)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            return getattr(self._store, name)(*arguments)
        except RuntimeError as error:
            raise OtherRankError(
                f"rank {self.rank}: has lost the others: {str(error).splitlines()[0]}"
            ) from None


class _Memory:
    """The store of a process alone."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def set(self, key: str, value: str) -> None:
        self._values[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self._values[key]

    def add(self, key: str, amount: int) -> int:
        self._values[key] = self._values.get(key, 0) + amount
        return self._values[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self._values for key in keys)
