"""The samples of one split, scaled, in batches on the device.

Scaled samples live in memory where they fit (on a GPU in its memory), else they are read and
scaled anew each epoch, one batch ahead of the optimizer in a thread of its own. Each sample is
scaled by itself, so that both ways give the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seistomo.dataset import DatasetReader
from seistomo.progress import bar
from seistomo.training.mirror import mirror
from seistomo.training.normalization import Normalization

GIB = 2**30


class Batch:
    """Samples that an objective reads part by part.

    Parameters
    ----------
    samples
        Global sample indices, int64 [sample].
    gathers, velocity
        Scaled, [n, source, receiver, time] and [n, depth, x].
    rows
        Which of the n belong to the batch, [sample]; left out: all in order.
    device
        Where parts are wanted.
    mirrored
        Which samples of the batch are mirrored, bool [sample]; left out: none.
    """

    def __init__(
        self,
        samples: Tensor,
        gathers: Tensor,
        velocity: Tensor,
        device: torch.device,
        rows: Tensor | None = None,
        mirrored: Tensor | None = None,
    ):
        self.samples, self.device, self._mirrored = samples, device, mirrored
        self._gathers, self._velocity, self._rows = gathers, velocity, rows

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [row, 1, source, receiver, time] and targets [row, depth, x]."""
        which = None if self._mirrored is None else self._mirrored[rows]
        if self._rows is not None:
            rows = self._rows[rows]
        gathers = _select(self._gathers, rows).to(self.device, non_blocking=True)
        velocity = _select(self._velocity, rows).to(self.device, non_blocking=True)
        if which is not None:
            gathers, velocity = mirror(gathers, velocity, which.to(self.device))
        return gathers.float().unsqueeze(1), velocity


