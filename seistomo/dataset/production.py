"""One rank's share of a data set: the shards that nobody else makes."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from seistomo.dataset.assembly import Assembly
from seistomo.dataset.models import ModelSource
from seistomo.dataset.order import Order
from seistomo.dataset.pipeline import Pipeline, Work
from seistomo.dataset.ranks import Ranks
from seistomo.dataset.store import DatasetWriter, Part
from seistomo.dataset.workshop import SEEN_AFTER, Workshop
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.progress import bar

Range = tuple[int, int]
StoredSample = dict[str, Any]


@dataclass
class Production:
    """Makes shards; on rank 0 also follows the others and hands their shards on.

    Attributes
    ----------
    order
        What is made.
    models
        Where the velocity models come from.
    device
        Name of the device.
    ranks
        The processes that share the work.
    workshop
        Where shards belong.
    wave_seconds
        Time in which the wave equation was being solved, the ranks' mean, s; on rank 0.
    """

    order: Order
    models: ModelSource
    device: str
    ranks: Ranks
    workshop: Workshop
    wave_seconds: float = 0.0

    def lead(self, shards: Sequence[Range], assembly: Assembly) -> None:
        """Make shards with the others; return when all are made and handed on."""
        wanted = len(self.order.wanted)
        missing = sum(stop - start for start, stop in shards)
        self._unseen, self._working = set(shards), self.ranks.count
        with bar(
            total=wanted, initial=wanted - missing, description="simulate", unit="model"
        ) as progress:

            def follow() -> None:
                done = wanted - missing + self.ranks.count_samples()
                progress.update(done - progress.n)
                self._take_in(assembly)

            self._make(shards, follow)
            while self._working or self._unseen:
                self.ranks.wait()
                follow()
        self.wave_seconds /= self.ranks.count

    def follow(self, shards: Sequence[Range]) -> None:
        """Make shards with the others; return when none is left to begin."""
        self._make(shards, self.ranks.require_all_well)

    def _make(self, shards: Sequence[Range], step: Callable[[], None]) -> None:
        """Make shards until all are made or in other ranks' hands; ``step`` after each call."""
        wave_seconds = 0.0
        if shards:
            with Pipeline(self.order.config, self.device, self.models) as pipeline:
                made = pipeline.run(self._claimed(pipeline, shards))
                for first in made:
                    self._write_shard(first, made, step)
                wave_seconds = pipeline.wave_seconds
        self.ranks.announce({"rank": self.ranks.rank, "wave_seconds": wave_seconds})

    def _write_shard(
        self,
        made: tuple[Work, list[StoredSample]],
        more: Iterator[tuple[Work, list[StoredSample]]],
        step: Callable[[], None],
    ) -> None:
        """Write the shard that begins with ``made``, as soon as the rest of it comes."""
        order = self.order
        start, stop = made[0].shard
        with (
            written_whole(self.workshop.shard_path(start, stop)) as temporary,
            DatasetWriter(
                temporary, order.config, stop - start, order.wavelet, shard=order.shard_numbers
            ) as writer,
        ):
            while True:
                work, samples = made
                for values in samples:
                    writer.append_stored(values)
                self.ranks.count_samples(len(samples))
                step()
                if work.indices.stop == stop:
                    break
                made = next(more)
        self.ranks.announce({"rank": self.ranks.rank, "shard": [start, stop]})

    def _claimed(self, pipeline: Pipeline, shards: Sequence[Range]) -> Iterator[Work]:
        while (number := self.ranks.next_number()) < len(shards):
            yield from pipeline.work_on(shards[number])

    def _take_in(self, assembly: Assembly) -> None:
        """Hand on the shards that have become whole."""
        for item in self.ranks.announced():
            if "shard" not in item:
                self._working -= 1
                self.wave_seconds += item["wave_seconds"]
                continue
            start, stop = item["shard"]
            path = self.workshop.shard_path(start, stop)
            deadline = time.monotonic() + SEEN_AFTER
            while not path.exists():
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{path}: rank {item['rank']} has written it, but rank 0 does not see it;"
                        " --out must be in a folder that all machines share"
                    )
                self.ranks.wait()
            self._unseen.discard((start, stop))
            assembly.add(Part(path, start, stop - start, self.order.config, self.order.wavelet, {}))
