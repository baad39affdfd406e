"""Models drawn ahead and gathers packed behind, while the wave equation runs.

Workers, threads of this process, each take a few samples from model to packed gathers; nearly all
of that is outside Python's lock. On a CPU there are as many workers as threads of torch, and each
solves the wave equation with one thread: nobody waits for anybody, and what is done beside it costs
its own processor time alone. On a GPU the workers share the device: while it computes for one, the
others copy and pack, and models are drawn in other processes, for drawing holds Python's lock.
Whoever asks for the results writes them, in order.
"""

import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from seistomo.config import Config
from seistomo.dataset.models import DrawnModels, ModelSource, end_with_parent
from seistomo.dataset.store.schema import split_of, stored_bytes
from seistomo.dataset.store.writer import pack_sample
from seistomo.errors import InputError
from seistomo.interrupts import interrupts_held, raise_if_interrupted
from seistomo.progress import say
from seistomo.simulation import Simulator, Survey
from seistomo.velocity import VelocityModel, draw_model

# Workers that share a GPU, and processes that draw models for them.
GPU_WORKERS = 4
# Samples that wait to be written take at most this much memory, or two calls' worth a worker.
AHEAD_BYTES = 2**28
# Seconds between two looks at whether Ctrl-C was pressed.
POLL = 0.1
# After an interrupt, say what is waited for if it takes longer than this, s.
PATIENCE = 1.0


class Work(NamedTuple):
    """Samples that share one call of the simulator."""

    indices: range
    shard: tuple[int, int]  # first and last + 1 sample of what is written together


class Pipeline:
    """Makes samples, several calls of the simulator at a time; use it as a context manager."""

    def __init__(self, config: Config, device: str, models: ModelSource) -> None:
        self._config = config
        self._simulator = Simulator(config, device)
        self._on_gpu = on_gpu(self._simulator)
        self._threads = torch.get_num_threads()
        self.workers = GPU_WORKERS if self._on_gpu else self._threads
        self._models = models
        self._drawing: ProcessPoolExecutor | None = None
        if self._on_gpu and isinstance(models, DrawnModels):
            self._drawing = ProcessPoolExecutor(
                GPU_WORKERS, multiprocessing.get_context("spawn"), end_with_parent
            )
        self._pool = ThreadPoolExecutor(self.workers, "samples")
        self._memory = threading.local()
        self._pending: deque[tuple[Work, Future]] = deque()

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        # Calls that are under way cannot be broken off: another Ctrl-C waits for them too.
        with interrupts_held():
            self._pool.shutdown(wait=False, cancel_futures=True)
            deadline = time.monotonic() + PATIENCE
            for _, future in self._pending:
                while not future.done() and time.monotonic() < deadline:
                    time.sleep(0.01)
            if any(not future.done() for _, future in self._pending):
                say("stopping: the shots in hand come to their end first")
            self._pool.shutdown(wait=True)
            if self._drawing is not None:
                self._drawing.shutdown(cancel_futures=True)
            # The threads' own setting reaches the linear algebra library of the whole process.
            torch.set_num_threads(self._threads)

    @property
    def wave_seconds(self) -> float:
        """Time in which the wave equation was being solved, s: on a CPU, the workers' mean."""
        return self._simulator.wave_seconds / (1 if self._on_gpu else self.workers)

    def work_on(self, shard: tuple[int, int]) -> Iterator[Work]:
        """Yield the samples of a shard in groups that share one call of the simulator."""
        first, stop = shard
        # At least so many calls are still to come after the next one, where that is possible: on a
        # CPU, where small calls cost little, so many that the workers end at nearly the same time.
        calls = self.workers if self._on_gpu else 4 * self.workers
        while first < stop:
            share = -(-(stop - first) // calls)
            last = first + min(self._config.simulation.models_per_call, share)
            yield Work(range(first, last), shard)
            first = last

    def run(self, works: Iterable[Work]) -> Iterator[tuple[Work, list[dict[str, Any]]]]:
        """Yield each work with its samples as they are stored, in the order of ``works``.

        Works ahead of the consumer, a bounded way; ``works`` is asked for more as room comes.
        """
        works, ahead = iter(works), self._calls_ahead()
        while True:
            while len(self._pending) < ahead and (work := next(works, None)) is not None:
                self._pending.append((work, self._pool.submit(self._make, work.indices)))
            if not self._pending:
                return
            work, future = self._pending[0]
            while not future.done():
                wait([future], POLL)
                raise_if_interrupted()
            samples = future.result()
            self._pending.popleft()
            yield work, samples
            raise_if_interrupted()

    def _calls_ahead(self) -> int:
        """Return how many calls may be begun and not yet written."""
        least = 2 * self.workers
        if not self._on_gpu:
            return least
        # Calls are short there: more of them bridge the time in which a file is flushed to disk.
        call = stored_bytes(self._config) * self._config.simulation.models_per_call
        return max(least, AHEAD_BYTES // call)

    def _make(self, indices: range) -> list[dict[str, Any]]:
        """Draw, shoot and pack some samples: what a worker does."""
        # Of this thread: the simulator and torch then start no threads of their own.
        torch.set_num_threads(1)
        config, seed = self._config, self._config.dataset.seed
        models = self._draw(indices)
        velocity = np.stack([model.velocity for model in models])
        gathers = self._simulator(velocity, list(indices), self._memory_for(len(models)))
        self._memory.gathers = gathers
        splits = split_of(np.asarray(indices), config.dataset.split)
        return [
            pack_sample(
                config,
                **vars(model),
                **vars(Survey.draw(config, seed, index)),
                gathers=gather,
                index=index,
                seed=seed,
                split=split,
            )
            for index, model, gather, split in zip(indices, models, gathers, splits, strict=True)
        ]

    def _draw(self, indices: range) -> list[VelocityModel]:
        if self._drawing is None:
            return [self._models.model(index) for index in indices]
        draw = partial(draw_model, self._models.config, self._models.seed)
        try:
            return list(self._drawing.map(draw, indices, chunksize=len(indices)))
        except BrokenExecutor:
            raise InputError("drawing models: a process died; is there enough memory?") from None

    def _memory_for(self, models: int) -> np.ndarray | None:
        """Return this worker's memory of the last call, where it can be used again."""
        last = getattr(self._memory, "gathers", None)
        # Stored as they are, gathers wait there to be written.
        if last is None or len(last) < models or self._config.dataset.storage == "float32":
            return None
        return last[:models]


def on_gpu(simulator: Simulator) -> bool:
    return simulator.device.type == "cuda"