class SplitData:
    """The samples of one split.

    Parameters
    ----------
    data
        The data set.
    samples
        Global indices of the split's samples, int64 [sample].
    normalization
        How they are scaled.
    device
        Where batches are wanted.
    memory
        Bytes in which scaled samples may be kept: all are, or none.
    """

    def __init__(
        self,
        data: DatasetReader,
        samples: np.ndarray,
        normalization: Normalization,
        device: torch.device,
        memory: int,
    ):
        self.samples = samples
        self._data, self._normalization, self._device = data, normalization, device
        self._pinned = device.type == "cuda"
        self._kept: tuple[Tensor, Tensor] | None = None
        if self.needed_bytes() <= memory:
            self._kept = self._keep()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def in_memory(self) -> bool:
        """Whether the scaled samples are kept."""
        return self._kept is not None

    def needed_bytes(self) -> int:
        """Return the bytes that keeping all scaled samples takes."""
        size = np.dtype(self._normalization.gathers.dtype).itemsize
        gathers = size * int(np.prod(self._data.gather_shape))
        return len(self) * (gathers + 4 * int(np.prod(self._data.velocity_shape)))

    def batches(
        self, groups: Sequence[np.ndarray], mirrored: np.ndarray | None = None
    ) -> Iterator[Batch]:
        """Yield one batch for each group of rows of this split, int64 [sample].

        ``mirrored`` says which of the split's samples are mirrored, bool [sample].
        """
        if self._kept is not None:
            for rows in groups:
                yield self._kept_batch(rows, mirrored)
            return
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as executor:
            ahead = [executor.submit(self._read_batch, rows, mirrored) for rows in groups[:1]]
            try:
                for following in [*groups[1:], None]:
                    batch = ahead.pop().result()
                    if following is not None:
                        ahead.append(executor.submit(self._read_batch, following, mirrored))
                    yield batch
                    del batch
            finally:
                for future in ahead:
                    future.cancel()

    def _kept_batch(self, rows: np.ndarray, mirrored: np.ndarray | None) -> Batch:
        gathers, velocity = self._kept
        samples = torch.from_numpy(self.samples[rows])
        which = None if mirrored is None else torch.from_numpy(mirrored[rows])
        return Batch(samples, gathers, velocity, self._device, torch.from_numpy(rows), which)

    def _read_batch(self, rows: np.ndarray, mirrored: np.ndarray | None) -> Batch:
        gathers, velocity = self._empty(len(rows))
        for place, row in enumerate(rows):
            self._read_into(int(self.samples[row]), gathers[place], velocity[place])
        which = None if mirrored is None else torch.from_numpy(mirrored[rows])
        samples = torch.from_numpy(self.samples[rows])
        return Batch(samples, gathers, velocity, self._device, mirrored=which)

    def _keep(self) -> tuple[Tensor, Tensor]:
        gathers, velocity = self._empty(len(self), self._device)
        one_gather, one_velocity = self._empty(1)
        for row, sample in enumerate(bar(self.samples, description="scaling data", leave=False)):
            self._read_into(int(sample), one_gather[0], one_velocity[0])
            gathers[row].copy_(one_gather[0])
            velocity[row].copy_(one_velocity[0])
        return gathers, velocity

    def _empty(self, count: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
        kind = getattr(torch, self._normalization.gathers.dtype)
        # Pages that the GPU can fetch by itself, while the CPU goes on.
        options = {"device": device, "pin_memory": self._pinned and device == "cpu"}
        gathers = torch.empty(count, *self._data.gather_shape, dtype=kind, **options)
        return gathers, torch.empty(count, *self._data.velocity_shape, **options)

    def _read_into(self, sample: int, gathers: Tensor, velocity: Tensor) -> None:
        scaling = self._normalization
        gathers.numpy()[...] = scaling.gathers(self._data.read_gathers([sample]))[0]
        velocity.numpy()[...] = scaling.velocity.scale(self._data.read_velocity([sample])[0])


class EpochData:
    """One epoch over a split: its batches in order, and any of its samples.

    Parameters
    ----------
    split
        The samples.
    groups
        Rows of the split that make each batch, int64 [sample].
    mirrored
        Which of the split's samples are mirrored in this epoch, bool [sample]; None: none.

    Attributes
    ----------
    samples
        Global indices of the split's samples, int64 [sample], rising.
    batches
        Global indices of each batch's samples, int64 [sample].
    """

    def __init__(
        self, split: SplitData, groups: Sequence[np.ndarray], mirrored: np.ndarray | None = None
    ):
        self._split, self._groups, self._mirrored = split, groups, mirrored
        self.samples = torch.from_numpy(split.samples)
        self.batches = [self.samples[rows] for rows in groups]

    def __len__(self) -> int:
        return len(self._groups)

    def from_batch(self, first: int) -> Iterator[Batch]:
        """Yield the batches from number ``first``, counted from 0, on."""
        return self._split.batches(self._groups[first:], self._mirrored)

    def parts(self, samples: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of any samples of the split, ``size`` at once.

        Shapes are those of `Batch.take`; ``samples`` are global indices, int64 [sample].
        """
        rows = np.searchsorted(self._split.samples, samples.numpy())
        groups = [rows[first : first + size] for first in range(0, len(rows), size)]
        for batch in self._split.batches(groups, self._mirrored):
            yield batch.take(torch.arange(len(batch)))


def batch_groups(seed: int, epoch: int, samples: int, batch_size: int) -> list[np.ndarray]:
    """Return the rows of each batch of one epoch, drawn without replacement.

    The order depends on (seed, epoch) alone. An epoch is cut into the fewest batches of at most
    ``batch_size`` samples, equal up to one sample: no small last batch makes a noisy step.
    """
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return np.array_split(order, -(-samples // batch_size))


def memory_budget(asked: float | None, device: torch.device) -> int:
    """Return the bytes in which scaled samples may be kept.

    Parameters
    ----------
    asked
        GiB; None: half of what is free, on the GPU for a CUDA device.
    device
        Where the samples would be kept.
    """
    if asked is not None:
        return int(asked * GIB)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return free_memory() // 2


def free_memory() -> int:
    """Return the bytes of memory that this process may still take (Linux; else 2 GiB)."""
    limits = [
        _number("/proc/meminfo", lambda text: int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    ]
    limit = _number("/sys/fs/cgroup/memory.max", int)
    used = _number("/sys/fs/cgroup/memory.current", int)
    if limit is not None and used is not None:
        limits.append(max(0, limit - used))
    known = [limit for limit in limits if limit is not None]
    return min(known, default=2 * GIB)


def _number(path: str, parse: Callable[[str], int]) -> int | None:
    try:
        return parse(Path(path).read_text())
    except (OSError, ValueError, IndexError):
        return None


def _select(values: Tensor, rows: Tensor) -> Tensor:
    # Rows in a row: a view, which keeps pinned memory pinned.
    first = int(rows[0])
    if torch.equal(rows, torch.arange(first, first + len(rows))):
        return values[first : first + len(rows)]
    return values[rows.to(values.device)]
