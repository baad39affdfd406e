"""Training samples that are simulated while training goes on, used a few times and forgotten.

The samples of an epoch are those of a window of numbers that moves on from epoch to epoch, by its
length over ``training.stream_uses``: each sample is there for so many epochs, those of the first
window apart, which are replaced one part after the other. What an epoch trains on depends on the
data set, the seed and the epoch alone; a run that is resumed makes the samples of its epoch again.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import torch

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.dataset.stream import SampleStream, first_number
from seistomo.errors import InputError
from seistomo.progress import bar, counted, say
from seistomo.ranks import Processes
from seistomo.training.data import GatherEpoch, GatherSamples, Rows
from seistomo.training.scaling import Normalization, training_rows

GIB = 2**30
# Seconds between two looks at whether Ctrl-C was pressed, or another process has ended.
POLL = 0.1


def window_length(settings: TrainingConfig, stored: int) -> int:
    """Return the samples of an epoch: ``batches_per_epoch``, or as many as are stored."""
    return settings.batch_size * (settings.batches_per_epoch or 0) or stored


def ring_length(window: int, uses: int) -> int:
    """Return how many samples are kept: those of an epoch, and what is new in the next one."""
    return window + -(-window // uses)


class StreamedSamples(GatherSamples):
    """The samples to train on, of which each process makes its own; close it at the end.

    They are kept in a ring that holds a window and what will be new in the next one.
    """

    def __init__(
        self,
        data: DatasetReader,
        normalization: Normalization,
        processes: Processes,
        memory: dict[str, int],
        settings: TrainingConfig,
        sees_positions: bool = False,
    ):
        self._length = window_length(settings, len(training_rows(data, settings)))
        window = self._window(settings, 0)
        super().__init__(data, window, normalization, processes, memory, settings, sees_positions)
        self.ways = (processes.count > 1,)
        self.seen = 0  # different samples up to the epoch in hand
        self._stream: SampleStream | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._arriving: Future | None = None

    def _window(self, settings: TrainingConfig, epoch: int) -> Rows:
        """Return the numbers of an epoch's samples."""
        start = first_number(settings.seed) + epoch * self._length // settings.stream_uses
        return np.arange(start, start + self._length)

    def slots(self, owned: bool) -> int:
        ring = ring_length(self._length, self.settings.stream_uses)
        return -(-ring // self.processes.count)

    def to(self, device: torch.device) -> "StreamedSamples":
        super().to(device)
        if self.kept is None:
            raise InputError(
                f"training.stream_uses = {self.settings.stream_uses}: {len(self)} samples and the"
                f" next new ones take {self.needed_bytes() / GIB:.3g} GiB, more than there is"
                " (training.cache_memory); use fewer training.batches_per_epoch or"
                ' training.gather_type = "float16"'
            )
        return self

    def _fill(self) -> None:
        """Leave the room empty: samples come epoch by epoch."""
        shapes = self.data.config.survey.positions(1.0)
        self._surveys = {name: np.empty((self.slots(True), len(x))) for name, x in shapes.items()}

    def _say_where(self) -> None:
        super()._say_where()
        say(f"each of them is a new one, used in {counted(self.settings.stream_uses, 'epoch')}")

    @property
    def owners(self) -> Rows:
        return self.indices % self.processes.count

    def places(self, rows: Rows) -> Rows:
        numbers = self.indices[rows]
        return np.where(self.owners[rows] == self.processes.rank, self._slot(numbers), -1)

    def epoch(self, number: int, groups: Sequence[Rows]) -> GatherEpoch:
        """Return an epoch when its samples are there; those of the next are made meanwhile."""
        settings, window = self.settings, self._window(self.settings, number)
        first, stop = int(window[0]), int(window[-1]) + 1
        begins = self._stream is None
        if begins:
            last = int(self._window(settings, settings.epochs - 1)[-1]) + 1
            # As many threads as this process trains with.
            numbers, threads = self._own(first, last), torch.get_num_threads()
            self._stream = SampleStream(self.data, numbers, self.device, threads)
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="stream")
            self._ask_for(first, stop)
        mark = time.perf_counter()
        self._wait()
        if not begins:
            self.waited += time.perf_counter() - mark
        if number + 1 < settings.epochs:
            after = int(self._window(settings, number + 1)[-1]) + 1
            self._ask_for(stop, after)
        self.indices, self.seen = window, stop - first_number(settings.seed)
        return super().epoch(number, groups)

    def close(self) -> None:
        """Simulate no more."""
        if self._stream is not None:
            self._stream.close()
            self._thread.shutdown()
            say(f"seen {self.seen:,} models")

    def _ask_for(self, first: int, stop: int) -> None:
        numbers = self._own(first, stop)
        self._asked, self._arrived = len(numbers), 0
        self._arriving = self._thread.submit(self._receive, numbers)

    def _wait(self) -> None:
        with bar(total=self._asked, description="simulating", unit="model", leave=False) as shown:
            while not self._arriving.done():
                wait([self._arriving], POLL)
                self.processes.require_all_well()
                shown.update(self._arrived - shown.n)
        self._arriving.result()

    def _own(self, first: int, stop: int) -> range:
        """Return those of the numbers that this process makes."""
        count = self.processes.count
        return range(first + (self.processes.rank - first) % count, stop, count)

    def _slot(self, samples: int | Rows) -> int | Rows:
        return samples // self.processes.count % self.slots(True)

    def _receive(self, numbers: range) -> None:
        """Take up new samples: what a thread does while the main one trains."""
        for number in numbers:
            sample, slot = self._stream.take(), self._slot(number)
            for name, positions in self._surveys.items():
                positions[slot] = sample[name]
            kept = (values[slot] for values in self.kept)
            self._put([number], sample["gathers"][None], sample["velocity"], *kept)
            self._arrived += 1
