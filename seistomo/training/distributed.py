"""The processes that train one run together, as torchrun starts them.

Every rank holds the same weights and optimizer and takes the same steps. The samples of a batch,
of the training set and of the validation split are shared out; losses, gradients and products are
summed over the ranks (`seistomo.optim.Ranks`). Rank 0 alone writes files and reports.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.launch import cannot_join, launch_number, launched_place
from seistomo.optim import Ranks

# The longest that ranks wait for one that learns scalings or writes a checkpoint.
TIMEOUT = timedelta(hours=1)
# Seconds that another rank leaves to rank 0 to speak first where both have failed, and that rank 0
# leaves to the others, which may still be starting, to learn why: it may hold what they meet by.
GRACE, FAREWELL, POLL = 1.0, 30.0, 0.02
FAILED, INTERRUPTED = "failed", "interrupted"


class LostRankError(InputError):
    """Another rank has ended, or cannot be reached any more."""


class OtherRankError(InputError):
    """Another rank has failed, and says why; this one need not say anything."""


class Processes:
    """The processes that train together, seen from one of them.

    Parameters
    ----------
    rank, count
        Number of this process, from 0, and of all.
    local_rank, local_count
        The same among the processes on this machine.
    store
        Where they meet; None for a process alone.
    """

    def __init__(
        self,
        rank: int = 0,
        count: int = 1,
        local_rank: int = 0,
        local_count: int = 1,
        store: "dist.Store | None" = None,
    ):
        self.rank, self.count = rank, count
        self.local_rank, self.local_count = local_rank, local_count
        self._store = store

    @classmethod
    def from_environment(cls) -> "Processes":
        """Join the processes that torchrun, or another launcher of its kind, has started.

        Without WORLD_SIZE in the environment this process is alone.

        Raises
        ------
        InputError
            If the environment is not as torchrun makes it, or the others cannot be reached.
        """
        here = launched_place()
        if here.count == 1:
            return cls()
        try:
            store, _, _ = next(dist.rendezvous("env://", here.rank, here.count, timeout=TIMEOUT))
        except (RuntimeError, ValueError) as error:
            raise cannot_join(here.rank, error) from None
        return cls(*here, store)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes files and reports."""
        return self.rank == 0

    def device(self, name: str, field: str) -> torch.device:
        """Return this rank's device: where ``name`` leaves it open, a GPU of its own.

        Raises
        ------
        InputError
            If the device does not exist, or this machine has fewer GPUs than processes.
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
        """End all when one fails inside a ``with`` block; one of them says why.

        Raises
        ------
        LostRankError
            If another rank was killed, or cannot be reached, in the first that notices.
        OtherRankError
            In all but the rank whose error tells.
        KeyboardInterrupt
            In every rank, if one was interrupted.
        """
        try:
            yield self
            self.barrier()
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._disconnect()

    def connect(self, device: torch.device) -> None:
        """Form the process group: gloo between CPUs, for GPUs NCCL beside it."""
        if self.count == 1:
            return
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        with collective():
            dist.init_process_group(
                backend,
                store=dist.PrefixStore("training", self._store),
                rank=self.rank,
                world_size=self.count,
                timeout=TIMEOUT,
            )

    def shared(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` gave on rank 0: tensors, arrays, numbers, text."""
        content = [make() if self.leads else None]
        if self.count > 1:
            with collective():
                dist.broadcast_object_list(content, src=0, device=torch.device("cpu"))
        return content[0]

    def agree(self, condition: bool) -> bool:
        """Return whether a condition holds on every rank."""
        answer = torch.tensor([int(condition)])
        self._reduce(answer, dist.ReduceOp.MIN)
        return bool(answer)

    def share(self, count: int) -> np.ndarray:
        """Return this rank's rows of so many: every `count`-th, int64 [row]; may be empty."""
        return np.arange(self.rank, count, self.count)

    def gathered(self, values: np.ndarray, count: int) -> np.ndarray:
        """Return the values of all rows, given those of this rank's `share`, float64 [row]."""
        everything = torch.zeros(count, dtype=torch.float64)
        everything[self.share(count)] = torch.from_numpy(np.asarray(values, dtype=np.float64))
        # Zeros are added to a value, which leaves its bits.
        self._reduce(everything, dist.ReduceOp.SUM)
        return everything.numpy()

    def any_of(self, mask: Tensor) -> Tensor:
        """Return where a mask is true on some rank, bool like ``mask``, on the CPU."""
        numbers = mask.to("cpu", torch.uint8)
        self._reduce(numbers, dist.ReduceOp.MAX)
        return numbers.bool()

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.count > 1 and dist.is_initialized():
            self.agree(True)

    def _reduce(self, values: Tensor, operation: "dist.ReduceOp") -> None:
        if self.count > 1:
            with collective():
                dist.all_reduce(values, op=operation)

    def _end(self, error: BaseException) -> None:
        """Settle who tells of an error; raise what this rank raises instead of it."""
        if self.count == 1:
            return
        interrupted = isinstance(error, KeyboardInterrupt)
        speaks, reason = self._claim(INTERRUPTED if interrupted else FAILED)
        # The others may be waiting for this rank: that wakes them up.
        self._disconnect()
        # A rank that was killed does not answer.
        self._bid_farewell(2 * GRACE if isinstance(error, LostRankError) else FAREWELL)
        if interrupted or reason == INTERRUPTED:
            raise KeyboardInterrupt from None
        if not speaks:
            raise OtherRankError(f"rank {self.rank}: ended, because another rank failed") from None
        if isinstance(error, InputError) and not self.leads:
            error.args = (f"rank {self.rank}: {error}",)

    def _disconnect(self) -> None:
        if self.count > 1 and dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()

    def _claim(self, reason: str) -> tuple[bool, str]:
        """Return whether this is the first rank to end, and why that one did."""
        try:
            deadline = time.monotonic() + (0.0 if self.leads else GRACE)
            while time.monotonic() < deadline and not self._store.check(["end/reason"]):
                time.sleep(POLL)
            if self._store.add("end/ranks", 1) == 1:
                self._store.set("end/reason", reason)
                return True, reason
            reason = self._store.get("end/reason").decode()
            self._store.add("end/farewells", 1)
            return False, reason
        except RuntimeError:
            return True, reason

    def _bid_farewell(self, seconds: float) -> None:
        with suppress(RuntimeError):
            deadline = time.monotonic() + seconds
            while self.leads and time.monotonic() < deadline:
                # All but the first to end.
                if self._store.add("end/farewells", 0) >= self.count - 1:
                    return
                time.sleep(POLL)


