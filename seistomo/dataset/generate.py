"""Draw models, shoot over them and write the data set, so that a kill costs little.

Samples are made by a `Pipeline`, shared out over the processes that torchrun started, and written,
each once, into the `Unfinished` file, which takes its place when all are there.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.config import Config
from seistomo.dataset.models import ModelSource, models_for
from seistomo.dataset.pipeline import Pipeline, Work
from seistomo.dataset.store import schema
from seistomo.dataset.store.writer import RowWriter
from seistomo.dataset.unfinished import Plan, Unfinished, is_being_replaced, wait_for_file
from seistomo.errors import DiskFullError, InputError
from seistomo.files import is_disk_full, require_file
from seistomo.interrupts import interrupts_noted
from seistomo.progress import bar, counted, say, warn
from seistomo.ranks import Processes, restarted
from seistomo.simulation import check_simulation, make_wavelet

# Shards are cut so that each rank gets at least this many, to end at about the same time.
SHARDS_A_RANK = 4


@dataclass(frozen=True)
class SimulationSummary:
    """What a call of `simulate` did; ``str`` gives one line for people."""

    path: Path  # the data set
    samples: int  # in the file
    simulated: int  # by this call, on all ranks
    seconds: float
    wave_seconds: float  # of them in the wave equation, the mean over threads and processes
    shard: str = ""  # "i/n" where the file is part of a data set
    rank: int = 0  # of this process

    def __str__(self) -> str:
        part = f" (shard {self.shard})" if self.shard else ""
        line = f"{self.path}: {counted(self.samples, 'sample')}{part}, {self.simulated} simulated"
        if not self.simulated:
            return line
        share = max(0.0, 1 - self.wave_seconds / self.seconds)
        return (
            f"{line} in {self.seconds:.1f} s, {self.seconds / self.simulated:.3f} s a model,"
            f" {share:.1%} of it outside the wave equation"
        )


def simulate(
    config: Config,
    out: str | Path,
    *,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    velocity: str | Path | None = None,
    shard: str | None = None,
    distributed: bool = False,
) -> SimulationSummary:
    """Make a data set of ``config.dataset.samples`` samples at ``out``.

    Parameters
    ----------
    config
        What to draw, how to shoot, how many samples.
    out
        The HDF5 file to make.
    device
        auto, cpu, cuda or cuda:N.
    resume
        Go on where an interrupted run stopped, or add samples to a finished set.
    overwrite
        Replace an existing set; it stays until the new one is whole.
    velocity
        A velocity file (or data set): sample i is shot over its model i, instead of a drawn one.
    shard
        "i/n": make the i-th of n parts of the set only; `seistomo.dataset.merge` joins them.
    distributed
        Share the work with the other processes that torchrun started; all of them call this.

    Returns
    -------
    SimulationSummary
        When the file is in place, on every rank.

    Raises
    ------
    InputError
        If ``out`` exists, a check fails, the disk is full, a resume or the velocity file does not
        fit, or another rank fails.
    """
    out = Path(out)
    ranks = Processes.from_environment() if distributed else Processes()
    with (
        ranks.together(),
        models_for(config, velocity) as (config, models),
        interrupts_noted(),
    ):
        if velocity is not None and ranks.leads:
            grid, spacing = list(config.velocity.shape), config.velocity.spacing
            say(f"velocity.shape = {grid} and velocity.spacing = {spacing:g}: as in {velocity}")
        plan = plan_for(config, out, shard)
        started, device = time.perf_counter(), str(ranks.device(device, "--device"))
        try:
            if ranks.leads:
                make = Unfinished(plan, **_after_restart(out, resume, overwrite))
                made, wave_seconds = _lead(plan, models, make, ranks, device)
            else:
                made, wave_seconds = _follow(plan, models, ranks, device), 0.0
        except OSError as error:
            if not is_disk_full(error):
                raise
            raise DiskFullError(
                f"{out}: the disk is full; free some space and go on with --resume"
            ) from None
        seconds, number = time.perf_counter() - started, shard.strip() if shard else ""
        return SimulationSummary(
            out, len(plan.samples), made, seconds, wave_seconds, number, ranks.rank
        )


def plan_for(config: Config, out: Path, shard: str | None) -> Plan:
    """Return what is to be made; ``shard`` is "i/n" for the i-th of n parts."""
    # `Unfinished` refuses what is there.
    require_file(out, True)
    numbers = shard_numbers(shard) if shard else None
    samples = samples_of(config, *numbers or (1, 1))
    return Plan(config, out, samples, numbers, make_wavelet(config.survey))


def shard_numbers(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--shard {text}: must be i/n with i from 1 to n, as 3/8")
    return int(found[1]), int(found[2])


def samples_of(config: Config, number: int, count: int) -> range:
    """Return the samples of part ``number`` of ``count``.

    They are whole runs of ``dataset.shard_samples``, next to each other, as evenly many for each
    part as that allows.
    """
    total, each = config.dataset.samples, config.dataset.shard_samples
    blocks = -(-total // each)
    if count > blocks:
        raise InputError(
            f"--shard {number}/{count}: {total} samples are {blocks} shards of"
            f" dataset.shard_samples = {each}, too few for {count} parts; use at most {blocks}"
            f" parts, or dataset.shard_samples = {max(1, total // count)}"
            if count <= total
            else f"--shard {number}/{count}: there are only {total} samples (dataset.samples)"
        )
    first, last = (part * blocks // count for part in (number - 1, number))
    return range(first * each, min(last * each, total))


def _lead(
    plan: Plan, models: ModelSource, unfinished: Unfinished, ranks: Processes, device: str
) -> tuple[int, float]:
    """Prepare, make samples with the others, finish the file; return how many and wave seconds."""
    config = plan.config
    for line in check_simulation(config):
        say(line)
    _warn_of_empty_splits(config)
    with unfinished:
        gaps = unfinished.prepare(models)
        todo = sum(stop - start for start, stop in gaps)
        share = -(-todo // (SHARDS_A_RANK * ranks.count)) if ranks.count > 1 else todo
        size = max(1, min(config.dataset.shard_samples, share))
        shards = [
            (first, min(first + size, stop))
            for start, stop in gaps
            for first in range(start, stop, size)
        ]
        ranks.shared(lambda: {"terms": _terms(plan, device), "shards": shards})
        total, waves = len(plan.samples), []
        with bar(
            total=total, initial=total - todo, description="simulate", unit="model"
        ) as progress:

            def follow() -> None:
                progress.update(total - todo + ranks.add("samples", 0) - progress.n)
                waves.extend(ranks.told())

            _make(plan, models, shards, unfinished.path, ranks, device, follow)
            follow()
            while len(waves) < ranks.count:
                ranks.wait()
                follow()
        if not unfinished.finished:
            unfinished.complete()
    return todo, sum(waves) / len(waves)


def _follow(plan: Plan, models: ModelSource, ranks: Processes, device: str) -> int:
    """Make samples as rank 0 says; return how many all ranks make."""
    shared = ranks.shared(dict)
    for key, value in _terms(plan, device).items():
        if shared["terms"].get(key) != value:
            raise InputError(
                f"{key} = {value!r}, but rank 0 has {shared['terms'].get(key)!r}; give all ranks"
                " the same command and files"
            )
    shards = shared["shards"]
    path = wait_for_file(plan.out) if shards else plan.out
    _make(plan, models, shards, path, ranks, device, ranks.require_all_well)
    return sum(stop - start for start, stop in shards)


def _make(
    plan: Plan,
    models: ModelSource,
    shards: Sequence[tuple[int, int]],
    path: Path,
    ranks: Processes,
    device: str,
    step: Callable[[], None],
) -> None:
    """Make shards until all are made or in other ranks' hands; ``step`` after each call."""
    wave_seconds = 0.0
    if shards:
        with (
            Pipeline(plan.config, device, models) as pipeline,
            RowWriter(path, shared=ranks.local_count < ranks.count) as writer,
        ):

            def claimed() -> Iterator[Work]:
                while (number := ranks.add("shards") - 1) < len(shards):
                    yield from pipeline.work_on(shards[number])

            for work, samples in pipeline.run(claimed()):
                writer.write(work.indices.start - plan.samples.start, samples)
                if work.indices.stop == work.shard[1]:
                    writer.flush()
                ranks.add("samples", len(samples))
                step()
            wave_seconds = pipeline.wave_seconds
    ranks.tell(wave_seconds)


def _terms(plan: Plan, device: str) -> dict[str, Any]:
    """Return what all ranks must agree about, JSON-able."""
    number, count = plan.shard or (1, 1)
    return {
        **schema.data_settings(plan.config),
        "dataset.samples": plan.config.dataset.samples,
        "--shard": f"{number}/{count}",
        "--device": device.partition(":")[0],
    }


def _after_restart(out: Path, resume: bool, overwrite: bool) -> dict[str, bool]:
    """Return how to deal with what is there: after a restart by torchrun, go on with it."""
    if restarted() and (is_being_replaced(out) or not os.path.lexists(out)):
        return {"resume": True, "overwrite": False}
    return {"resume": resume, "overwrite": overwrite}


def _warn_of_empty_splits(config: Config) -> None:
    shares, samples = config.dataset.split, config.dataset.samples
    counts = np.bincount(schema.split_of(np.arange(samples), shares), minlength=3)
    empty = [
        name
        for name, share, count in zip(schema.SPLITS, shares, counts, strict=True)
        if share and not count
    ]
    if empty:
        warn(
            f"dataset.samples = {samples}: too few for dataset.split = {list(shares)}, no"
            f" {' and no '.join(empty)} samples; {sum(shares)} give every split its share"
        )
