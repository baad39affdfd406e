"""Processes that share work, as torchrun starts them: for simulation and training alike.

Each process has a number, its rank. They meet at a key-value store (on rank 0, or in torchrun
itself), through which they count, report and learn that one has failed; where they exchange
tensors or Python values, `torch.distributed` joins them: gloo between CPUs, NCCL between GPUs.
"""

import os
import pickle
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import count as count_from
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from seistomo.device import choose_device
from seistomo.errors import InputError, OtherRankError
from seistomo.interrupts import raise_if_interrupted

# The longest that ranks wait for one that starts, learns scalings or writes a checkpoint.
TIMEOUT = timedelta(hours=1)
# Seconds between two looks at the store: of who waits, and of the thread that watches the others.
POLL, WATCH = 0.05, 0.5
# So many looks in a row without a sign of life, and a process is taken for dead.
SILENT_LOOKS = 80
# Seconds that others leave to rank 0 to speak first where several fail, that rank 0 leaves to the
# others to learn why it ends (it may hold the store), and that a blocked process has to come out.
PRECEDENCE, FAREWELL, GRACE = 1.0, 30.0, 15.0
FAILED, INTERRUPTED, LOST = "failed", "interrupted", "lost"
# What a broken connection is called by gloo, NCCL and the store. No other error is one.
LOST_CONNECTION = re.compile(
    r"connection (was |likely |unexpectedly )*(closed|reset|refused|aborted)|broken pipe|timed out"
    r"|timeout|socket closed|failed to (recv|send)|remote process|ncclRemoteError|aborted",
    re.IGNORECASE,
)
# A device's own errors, which some older torch calls RuntimeErrors alone.
DEVICE_ERRORS = (
    torch.OutOfMemoryError,
    getattr(torch, "AcceleratorError", torch.OutOfMemoryError),
)
# Calls of `from_environment` in this process; all ranks make them in the same order.
_calls = count_from(0)


class LostRankError(InputError):
    """Another process was killed, or cannot be reached any more."""


