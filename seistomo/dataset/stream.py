"""New samples of a data set's kind, made in a process of their own while training goes on."""

import multiprocessing
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch

from seistomo.config import Config
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError

# Numbers of samples that a seed of training has for itself. No data set, however it grows, gets to
# the first of them: dataset.samples is at most 10⁹.
SEED_SAMPLES = 2**40
# Seeds further apart than this have the same numbers: all are to fit into 63 bits.
SEEDS = 2**22
# Most that a sample made anew may differ from the stored one, as a share of its norm: between a CPU
# and a GPU 1e-4 at most, between other models or wavelets everything.
TOLERANCE = 1e-2


def first_number(seed: int) -> int:
    """Return the number of the first streamed sample of a seed of training."""
    return (1 + seed % SEEDS) * SEED_SAMPLES


class SampleStream:
    """Samples as a data set's configuration has them, as they are stored; close it at the end.

    Its process works a few calls ahead of who takes them.

    Parameters
    ----------
    data
        The data set. One of its samples is made anew and compared: else what it holds cannot be
        drawn and shot as its configuration says.
    numbers
        Of the samples to make, in this order.
    device
        Where the wave equation is solved.
    threads
        How many threads simulate on a CPU.
    """

    def __init__(self, data: DatasetReader, numbers: range, device: torch.device, threads: int):
        own = np.flatnonzero(data.seeds(range(data.samples))[:, 0] == data.config.dataset.seed)
        if data.config.velocity.imported is not None or not len(own):
            raise _not_drawn(data)
        row = int(own[0])
        known = int(data.sample_indices[row])
        context = multiprocessing.get_context("forkserver")
        self._source, target = context.Pipe(duplex=False)
        works = [range(known, known + 1), numbers]
        arguments = target, data.config, str(device), threads, works
        self._process = context.Process(target=_simulate, args=arguments)
        self._process.start()
        target.close()
        self._data, self._row = data, row

    def take(self) -> dict[str, Any]:
        """Return the next sample, as the data set would store it, its gathers in float32."""
        if self._row is not None:
            row, self._row = self._row, None
            sample, data = self._taken(), self._data
            for name, stored in (
                ("velocity", data.read_velocity([row])[0]),
                ("gathers", data.read_gathers([row])[0]),
            ):
                if not np.linalg.norm(sample[name] - stored) <= TOLERANCE * np.linalg.norm(stored):
                    raise _not_drawn(data)
        return self._taken()

    def _taken(self) -> dict[str, Any]:
        try:
            sample = self._source.recv()
        except (EOFError, OSError):
            raise InputError(
                "simulating new models: the process died; is there enough memory?"
            ) from None
        if isinstance(sample, Exception):
            raise sample
        if "gathers_scale" in sample:
            sample["gathers"] = sample["gathers"].astype(np.float32) * sample["gathers_scale"]
        return sample

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()


def _not_drawn(data: DatasetReader) -> InputError:
    return InputError(
        f"training.stream_uses: the samples of {data.path} are not what its configuration draws and"
        " shoots (models or gathers of your own, another wavelet file or version): there are no new"
        " ones; leave it out"
    )


def _simulate(
    target: Connection, config: Config, device: str, threads: int, works: Sequence[range]
) -> None:
    """Make samples and send them: what the process does."""
    # In this process alone: training does without the wave equation.
    from seistomo.dataset.models import DrawnModels, end_with_parent
    from seistomo.dataset.pipeline import Pipeline, Work

    end_with_parent()
    # Threads that train wait for each other: one core taken from them holds up all.
    os.nice(10)
    torch.set_num_threads(threads)
    # On a CPU small calls cost little, and all workers are busy at once.
    size = config.simulation.models_per_call if device.startswith("cuda") else 1
    calls = (
        Work(numbers[i : i + size], (0, 0))
        for numbers in works
        for i in range(0, len(numbers), size)
    )
    try:
        with Pipeline(config, device, DrawnModels(config)) as pipeline:
            for _, samples in pipeline.run(calls):
                for sample in samples:
                    target.send(sample)
    except Exception as error:
        target.send(error)
