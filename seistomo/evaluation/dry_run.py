"""Look before you shoot: checks, cost and a sheet of what a simulation would make."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from seistomo.config import Config
from seistomo.dataset.generate import plan_for
from seistomo.dataset.models import ModelSource, models_for
from seistomo.dataset.pipeline import AHEAD_BYTES, Pipeline, on_gpu
from seistomo.dataset.store.schema import SPLITS, split_of, stored_bytes
from seistomo.dataset.unfinished import Plan
from seistomo.device import peak_memory
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.files import free_bytes
from seistomo.progress import duration, warn
from seistomo.simulation import Simulator, Survey, check_simulation

SHEET_MODELS = 16
# What is made for the estimate takes about so long at most, s, after the first model.
REHEARSAL_SECONDS = 20.0


def dry_run(
    config: Config,
    out: str | Path,
    *,
    device: str = "auto",
    velocity: str | Path | None = None,
    shard: str | None = None,
    overwrite: bool = False,
) -> str:
    """Check a simulation, estimate its cost and draw a sheet of it; nothing else is written.

    Arguments are those of `seistomo.dataset.generate.simulate`. Returns readable lines; the sheet
    is beside ``out``, as ``NAME.dry-run.png``: up to 16 models, spread over the samples that would
    be made, with their surveys; the middle shot of the first of them; the wavelet.
    """
    out = Path(out)
    sheet = out.with_name(f"{out.stem}.dry-run.png")
    if sheet.exists() and not overwrite:
        raise InputError(f"--dry-run: {sheet} exists already; give --overwrite")
    if out.exists() and not overwrite:
        warn(f"{out} exists already: to make it takes --resume or --overwrite")
    with models_for(config, velocity) as (config, models):
        plan = plan_for(config, out, shard)
        lines = check_simulation(config)
        rehearsal = rehearse(config, models, plan.samples, device)
        lines += estimate_lines(config, out, plan.samples, rehearsal)
        figure = _sheet(plan, models, rehearsal.gathers)
    return "\n".join([*lines, f"sheet: {figures.save(figure, sheet)}"])


def _sheet(plan: Plan, models: ModelSource, gathers: np.ndarray) -> figures.Figure:
    config, wanted = plan.config, plan.samples
    places = np.linspace(0, len(wanted) - 1, min(SHEET_MODELS, len(wanted))).round().astype(int)
    shown = [wanted[place] for place in places]
    drawn = [models.model(index) for index in shown]
    depth, x = (np.arange(count) * config.velocity.spacing for count in config.velocity.shape)
    return figures.overview_figure(
        np.stack([model.velocity for model in drawn]),
        depth,
        x,
        [f"{index}: {model.family}" for index, model in zip(shown, drawn, strict=True)],
        [vars(Survey.draw(config, config.dataset.seed, index)) for index in shown],
        gathers,
        np.arange(gathers.shape[-1]) * config.survey.time_step,
        [len(gathers) // 2],
        limits=(config.velocity.minimum, config.velocity.maximum),
        wavelet=plan.wavelet,
    )


class Rehearsal(NamedTuple):
    """What making a few samples gave."""

    gathers: np.ndarray  # float32 [source, receiver, time] of the first
    models: int  # made to see what one takes
    seconds: float  # a model
    memory: int  # most that this process has used so far, bytes
    gpu_memory: int | None  # the same of the GPU, None without one
    device: str  # "cpu" or the name of the GPU


def rehearse(config: Config, models: ModelSource, wanted: range, device: str) -> Rehearsal:
    """Shoot over the first model, then make some samples as the simulation does."""
    simulator = Simulator(config, device)
    first = models.model(wanted.start).velocity
    started = time.perf_counter()
    gathers = simulator(first[None], [wanted.start])[0]
    count, seconds = 1, time.perf_counter() - started
    with Pipeline(config, device, models) as pipeline:
        # A call for each worker, so that all are busy to the end, if that does not take too long.
        call = min(
            config.simulation.models_per_call,
            len(wanted) // pipeline.workers,
            int(REHEARSAL_SECONDS / seconds / pipeline.workers),
        )
        if call:
            count = call * pipeline.workers
            works = list(pipeline.work_on((wanted.start, wanted.start + count)))
            started = time.perf_counter()
            for _ in pipeline.run(works):
                pass
            seconds = (time.perf_counter() - started) / count
    gpu = simulator.device if on_gpu(simulator) else None
    return Rehearsal(
        gathers,
        count,
        seconds,
        peak_memory(torch.device("cpu")),
        torch.cuda.max_memory_allocated(gpu) if gpu else None,
        torch.cuda.get_device_name(gpu) if gpu else "cpu",
    )


def estimate_lines(config: Config, out: Path, wanted: range, rehearsal: Rehearsal) -> list[str]:
    """Return what making a data set will take, in words, from what a few of its samples took."""
    size = len(wanted) * stored_bytes(config)
    # Samples that wait to be written.
    memory = f"{(rehearsal.memory + min(AHEAD_BYTES, size)) / 1e9:.1f} GB"
    if rehearsal.gpu_memory is not None:
        memory += f", {rehearsal.gpu_memory / 1e9:.1f} GB on the GPU"
    free = free_bytes(out)
    enough = "" if free >= size else ": not enough"
    return [
        f"samples: {_samples(config, wanted)}",
        f"time: about {duration(len(wanted) * rehearsal.seconds)} on {rehearsal.device} in one"
        f" process ({rehearsal.seconds:.3g} s a model, measured over {rehearsal.models})",
        f"memory: about {memory}, whatever the number of samples",
        f"disk: {size / 1e9:.3g} GB in {config.dataset.storage}; {free / 1e9:.3g} GB are"
        f" free{enough}",
    ]


def _samples(config: Config, wanted: range) -> str:
    splits = split_of(np.arange(wanted.start, wanted.stop), config.dataset.split)
    counts = np.bincount(splits, minlength=len(SPLITS))
    shares = ", ".join(f"{count:,} {name}" for name, count in zip(SPLITS, counts, strict=True))
    total = config.dataset.samples
    if len(wanted) == total:
        return f"{total:,} ({shares})"
    return f"{wanted.start:,} to {wanted.stop - 1:,} of {total:,}, {len(wanted):,} ({shares})"
