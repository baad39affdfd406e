"""The samples of one split of a data set, scaled, in batches on the device.

Scaled samples live in memory where they fit, on a GPU in its memory or else in the machine's, and
are otherwise read and scaled anew each epoch, one batch ahead of the optimizer in threads of their
own. Each sample is scaled by itself, so that all ways give the same bits.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.dataset.store.schema import SURVEY_VARIABLES
from seistomo.device import upload
from seistomo.optim import Ranks
from seistomo.progress import bar, say
from seistomo.ranks import Processes
from seistomo.training.augmentation import (
    Corruption,
    WaveletFilter,
    corrupts,
    mirror,
    mirrored_rows,
)
from seistomo.training.positions import Positions, network_inputs
from seistomo.training.scaling import Normalization

# Threads that read and scale for a GPU, at most; a CPU's cores are busy with the network.
MOST_READERS = 8
# What is said of where samples are.
KEPT = {
    "device": "kept in memory",
    "host": "kept in the machine's memory",
    "file": "read anew each epoch",
}
Rows = NDArray[np.int64]


class GatherSamples:
    """The samples of one split; see `seistomo.training.problem.Samples`.

    ``indices`` are the split's rows in the data set, rising; ``memory`` has the bytes in which they
    may be kept, on the "device" and for a GPU on the "host" beside it: what is taken is subtracted.
    With ``settings``, of training, samples may change anew each epoch; gathers are then kept as
    recorded and scaled at each use: what changes them comes first. Of a jittered survey a network
    that ``sees_positions`` sees each sample's own.
    """

    def __init__(
        self,
        data: DatasetReader,
        indices: Rows,
        normalization: Normalization,
        processes: Processes,
        memory: dict[str, int],
        settings: TrainingConfig | None = None,
        sees_positions: bool = False,
    ):
        self.data, self.indices, self.normalization = data, indices, normalization
        self.processes, self.settings, self._memory = processes, settings, memory
        self.jittered = data.config.survey.jittered
        self.sees_positions = sees_positions and self.jittered
        self.late = settings is not None and corrupts(settings)
        self._filter = settings and WaveletFilter.of(data, settings)
        self.waited = 0.0  # seconds that batches were waited for so far
        self.place = "file"  # where samples are kept: "device" or "host", "file" where they are not
        # Whether each process keeps every `count`-th sample alone, for good; else the samples of
        # each batch are dealt out anew, and any may fall to any process.
        self.owned = False
        # What may be chosen of it, the first first.
        self.ways = (False, True) if processes.count > 1 else (False,)
        self.kept: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def to(self, device: torch.device) -> "GatherSamples":
        """Scale the samples into memory where they fit; return them."""
        self.device = device
        self._readers = 1
        if device.type == "cuda":
            cores = (os.cpu_count() or 1) // self.processes.local_count
            self._readers = max(1, min(MOST_READERS, cores))
        self.place, self.owned, self.kept = self._choose_place()
        if self.kept is not None:
            self._memory[self.place] -= self.needed_bytes(self.owned)
            self._fill()
        self._say_where()
        return self

    def _fill(self) -> None:
        rows = self.processes.share(len(self)) if self.owned else np.arange(len(self))
        with readers(self._readers) as pool:
            done = pool.map(self._read, rows.tolist(), *self.kept)
            for _ in bar(done, total=len(rows), description="scaling data", leave=False):
                pass

    def _say_where(self) -> None:
        if self.settings is None:
            return
        sizes = " x ".join(map(str, self.data.gather_shape))
        models = " x ".join(map(str, self.data.velocity_shape))
        owned = f", 1/{self.processes.count} by each process" if self.owned else ""
        say(f"gathers {sizes} to models {models}; samples {KEPT[self.place]}{owned}")

    def needed_bytes(self, owned: bool = False) -> int:
        """Return the bytes that keeping all samples takes, or this process's share of them."""
        shapes = self.data.gather_shape, self.data.velocity_shape
        return self.slots(owned) * sample_bytes(*shapes, self.normalization.gathers.dtype)

    def slots(self, owned: bool) -> int:
        """Return how many samples this process keeps: all, or its share of them."""
        return len(self.processes.share(len(self))) if owned else len(self)

    def epoch(self, number: int, groups: Sequence[Rows]) -> "GatherEpoch":
        """Return an epoch as (seed, number) has it, of batches of these rows of the split."""
        settings, mirrored, corruption = self.settings, None, None
        if settings is not None and settings.mirror:
            mirrored = torch.from_numpy(mirrored_rows(settings.seed, number, len(self)))
        if self.late:
            corruption = Corruption(settings, number, self._filter)
        return GatherEpoch(self, groups, mirrored, corruption)

    def inputs(self, size: int) -> Iterator[tuple[Rows, Tensor]]:
        """Yield this process's share in parts: rows of the split, and inputs as they are scaled."""
        own = torch.from_numpy(self.processes.share(len(self)))
        plain = GatherEpoch(self, [], None, None)
        parts = plain.parts(plain.samples[own], size)
        # Of a share without samples there are no parts.
        for (inputs, _), rows in zip(parts, own.split(size), strict=False):
            yield rows.numpy(), inputs

    def positions(self, samples: Sequence[int]) -> list[Positions] | None:
        """Return the samples' own positions, where they differ and are asked for."""
        muted = self.jittered and self.normalization.gathers.mute is not None
        if not (muted or self.sees_positions):
            return None
        return [
            {name: values[place] for name, values in self._surveys.items()}
            for place in self._slot(np.asarray(samples)).tolist()
        ]

    def _slot(self, samples: Rows) -> Rows:
        """Return where positions of samples are among those kept."""
        return np.searchsorted(self.indices, samples)

    @cached_property
    def _surveys(self) -> dict[str, NDArray[np.float64]]:
        rows = range(self.data.samples)
        return {name: self.data.column(name, rows)[self.indices] for name in SURVEY_VARIABLES}

    @property
    def owners(self) -> Rows:
        """The process that keeps each row of the split, where each keeps its own alone."""
        return np.arange(len(self)) % self.processes.count

    def places(self, rows: Rows) -> Rows:
        """Return where rows of the split are among those kept, -1: another process keeps them."""
        if not self.owned:
            return rows
        place, owner = np.divmod(rows, self.processes.count)
        return np.where(owner == self.processes.rank, place, -1)

    def empty(
        self, count: int, device: torch.device, pinned: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return room for gathers [sample, source, receiver, time], velocity [sample, depth, x]."""
        # Pinned: pages that the GPU can fetch by itself, while the CPU goes on.
        options = {"device": device, "pin_memory": pinned}
        kind = getattr(torch, self.normalization.gathers.dtype)
        gathers = torch.empty(count, *self.data.gather_shape, dtype=kind, **options)
        return gathers, torch.empty(count, *self.data.velocity_shape, **options)

    def read_ahead(
        self, groups: Sequence[Rows], epoch: "GatherEpoch", owners: Rows
    ) -> Iterator["ReadBatch"]:
        """Yield the batches of these rows, the next one or more being read meanwhile.

        A batch holds those samples that ``owners`` [row of the split] give to this process.
        """
        smallest = max(1, min(map(len, groups), default=1))
        ahead, begun = max(1, -(-self._readers // smallest)), deque()
        with readers(self._readers) as pool:
            for number in range(len(groups)):
                for rows in groups[number + len(begun) : number + 1 + ahead]:
                    own = np.flatnonzero(owners[rows] == self.processes.rank)
                    begun.append(ReadBatch(epoch, rows, own, pool))
                yield begun.popleft()

    def fetch(self, row: int, gathers: Tensor, velocity: Tensor) -> None:
        """Put one sample, by its row in the split, where it is wanted."""
        if self.kept is None:
            self._read(row, gathers, velocity)
            return
        place = int(self.places(np.array(row)))
        gathers.copy_(self.kept[0][place])
        velocity.copy_(self.kept[1][place])

    def _read(self, row: int, gathers: Tensor, velocity: Tensor) -> None:
        sample = [int(self.indices[row])]
        recorded, model = self.data.read_gathers(sample), self.data.read_velocity(sample)
        self._put(sample, recorded, model[0], gathers, velocity)

    def _put(
        self,
        sample: Sequence[int],
        recorded: NDArray,
        model: NDArray,
        gathers: Tensor,
        velocity: Tensor,
    ) -> None:
        """Scale the recorded gathers [1, source, receiver, time] and the model of one sample."""
        scaling, recorded = self.normalization, torch.from_numpy(recorded).to(gathers.device)
        if self.late:
            gathers.copy_(recorded[0] * (1 / scaling.gathers.level))
        else:
            gathers.copy_(scaling.gathers.scaled(recorded, self.positions(sample))[0])
        velocity.copy_(torch.from_numpy(scaling.velocity.scale(model)))

    def _choose_place(self) -> tuple[str, bool, tuple[Tensor, Tensor] | None]:
        """Return where samples are kept, whether each process keeps its share alone, and tensors.

        All processes choose alike: they must deal samples out by one rule.
        """
        for place in ("device", "host"):
            for owned in self.ways:
                kept = self._allocated(place, owned)
                if self.processes.agree(kept is not None):
                    return place, owned, kept
                del kept
        return "file", False, None

    def _allocated(self, place: str, owned: bool) -> tuple[Tensor, Tensor] | None:
        """Return tensors for the samples to keep; None where memory is too small, or not whole."""
        if self.needed_bytes(owned) > self._memory.get(place, 0):
            return None
        try:
            return self.empty(
                self.slots(owned), self.device if place == "device" else torch.device("cpu")
            )
        except torch.OutOfMemoryError:
            return None


class GatherEpoch:
    """One epoch over `GatherSamples`; see `seistomo.training.problem.Epoch`.

    ``groups`` are the rows of the split that make each batch, ``mirrored`` says which of its
    samples are, bool [sample].
    """

    def __init__(
        self,
        held: GatherSamples,
        groups: Sequence[Rows],
        mirrored: Tensor | None,
        corruption: Corruption | None,
    ):
        self.held, self._groups = held, groups
        self._mirrored, self._corruption = mirrored, corruption
        self.samples = torch.from_numpy(held.indices)
        self.batches = [self.samples[rows] for rows in groups]
        self.owners = held.owners
        if not held.owned:
            for rows in groups:
                self.owners[rows] = np.arange(len(rows)) % held.processes.count

    def from_batch(self, first: int) -> Iterator["ReadBatch | None"]:
        """Yield the batches from number ``first`` on; None where samples are on the device."""
        if self._at_hand:
            yield from (None for _ in self._groups[first:])
        else:
            yield from self.held.read_ahead(self._groups[first:], self, self.owners)

    def parts(self, samples: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of any samples of the split, ``size`` at once.

        Inputs are [sample, channel, source, receiver, time], targets [sample, depth, x];
        ``samples`` global indices, int64 [sample], on the CPU.
        """
        if not len(samples):
            return
        held, rows = self.held, torch.searchsorted(self.samples, samples)
        places = torch.from_numpy(held.places(rows.numpy()))
        require_own(places)
        if not self._at_hand:
            own = np.full(len(held), held.processes.rank)
            groups = [part.numpy() for part in rows.split(size)]
            for batch in held.read_ahead(groups, self, own):
                yield batch.take(torch.arange(len(batch.rows)))
            return
        # One transfer of indices for all parts, which waits for nothing.
        for part, where in zip(
            rows.split(size), upload(places, held.device).split(size), strict=True
        ):
            mark = time.perf_counter()
            taken = tuple(values[where] for values in held.kept)
            held.waited += time.perf_counter() - mark
            yield self.finished(*taken, part)

    @property
    def _at_hand(self) -> bool:
        return self.held.kept is not None and self.held.kept[0].device.type == self.held.device.type

    def finished(self, gathers: Tensor, velocity: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of samples as they are kept, by their rows in the split."""
        held, samples = self.held, self.samples[rows]
        positions = held.positions(samples.tolist())
        if held.late:
            scaling = held.normalization.gathers
            gathers = gathers.float() * scaling.level
            if self._corruption is not None:
                gathers = self._corruption(gathers, samples)
            gathers = scaling.scaled(gathers, positions)
        seen, width = positions if held.sees_positions else None, held.data.config.velocity.x_extent
        inputs = network_inputs(gathers, seen, width)
        if self._mirrored is not None:
            which = upload(self._mirrored[rows], gathers.device)
            inputs, velocity = mirror(inputs, velocity, which)
        return inputs.float(), velocity


class ReadBatch:
    """A batch of rows of the split, some of which, this process's own, other threads read."""

    def __init__(self, epoch: GatherEpoch, rows: Rows, own: Rows, pool: ThreadPoolExecutor):
        held = epoch.held
        self._epoch, self.rows = epoch, torch.from_numpy(rows)
        self._places = torch.full((len(rows),), -1)
        self._places[own] = torch.arange(len(own))
        pinned = held.device.type == "cuda"
        self._values = held.empty(len(own), torch.device("cpu"), pinned)
        self._pending: list[Future] = [
            pool.submit(held.fetch, row, *(values[place] for values in self._values))
            for place, row in enumerate(rows[own].tolist())
        ]

    def take(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of some samples, by their place in the batch."""
        held, places, mark = self._epoch.held, self._places[rows], time.perf_counter()
        require_own(places)
        for place in places.tolist():
            self._pending[place].result()
        first, last = int(places[0]), int(places[-1]) + 1
        # Rows in a row are a view, which keeps pinned memory pinned.
        in_a_row = torch.equal(places, torch.arange(first, last))
        taken = (v[first:last] if in_a_row else v[places] for v in self._values)
        taken = tuple(values.to(held.device, non_blocking=True) for values in taken)
        held.waited += time.perf_counter() - mark
        return self._epoch.finished(*taken, self.rows[rows])


class SharedRanks(Ranks):
    """Ranks of which each takes the samples, by their rising numbers, that it owns."""

    def __init__(self, samples: Tensor, owners: np.ndarray):
        super().__init__()
        self._samples, self._owners = samples, torch.from_numpy(np.asarray(owners))

    def share(self, samples: Tensor) -> Tensor:
        """Return those of the samples that this rank holds, int64 [sample]; it may be empty."""
        if self.count == 1:
            return samples
        owners = self._owners[torch.searchsorted(self._samples, samples)]
        return samples[owners == self.rank]


def sample_bytes(
    gather_shape: Sequence[int], velocity_shape: Sequence[int], gather_type: str
) -> int:
    """Return the bytes of one scaled sample: gathers of ``gather_type`` and velocity."""
    gathers = np.dtype(gather_type).itemsize * int(np.prod(gather_shape))
    return gathers + 4 * int(np.prod(velocity_shape))


def require_own(places: Tensor) -> None:
    """Refuse samples that this process does not hold, for which `Ranks.share` is to blame."""
    if (places < 0).any():
        raise ValueError("a sample of the batch is held by another process")


@contextmanager
def readers(count: int) -> Iterator[ThreadPoolExecutor]:
    """Give threads that read; what they have not begun when a ``with`` block ends is given up."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="reader")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
