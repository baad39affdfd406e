"""Draw models, shoot over them and write the data set, shard by shard, so that a kill costs little.

Samples are made by a `Pipeline`, shared out over `Ranks`, kept as shards in a `Workshop`, and
joined by an `Assembly` while the next ones are made; when all are there the file moves into place
and the shards go.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seistomo.config import Config
from seistomo.dataset.assembly import Assembly
from seistomo.dataset.models import models_for
from seistomo.dataset.order import Order
from seistomo.dataset.production import Production
from seistomo.dataset.ranks import Ranks
from seistomo.dataset.shard import Shard
from seistomo.dataset.store import schema
from seistomo.dataset.store.parts import missing_ranges
from seistomo.dataset.workshop import Workshop, cut
from seistomo.errors import InputError
from seistomo.files import require_space
from seistomo.interrupts import interrupts_noted
from seistomo.progress import counted, say, warn
from seistomo.simulation import check_simulation

# Shards are cut so that each rank gets at least this many, to end at about the same time.
SHARDS_A_RANK = 4


@dataclass(frozen=True)
class SimulationSummary:
    """What a call of `simulate` did.

    Attributes
    ----------
    path
        The data set.
    samples, simulated
        Samples in the file, and how many of them this call made, on all ranks.
    seconds
        Time spent making them.
    wave_seconds
        Part of it in the wave equation: the mean over the threads and processes at work.
    shard
        Which part of a data set the file is, "i/n"; empty for a whole one.
    rank
        Number of this process among those that shared the work.
    """

    path: Path
    samples: int
    simulated: int
    seconds: float
    wave_seconds: float
    shard: str = ""
    rank: int = 0

    def __str__(self) -> str:
        """Return one line for people."""
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
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; give the name of an HDF5 file")
    ranks = Ranks.from_environment() if distributed else Ranks()
    with (
        ranks.together(),
        models_for(config, velocity) as (config, models),
        interrupts_noted(),
    ):
        if velocity is not None and ranks.leads:
            grid, spacing = list(config.velocity.shape), config.velocity.spacing
            say(f"velocity.shape = {grid} and velocity.spacing = {spacing:g}: as in {velocity}")
        order = Order(config, out, Shard.parse(shard) if shard else None)
        workshop = Workshop(out, **_after_restart(out, resume, overwrite))
        production = Production(order, models, ranks.device(device), ranks, workshop)
        return (_lead if ranks.leads else _follow)(order, production)


def _lead(order: Order, production: Production) -> SimulationSummary:
    """Prepare, make shards with the others, join all."""
    config, wanted, ranks = order.config, order.wanted, production.ranks
    for line in check_simulation(config):
        say(line)
    _warn_of_empty_splits(config)
    started = time.perf_counter()
    with production.workshop as workshop:
        parts = workshop.finished_parts(config, wanted, order.wavelet)
        gaps = missing_ranges(parts, wanted)
        todo = sum(stop - start for start, stop in gaps)
        share = -(-todo // (SHARDS_A_RANK * ranks.count)) if ranks.count > 1 else todo
        shards = cut(gaps, max(1, min(config.dataset.shard_samples, share)))
        finished = workshop.is_finished(wanted)
        if not finished:
            # Once for the shards, once more for the merged file.
            require_space(order.out, schema.stored_bytes(config) * (todo + len(wanted)))
        terms = order.terms(production.device)
        ranks.share(lambda: {"terms": terms, "shards": shards})
        if not finished:
            with Assembly(order.out, config, wanted, parts, order.shard_numbers) as assembly:
                production.lead(shards, assembly)
                assembly.finish()
        workshop.remove()
    return SimulationSummary(
        order.out,
        len(wanted),
        todo,
        time.perf_counter() - started,
        production.wave_seconds,
        str(order.shard or ""),
    )


def _follow(order: Order, production: Production) -> SimulationSummary:
    """Make shards as rank 0 says."""
    started, ranks = time.perf_counter(), production.ranks
    plan = ranks.share(dict)
    order.require_same_terms(plan["terms"], production.device, ranks)
    shards = [(start, stop) for start, stop in plan["shards"]]
    if shards:
        production.workshop.require_shared()
    production.follow(shards)
    return SimulationSummary(
        order.out,
        len(order.wanted),
        sum(stop - start for start, stop in shards),
        time.perf_counter() - started,
        0.0,
        str(order.shard or ""),
        ranks.rank,
    )


def _after_restart(out: Path, resume: bool, overwrite: bool) -> dict[str, bool]:
    """Return how to deal with what is there: after a restart by torchrun, go on with it."""
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    old = Workshop.holds_old_set(out) if overwrite else os.path.lexists(out)
    if restarted and not old:
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
