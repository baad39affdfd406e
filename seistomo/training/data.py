"""The samples of one split, scaled, in batches on the device.

Scaled samples live in memory where they fit, on a GPU in its memory or else in the machine's, and
are otherwise read and scaled anew each epoch, one batch ahead of the optimizer in threads of their
own. Each sample is scaled by itself, so that all ways give the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

import numpy as np
import torch
from torch import Tensor

from seistomo.dataset import DatasetReader
from seistomo.optim import Ranks
from seistomo.progress import bar
from seistomo.ranks import Processes
from seistomo.training.augmentation import Augmentation, Corruption
from seistomo.training.late_scaling import LateScaling
from seistomo.training.mute import Positions, own_positions
from seistomo.training.normalization import Normalization
from seistomo.training.prefetch import Submit, WaitClock, read_ahead, reader_count
from seistomo.training.room import sample_bytes

# What becomes of gathers and velocity between storage and network, given the samples' global
# indices; see `SplitData`.
Finish = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Batch:
    """Samples that an objective reads part by part.

    Parameters
    ----------
    samples
        Global sample indices, int64 [sample].
    gathers, velocity
        Scaled, [n, source, receiver, time] and [n, depth, x].
    rows
        Which of the n belong to the batch, [sample], -1 for samples that another process holds;
        left out: all in order.
    device
        Where parts are wanted.
    finish
        What is done to gathers and velocity at each use; left out: nothing.
    pending
        What to wait for before each of the n is there, [n]; left out: nothing.
    clock
        Told how long a part was waited for.
    """

    def __init__(
        self,
        samples: Tensor,
        gathers: Tensor,
        velocity: Tensor,
        device: torch.device,
        rows: Tensor | None = None,
        finish: Finish | None = None,
        pending: Sequence[Future] = (),
        clock: WaitClock | None = None,
    ):
        self.samples, self.device, self._finish = samples, device, finish
        self._gathers, self._velocity, self._rows = gathers, velocity, rows
        self._pending, self._clock = pending, clock or WaitClock()

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [row, 1, source, receiver, time] and targets [row, depth, x]."""
        samples = self.samples[rows]
        if self._rows is not None:
            rows = self._rows[rows]
            if (rows < 0).any():
                raise ValueError("a sample of the batch is held by another process")
        with self._clock.waiting():
            if self._pending:
                for row in rows.tolist():
                    self._pending[row].result()
            gathers = _select(self._gathers, rows).to(self.device, non_blocking=True)
            velocity = _select(self._velocity, rows).to(self.device, non_blocking=True)
        if self._finish is not None:
            gathers, velocity = self._finish(gathers, velocity, samples)
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
        Bytes in which samples may be kept, on the device: all are, or this process's share of
        them, or none.
    scale_late
        Keep gathers as recorded, and scale them at each use, on the device: what changes them
        anew each epoch, noise and dead traces, comes before the scaling.
    host_memory
        As ``memory``, in the machine's memory, for a GPU whose own does not do.
    processes
        The processes that share each batch; left out: this one alone.

    Attributes
    ----------
    clock
        How long parts of batches were waited for.
    place
        Where samples are kept: "device", "host", or "file" where they are not.
    owned
        Whether each process keeps every `count`-th sample alone, for good; else the samples of
        each batch are dealt out anew, and any may fall to any process.
    """

    def __init__(
        self,
        data: DatasetReader,
        samples: np.ndarray,
        normalization: Normalization,
        device: torch.device,
        memory: int,
        scale_late: bool = False,
        host_memory: int = 0,
        processes: Processes | None = None,
    ):
        self.samples, self.clock = samples, WaitClock()
        self.processes = processes or Processes()
        self._data, self._normalization, self._device = data, normalization, device
        self._late = LateScaling(normalization.gathers, device) if scale_late else None
        self._pinned = device.type == "cuda"
        self._kept: tuple[Tensor, Tensor] | None = None
        self._readers = reader_count(device, self.processes.local_count)
        self.place, self.owned = self._choose_place(memory, host_memory)
        if self.place != "file":
            self._kept = self._keep()

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def in_memory(self) -> bool:
        """Whether the samples are kept."""
        return self._kept is not None

    def needed_bytes(self, owned: bool = False) -> int:
        """Return the bytes that keeping all samples takes, or this process's share of them."""
        count = len(self.processes.share(len(self))) if owned else len(self)
        return count * sample_bytes(
            self._data.gather_shape, self._data.velocity_shape, self._normalization.gathers.dtype
        )

    def owners(self, groups: Sequence[np.ndarray]) -> np.ndarray:
        """Return which process takes each sample in an epoch of these batches, int64 [sample]."""
        owners = np.arange(len(self)) % self.processes.count
        if not self.owned:
            for rows in groups:
                owners[rows] = np.arange(len(rows)) % self.processes.count
        return owners

    def batches(
        self,
        groups: Sequence[np.ndarray],
        augmentation: Augmentation | None = None,
        owners: np.ndarray | None = None,
    ) -> Iterator[Batch]:
        """Yield one batch for each group of rows of this split, int64 [sample].

        Parameters
        ----------
        groups
            The rows.
        augmentation
            What this epoch does to the samples.
        owners
            Process that takes each of the split's samples, int64 [sample]: of the others'
            samples a batch knows the indices alone. Left out: this process takes all.
        """
        finish = self._finish_with(augmentation)
        if self._kept is not None and self._kept[0].device.type == self._device.type:
            for rows in groups:
                yield self._kept_batch(rows, finish)
            return
        jobs = [partial(self._begin_batch, rows, finish, owners) for rows in groups]
        smallest = max(1, min((len(rows) for rows in groups), default=1))
        yield from read_ahead(jobs, self._readers, -(-self._readers // smallest))

    def _choose_place(self, memory: int, host_memory: int) -> tuple[str, bool]:
        """Return where samples are kept, and whether each process keeps its share alone.

        All processes choose alike: they must deal samples out by one rule.
        """
        for place, room in (("device", memory), ("host", host_memory)):
            for owned in (False, True) if self.processes.count > 1 else (False,):
                if self.processes.agree(self.needed_bytes(owned) <= room):
                    return place, owned
        return "file", False

    def _finish_with(self, augmentation: Augmentation | None) -> Finish | None:
        """Return what is done to samples at each use."""
        if augmentation is None and self._late is None:
            return None

        def finish(gathers: Tensor, velocity: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
            if self._late is not None:
                gathers = gathers.float() * self._normalization.gathers.level
                if augmentation is not None:
                    gathers = augmentation.corrupt(gathers, samples)
                gathers = self._late(gathers, self._positions(samples.tolist()))
            if augmentation is not None:
                gathers, velocity = augmentation.mirror(gathers, velocity, samples)
            return gathers, velocity

        return finish

    def _positions(self, samples: Sequence[int]) -> list[Positions | None] | None:
        """Return the samples' own positions, where a mute asks for them."""
        if self._normalization.gathers.mute is None:
            return None
        return [own_positions(self._data, sample) for sample in samples]

    def _kept_batch(self, rows: np.ndarray, finish: Finish | None) -> Batch:
        gathers, velocity = self._kept
        samples = torch.from_numpy(self.samples[rows])
        places = torch.from_numpy(self._place_of(rows))
        return Batch(samples, gathers, velocity, self._device, places, finish, clock=self.clock)

    def _place_of(self, rows: np.ndarray) -> np.ndarray:
        """Return where rows are among those kept, -1: another process keeps them."""
        if not self.owned:
            return rows
        place, owner = np.divmod(rows, self.processes.count)
        return np.where(owner == self.processes.rank, place, -1)

    def _begin_batch(
        self,
        rows: np.ndarray,
        finish: Finish | None,
        owners: np.ndarray | None,
        submit: Submit,
    ) -> Batch:
        """Return a batch whose samples are being fetched."""
        own = np.arange(len(rows))
        if owners is not None:
            own = own[owners[rows] == self.processes.rank]
        gathers, velocity = self._empty(len(own), pinned=self._pinned)
        pending = [
            submit(self._fetch, int(row), gathers[place], velocity[place])
            for place, row in enumerate(rows[own])
        ]
        places = torch.full((len(rows),), -1)
        places[own] = torch.arange(len(own))
        samples = torch.from_numpy(self.samples[rows])
        return Batch(samples, gathers, velocity, self._device, places, finish, pending, self.clock)

    def _keep(self) -> tuple[Tensor, Tensor]:
        rows = self.processes.share(len(self)) if self.owned else np.arange(len(self))
        where = self._device if self.place == "device" else "cpu"
        gathers, velocity = self._empty(len(rows), where)

        def keep(place: int) -> None:
            one_gather, one_velocity = self._empty(1)
            self._read(int(self.samples[rows[place]]), one_gather[0], one_velocity[0])
            gathers[place].copy_(one_gather[0])
            velocity[place].copy_(one_velocity[0])

        jobs = [partial(_begin, keep, place) for place in range(len(rows))]
        reading = read_ahead(jobs, self._readers, self._readers)
        for done in bar(reading, total=len(rows), description="scaling data", leave=False):
            done.result()
        return gathers, velocity

    def _empty(
        self, count: int, device: torch.device | str = "cpu", pinned: bool = False
    ) -> tuple[Tensor, Tensor]:
        # Pinned: pages that the GPU can fetch by itself, while the CPU goes on.
        options = {"device": device, "pin_memory": pinned}
        kind = getattr(torch, self._normalization.gathers.dtype)
        gathers = torch.empty(count, *self._data.gather_shape, dtype=kind, **options)
        return gathers, torch.empty(count, *self._data.velocity_shape, **options)

    def _fetch(self, row: int, gathers: Tensor, velocity: Tensor) -> None:
        """Put one sample, by its row in the split, where it is wanted."""
        if self._kept is None:
            self._read(int(self.samples[row]), gathers, velocity)
            return
        place = int(self._place_of(np.array(row)))
        gathers.copy_(self._kept[0][place])
        velocity.copy_(self._kept[1][place])

    def _read(self, sample: int, gathers: Tensor, velocity: Tensor) -> None:
        scaling, recorded = self._normalization, self._data.read_gathers([sample])
        if self._late is not None:
            wanted = scaling.gathers.unscaled(recorded)
        else:
            wanted = scaling.gathers(recorded, self._positions([sample]))
        gathers.numpy()[...] = wanted[0]
        velocity.numpy()[...] = scaling.velocity.scale(self._data.read_velocity([sample])[0])


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
    corruption
        Noise and dead traces of this epoch; None: none.

    Attributes
    ----------
    samples
        Global indices of the split's samples, int64 [sample], rising.
    batches
        Global indices of each batch's samples, int64 [sample].
    owners
        Process that takes each sample in this epoch, int64 [sample].
    """

    def __init__(
        self,
        split: SplitData,
        groups: Sequence[np.ndarray],
        mirrored: np.ndarray | None = None,
        corruption: Corruption | None = None,
    ):
        self._split, self._groups, self._augmentation = split, groups, None
        if mirrored is not None or corruption is not None:
            self._augmentation = Augmentation(split.samples, mirrored, corruption)
        self.owners = split.owners(groups)
        self.samples = torch.from_numpy(split.samples)
        self.batches = [self.samples[rows] for rows in groups]

    def __len__(self) -> int:
        return len(self._groups)

    def from_batch(self, first: int) -> Iterator[Batch]:
        """Yield the batches from number ``first``, counted from 0, on."""
        return self._split.batches(self._groups[first:], self._augmentation, self.owners)

    def parts(self, samples: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of any samples of the split, ``size`` at once.

        Shapes are those of `Batch.take`; ``samples`` are global indices, int64 [sample].
        """
        rows = np.searchsorted(self._split.samples, samples.numpy())
        groups = [rows[first : first + size] for first in range(0, len(rows), size)]
        for batch in self._split.batches(groups, self._augmentation):
            yield batch.take(torch.arange(len(batch)))


def _begin(work: Callable[[int], None], place: int, submit: Submit) -> Future:
    return submit(work, place)


def _select(values: Tensor, rows: Tensor) -> Tensor:
    # Rows in a row: a view, which keeps pinned memory pinned.
    first = int(rows[0])
    if torch.equal(rows, torch.arange(first, first + len(rows))):
        return values[first : first + len(rows)]
    return values[rows.to(values.device)]