class SharedRanks(Ranks):
    """Ranks of which each takes the samples that it holds.

    Parameters
    ----------
    samples
        Global indices of the training set, rising, int64 [sample].
    owners
        Rank that holds each, int64 [sample].
    """

    def __init__(self, samples: Tensor, owners: np.ndarray):
        super().__init__()
        self._samples, self._owners = samples, torch.from_numpy(np.asarray(owners))

    def share(self, samples: Tensor) -> Tensor:
        """Return those of the samples that this rank holds, int64 [sample]; it may be empty."""
        if self.count == 1:
            return samples
        owners = self._owners[torch.searchsorted(self._samples, samples)]
        return samples[owners == self.rank]

    def require_alike(self, model: nn.Module, samples: Tensor, anew: bool = False) -> None:
        """Refuse ranks that differ; see `seistomo.optim.Ranks`."""
        with collective():
            super().require_alike(model, samples, anew)

    def sum(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Return the tensors, summed over the ranks in one message."""
        with collective():
            return super().sum(tensors)


def after_restart(overwrite: bool) -> bool:
    """Return whether torchrun has started this again after a failure, so that a run is there.

    Its command is the first one, without --resume. With --overwrite nobody can tell whether the
    run that is there is the new one, and it is replaced again.
    """
    return not overwrite and launch_number("TORCHELASTIC_RESTART_COUNT", 0) > 0


@contextmanager
def collective() -> Iterator[None]:
    """Tell a lost rank from other errors, where ranks exchange data in a ``with`` block.

    Raises
    ------
    LostRankError
        If the exchange fails.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # Without the place in torch's sources, and its advice.
        reason = re.sub(r"^\[[^\]]*\] *", "", str(error)).split(". ")[0].split("\n")[0]
        raise LostRankError(
            f"another process of this run was killed or cannot be reached ({reason[:120]}); go on"
            " with the same command and --resume"
        ) from None
