"""Draw models, shoot over them and write the data set, shard by shard, so that a kill costs little.

When all shards are there (see `workshop`) they are merged in one atomic step and removed.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seistomo.config import Config
from seistomo.dataset.store import (
    DatasetWriter,
    Sample,
    merge,
)
from seistomo.dataset.store import schema as store_schema
from seistomo.dataset.workshop import Workshop
from seistomo.errors import InputError
from seistomo.files import require_space, written_whole
from seistomo.progress import bar, say, warn
from seistomo.simulation import Simulator, Survey, check_simulation, make_wavelet
from seistomo.velocity import draw_model


@dataclass(frozen=True)
class SimulationSummary:
    """What a call of `simulate` did.

    Attributes
    ----------
    path
        The data set.
    samples, simulated
        Samples in the set, and how many of them this call made.
    seconds
        Time spent making them.
    wave_seconds
        Part of it in the wave equation.
    """

    path: Path
    samples: int
    simulated: int
    seconds: float
    wave_seconds: float

    def __str__(self) -> str:
        """Return one line for people."""
        line = f"{self.path}: {self.samples} samples, {self.simulated} simulated"
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

    Raises
    ------
    InputError
        If ``out`` exists, a check fails, the disk is full or a resume does not fit.
    """
    out = Path(out)
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; give the name of an HDF5 file")
    for line in check_simulation(config):
        say(line)
    _warn_of_empty_splits(config)
    started = time.perf_counter()
    with Workshop(out, resume=resume, overwrite=overwrite) as workshop:
        wave_seconds = 0.0
        missing = workshop.missing_ranges(config)
        todo = sum(stop - start for start, stop in missing)
        if not workshop.is_finished(config):
            # Once for the shards, once more for the merged file.
            require_space(out, stored_bytes(config) * (todo + config.dataset.samples))
            wave_seconds = _make_shards(config, workshop.folder, missing, device)
            parts = workshop.finished_parts(config)
            merge([part.path for part in parts], out, overwrite=True)
        workshop.remove()
    seconds = time.perf_counter() - started
    return SimulationSummary(out, config.dataset.samples, todo, seconds, wave_seconds)


def stored_bytes(config: Config) -> int:
    """Return the bytes that one sample takes in the data set."""
    survey, (depth, x) = config.survey, config.velocity.shape
    each = 2 if config.dataset.storage == "float16" else 4
    traces = survey.sources * survey.receivers
    return traces * (survey.time_samples * each + 1) + depth * x * 5 + 4096


def _warn_of_empty_splits(config: Config) -> None:
    shares, samples = config.dataset.split, config.dataset.samples
    counts = np.bincount(store_schema.split_of(np.arange(samples), shares), minlength=3)
    empty = [
        name
        for name, share, count in zip(store_schema.SPLITS, shares, counts, strict=True)
        if share and not count
    ]
    if empty:
        warn(
            f"dataset.samples = {samples}: too few for dataset.split = {list(shares)}, no"
            f" {' and no '.join(empty)} samples; {sum(shares)} give every split its share"
        )


def draw_samples(
    config: Config, indices: range, simulator: Simulator
) -> Iterator[tuple[Sample, ...]]:
    """Yield samples in groups that share one call of the simulator."""
    group = config.simulation.models_per_call
    for start in range(indices.start, indices.stop, group):
        yield _draw_group(config, range(start, min(start + group, indices.stop)), simulator)


def _draw_group(config: Config, indices: range, simulator: Simulator) -> tuple[Sample, ...]:
    seed = config.dataset.seed
    models = [draw_model(config.velocity, seed, index) for index in indices]
    surveys = [Survey.draw(config, seed, index) for index in indices]
    gathers = simulator(np.stack([model.velocity for model in models]), list(indices))
    splits = store_schema.split_of(np.asarray(indices), config.dataset.split)
    return tuple(
        Sample(
            velocity=model.velocity,
            gathers=gathers[place],
            salt_mask=model.salt_mask,
            dead_trace=survey.dead_trace,
            source_x=survey.source_x,
            source_depth=survey.source_depth,
            receiver_x=survey.receiver_x,
            receiver_depth=survey.receiver_depth,
            index=indices[place],
            seed=seed,
            split=int(splits[place]),
            family=model.family,
            parameters=model.parameters,
        )
        for place, (model, survey) in enumerate(zip(models, surveys, strict=True))
    )


def _make_shards(
    config: Config, folder: Path, missing: list[tuple[int, int]], device: str
) -> float:
    """Make the shards that are missing; return the seconds in the wave equation."""
    if not missing:
        return 0.0
    total = config.dataset.samples
    todo = sum(stop - start for start, stop in missing)
    simulator = Simulator(config, device)
    wavelet = make_wavelet(config.survey)
    with bar(total=total, initial=total - todo, description="simulate", unit="model") as progress:
        for start, stop in missing:
            path = folder / f"shard-{start:08d}-{stop:08d}.h5"
            with (
                written_whole(path) as temporary,
                DatasetWriter(temporary, config, stop - start, wavelet) as writer,
            ):
                for group in draw_samples(config, range(start, stop), simulator):
                    for sample in group:
                        writer.append(sample)
                    progress.update(len(group))
    return simulator.wave_seconds