class Processes:
    """The processes that share work, seen from one of them; left out: a process alone."""

    def __init__(
        self,
        rank: int = 0,  # number of this process, from 0
        count: int = 1,
        local_rank: int = 0,  # the same among the processes on this machine
        local_count: int = 1,
        store: "dist.Store | None" = None,  # where they meet
    ):
        self.rank, self.count = rank, count
        self.local_rank, self.local_count = local_rank, local_count
        self._store = dist.HashStore() if store is None else store
        self._told, self._connected = 0, False
        # By whom the work of all has ended before its time, and why, once that is known here; then
        # the store is used no more. (rank, LOST): that one is lost, and it is for this one to say.
        self._end: tuple[int, str] | None = None
        self._lock, self._left = threading.Lock(), threading.Event()
        self._said_farewell, self._patience, self._last_words = False, FAREWELL, ""

    @classmethod
    def from_environment(cls) -> "Processes":
        """Join the processes that torchrun, or another launcher of its kind, has started.

        Without WORLD_SIZE in the environment this process is alone.
        """
        count, rank = environment_number("WORLD_SIZE", 1), environment_number("RANK", 0)
        if count == 1:
            return cls()
        if "RANK" not in os.environ or not 0 <= rank < count:
            raise InputError(f"WORLD_SIZE = {count} without a RANK from 0 to {count - 1}")
        local_rank = environment_number("LOCAL_RANK", rank)
        local_count = environment_number("LOCAL_WORLD_SIZE", count)
        address = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
        try:
            store = _store_of(rank, count, *address)
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"rank {rank}: cannot join the others at MASTER_ADDR = {address[0]}, MASTER_PORT ="
                f" {address[1]}: {str(error).splitlines()[0]}"
            ) from None
        # The store outlives a launch that torchrun starts again, and the work of one call.
        attempt = environment_number("TORCHELASTIC_RESTART_COUNT", 0)
        store = dist.PrefixStore(f"seistomo/{attempt}/{next(_calls)}", store)
        return cls(rank, count, local_rank, local_count, store)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def device(self, name: str, field: str = "device") -> torch.device:
        """Return this process's device: where ``name`` leaves it open, a GPU of its own.

        More processes than GPUs are refused: NCCL has no two ranks on one GPU, and simulations
        on one GPU take turns at it, each with a copy of everything in its memory.
        """
        device = choose_device(name, field)
        if device.type != "cuda" or self.count == 1:
            return device
        gpus = torch.cuda.device_count()
        if device.index is None and gpus == 1:
            # A launcher that shows each process its own GPU alone.
            return torch.device("cuda", 0)
        if device.index is not None and self.local_count > 1:
            raise InputError(
                f"{field} = {name}: {self.local_count} processes on this machine need a GPU each;"
                " use cuda or auto"
            )
        number = self.local_rank if device.index is None else device.index
        if number >= gpus:
            raise InputError(
                f"{field} = {name}: {self.local_count} processes on this machine, which has"
                f" {gpus} GPUs; start at most one a GPU, or use cpu"
            )
        return torch.device("cuda", number)

    @contextmanager
    def together(self) -> Iterator["Processes"]:
        """End all within a minute when one fails inside a ``with`` block; that one says why.

        In the others an `OtherRankError` is raised, and in all a KeyboardInterrupt where one was
        interrupted. Of a process that was killed or cannot be reached a `LostRankError` tells in
        the first to notice. One that is blocked, in an exchange or a computation, and does not
        come out is ended where it is. At the end of the block all wait for each other.
        """
        if self.count == 1:
            yield self
            return
        # A connection of its own, where torch is new enough.
        clone = getattr(self._store, "clone", lambda: self._store)
        watch = threading.Thread(target=self._watch, args=(clone(),), daemon=True)
        watch.start()
        try:
            yield self
            self._meet("end")
        except BaseException as error:
            self._settle(error)
            raise
        finally:
            self._disconnect()
            self._left.set()
            watch.join(GRACE)
            self._bid_farewell()

    # Through the store: for processes that are at different places of their work.

    def add(self, name: str, amount: int = 1) -> int:
        """Add to a number that all share, at first 0; return the sum."""
        return self._call("add", f"number/{name}", amount)

    def tell(self, item: Any) -> None:
        """Tell all something small that can be pickled."""
        number = self._call("add", "told", 1)
        self._call("set", f"told/{number}", pickle.dumps(item))

    def told(self) -> list[Any]:
        """Return what has been told, by anyone, since the last call; in order."""
        items = []
        while self._call("check", [f"told/{self._told + 1}"]):
            self._told += 1
            items.append(pickle.loads(self._call("get", f"told/{self._told}")))
        return items

    def wait(self) -> None:
        """Wait a moment; raise as `require_all_well` does."""
        self.require_all_well()
        time.sleep(POLL)

    def require_all_well(self) -> None:
        """Raise as `together` does if another process has ended, or at the user's Ctrl-C.

        To be called before what has come through an exchange is kept: where another process is
        gone, a GPU's exchange ends with anything.
        """
        raise_if_interrupted()
        if self._end is not None:
            raise self._error_of(*self._end)

    # Through torch.distributed: all call these at the same place of their work.

    def connect(self, device: torch.device | None = None) -> None:
        """Form the process group, once: gloo between CPUs, for GPUs NCCL beside it."""
        if self.count == 1 or dist.is_initialized():
            return
        backend = "gloo"
        if device is not None and device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        self._meet("group")
        with self.exchange():
            dist.init_process_group(
                backend,
                store=dist.PrefixStore("group", self._store),
                rank=self.rank,
                world_size=self.count,
                timeout=TIMEOUT,
            )
        self._connected = True

    def shared(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` gave on rank 0: anything that can be pickled."""
        content = [make() if self.leads else None]
        if self.count > 1:
            self.connect()
            with self.exchange():
                dist.broadcast_object_list(content, src=0, device=torch.device("cpu"))
        return content[0]

    def agree(self, condition: bool) -> bool:
        """Return whether a condition holds on every rank."""
        return not self.any_of(torch.tensor([not condition]))

    def share(self, count: int) -> np.ndarray:
        """Return this rank's rows of so many: every `count`-th, int64 [row]; may be empty."""
        return np.arange(self.rank, count, self.count)

    def gathered(self, values: np.ndarray, count: int) -> np.ndarray:
        """Return the values of all rows, given those of this rank's `share`, float64 [row]."""
        everything = torch.zeros(count, dtype=torch.float64)
        everything[self.share(count)] = torch.as_tensor(values, dtype=torch.float64, device="cpu")
        # Zeros are added to a value, which leaves its bits.
        self._reduce(everything, dist.ReduceOp.SUM)
        return everything.numpy()

    def any_of(self, mask: Tensor) -> Tensor:
        """Return where a mask is true on some rank, bool like ``mask``, on the CPU."""
        numbers = mask.to("cpu", torch.uint8)
        self._reduce(numbers, dist.ReduceOp.MAX)
        return numbers.bool()

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Raise as `together` does where another process has ended while ranks exchange data.

        Any other error comes through as it is.
        """
        try:
            yield
        except DEVICE_ERRORS:
            raise
        except RuntimeError as error:
            if self.count == 1:
                raise
            if self._end is not None:
                raise self._error_of(*self._end) from None
            if "CUDA error" in str(error) or not LOST_CONNECTION.search(str(error)):
                raise
            # Without the place in torch's sources, and its advice.
            reason = re.sub(r"^\[[^\]]*\] *", "", str(error)).split(". ")[0].split("\n")[0]
            raise LostRankError(_lost(reason[:120])) from None

    def _meet(self, where: str) -> None:
        """Wait for all, by looks at the store: one that fails before it comes is heard of."""
        met = self._call("add", f"met/{where}", 1)
        while met < self.count:
            self.wait()
            met = self._call("add", f"met/{where}", 0)

    def _reduce(self, values: Tensor, operation: "dist.ReduceOp") -> None:
        if self.count > 1:
            self.connect()
            with self.exchange():
                dist.all_reduce(values, op=operation)

    def _call(self, name: str, *arguments: Any) -> Any:
        with self._lock, self.exchange():
            if self._end is not None:
                raise self._error_of(*self._end)
            return getattr(self._store, name)(*arguments)

    def _error_of(self, rank: int, reason: str) -> BaseException:
        if reason == INTERRUPTED:
            return KeyboardInterrupt()
        if reason == LOST:
            return LostRankError(_lost(f"rank {rank}"))
        return OtherRankError(f"rank {self.rank}: ended, because rank {rank} failed")

    # How all come to an end when one fails.

    def _settle(self, error: BaseException) -> None:
        """Settle who tells of an error; raise what this process raises instead of it."""
        interrupted = isinstance(error, KeyboardInterrupt)
        lost = isinstance(error, LostRankError)
        rank, reason = self._claim(INTERRUPTED if interrupted else LOST if lost else FAILED)
        if interrupted or reason == INTERRUPTED:
            raise KeyboardInterrupt from None
        if (reason == LOST and not lost) or (reason == FAILED and rank != self.rank):
            raise self._error_of(rank, reason) from None
        if isinstance(error, InputError) and not self.leads:
            error.args = (f"rank {self.rank}: {error}",)
        self._last_words = f"error: {error}"

    def _claim(self, reason: str) -> tuple[int, str]:
        """Return which rank was the first to end, and why; it alone speaks."""
        deadline = time.monotonic() + (0.0 if self.leads else PRECEDENCE)
        while self._end is None and time.monotonic() < deadline:
            time.sleep(POLL)
        with self._lock:
            if self._end is None:
                try:
                    self._end = self._first(self._store, reason)
                except RuntimeError:
                    # Rank 0 has gone, which held the store.
                    self._end = self.rank, reason
            return self._end

    def _first(self, store: "dist.Store", reason: str) -> tuple[int, str]:
        """Be the first to end, for a reason, or return who was, and why."""
        found = store.compare_set("end", "", f"{self.rank} {reason}").decode().split()
        if found[1] == LOST:
            # Who is dead does not say farewell; what the others do is known.
            self._patience = 4 * WATCH
        return int(found[0]), FAILED if found[1] == LOST else found[1]

    def _bid_farewell(self) -> None:
        """Let rank 0, which may hold the store, leave last."""
        others = [f"farewell/{rank}" for rank in range(1, self.count)]
        deadline = time.monotonic() + self._patience
        with suppress(RuntimeError):
            if not self.leads and not self._said_farewell:
                self._store.set(f"farewell/{self.rank}", "")
            while self.leads and time.monotonic() < deadline and not self._store.check(others):
                time.sleep(POLL)

    def _watch(self, store: "dist.Store") -> None:
        """See, in a thread of its own, whether the others are well; do not let this one hang."""
        watched = range(1, self.count) if self.leads else (0,)
        beats, silent = dict.fromkeys(watched, 0), dict.fromkeys(watched, 0)
        while not self._left.wait(WATCH) and self._end is None:
            with self._lock:
                try:
                    self._end = self._end or self._look(store, beats, silent)
                except RuntimeError:
                    self._end = self._end or (0, LOST)
        if self._left.is_set():
            return
        # Under gloo the others' leaving wakes who waits for them; NCCL waits for ever.
        _abort_nccl()
        if not self._left.wait(GRACE):
            rank, reason = self._end
            if reason == LOST:
                self._last_words = self._last_words or f"error: {_lost(f'rank {rank}')}"
            if self._last_words:
                print(self._last_words, file=sys.stderr, flush=True)
            os._exit(130 if reason == INTERRUPTED else 2)

    def _look(
        self, store: "dist.Store", beats: dict[int, int], silent: dict[int, int]
    ) -> tuple[int, str] | None:
        """Return who has ended, and why, if anyone has; give and take signs of life."""
        store.add(f"alive/{self.rank}", 1)
        if store.check(["end"]):
            found = self._first(store, FAILED)
            store.set(f"farewell/{self.rank}", "")
            self._said_farewell = True
            return found
        for rank in beats:
            beat = store.add(f"alive/{rank}", 0)
            # One that has not begun yet may take its time.
            silent[rank] = silent[rank] + 1 if beat == beats[rank] > 0 else 0
            beats[rank] = beat
            if silent[rank] > SILENT_LOOKS:
                first = self._first(store, LOST)
                return (rank, LOST) if first[0] == self.rank else first
        return None

    def _disconnect(self) -> None:
        if self._connected:
            if self._end is not None:
                _abort_nccl()
            with suppress(RuntimeError):
                dist.destroy_process_group()
            self._connected = False


def environment_number(name: str, default: int) -> int:
    """Return a number that a launcher has put into the environment, or refuse what is none."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name} = {text}: must be a number, as torchrun sets it")
    return int(text)


def restarted() -> bool:
    """Return whether torchrun has started this again after a failure, with the same command."""
    return environment_number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def _lost(reason: str) -> str:
    return (
        f"another process of this run was killed or cannot be reached ({reason}); go on with the"
        " same command and --resume"
    )


def _abort_nccl() -> None:
    """End exchanges between GPUs that are under way, where there are any."""
    with suppress(Exception):
        dist.distributed_c10d._get_default_group()._get_backend(torch.device("cuda")).abort()


@cache
def _store_of(rank: int, count: int, address: str | None, port: str | None) -> "dist.Store":
    """Return the store that all ranks share, the same one for the life of this process.

    Rank 0 may hold it: another call must not find the last one's store on its way out.
    """
    return next(dist.rendezvous("env://", rank, count, timeout=TIMEOUT))[0]
