"""The pipeline beside a bare deepwave loop over the same shots."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from seistomo.benchmarks.simulate.bench import Bench, changed
from seistomo.benchmarks.simulate.turns import Timing, Variant, seconds_of, spread_of, take_turns
from seistomo.benchmarks.tables import format_table
from seistomo.simulation.bare import BareLoop, BareSettings

# A run takes about so long, s, and makes so many models, unless the samples are given.
RUN_SECONDS = 18.0
FEWEST, MOST = 16, 1024
# Settings of the bare loop that the first round finds so much slower are not tried again.
HOPELESS = 1.4


@dataclass(frozen=True)
class Throughput:
    """What pipeline and bare loop took.

    Attributes
    ----------
    samples
        Models that each run makes.
    settings
        How the bare loop went through its shots.
    search
        The settings tried; those that were soon given up have one time.
    pipeline, bare
        Seconds a model of each.
    outside
        Share of each pipeline's run in which no wave propagates, by its own account.
    """

    samples: int
    settings: BareSettings
    search: Sequence[Timing]
    pipeline: Timing
    bare: Timing
    outside: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """The pipeline's models a second in units of the bare loop's, one number a repeat."""
        return self.bare.ratios(self.pipeline)

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)

    def tables(self) -> str:
        """Return what was found as Markdown."""
        lines = [["", "s/model", "models/s", "throughput / bare"]]
        for timing in (self.pipeline, self.bare):
            relative = self.bare.ratios(timing)
            shown = spread_of(relative, 3) if timing is self.pipeline else "1"
            lines.append(
                [timing.label, spread_of(timing.seconds, 3), f"{1 / timing.median:.3g}", shown]
            )
        outside = spread_of([100 * share for share in self.outside], 1)
        best = min(timing.median for timing in self.search)
        tried = [["bare loop", "s/model", "/ quickest"]]
        for timing in self.search:
            given_up = len(timing.seconds) == 1 and len(self.search) > 1
            ratio = f"{timing.median / best:.2f}" + (", given up" if given_up else "")
            tried.append([timing.label, spread_of(timing.seconds, 3), ratio])
        return (
            f"{format_table(lines)}\n{self.samples} models a run, in turns. The pipeline draws,"
            " shoots, interpolates, stores, merges; by its own account no wave propagates in"
            f" {outside} % of its time. The bare loop calls deepwave ({self.settings}) over the"
            f" same shots with sources and receivers on nodes, and keeps nothing."
            f"\n\nSettings tried for it:\n\n{format_table(tried)}"
        )

    def record(self) -> dict[str, Any]:
        """Return all numbers, for JSON."""
        return {
            "samples": self.samples,
            "pipeline_seconds_a_model": self.pipeline.seconds,
            "bare_seconds_a_model": self.bare.seconds,
            "ratios": self.ratios,
            "ratio": self.ratio,
            "outside_wave_equation": list(self.outside),
            "bare_settings": str(self.settings),
            "search": {timing.label: timing.seconds for timing in self.search},
        }


def measure_throughput(bench: Bench, samples: int | None) -> Throughput:
    """Find the bare loop's best settings, then let it and the pipeline take turns.

    Parameters
    ----------
    bench
        Where.
    samples
        Models a run; None: as many as the bare loop makes in `RUN_SECONDS`.
    """
    search = search_settings(bench, samples)
    settings, quickest = min(search.items(), key=lambda item: item[1].median)
    if samples is None:
        samples = enough_samples(bench, quickest.median)
    config = changed(bench.config, dataset={"samples": samples})
    loop = BareLoop(config, bench.velocity(samples), range(samples), bench.device)
    outside: list[float] = []

    def make() -> float:
        seconds, summary = bench.making(config, bench.folder / "throughput.h5")
        outside.append(max(0.0, 1 - summary.wave_seconds / seconds))
        return seconds

    variants = [
        Variant("seistomo simulate", samples, make),
        Variant("bare deepwave", samples, lambda: seconds_of(lambda: loop.run(settings))),
    ]
    pipeline, bare = take_turns(variants, bench.repeats, "throughput", warm_up=bench.on_gpu)
    return Throughput(
        samples, settings, list(search.values()), pipeline, bare, outside[-bench.repeats :]
    )


def enough_samples(bench: Bench, seconds: float) -> int:
    """Return how many models to make in a run, if one takes so many seconds.

    Whole calls for each thread: a worker that idles at the end of a short run says nothing about
    a long one.
    """
    threads = 1 if bench.on_gpu else torch.get_num_threads()
    together = threads * bench.config.simulation.models_per_call
    samples = min(MOST, max(FEWEST, RUN_SECONDS / seconds))
    return together * max(1, round(samples / together))


def search_settings(bench: Bench, samples: int | None) -> dict[BareSettings, Timing]:
    """Time the bare loop with different settings, those that look hopeless only once."""
    sources = bench.config.survey.sources
    if bench.on_gpu:
        candidates = candidate_settings(sources, 0, bench.most_shots)
    else:
        candidates = candidate_settings(sources, torch.get_num_threads())
    enough = bench.models_for(2.0)
    most = -(-max(c.shots * c.threads for c in candidates) // sources)
    models = min(samples or MOST, max(enough, min(most, 4 * enough)))
    loop = BareLoop(bench.config, bench.velocity(models), range(models), bench.device)

    def variant(settings: BareSettings) -> Variant:
        return Variant(str(settings), models, lambda: seconds_of(lambda: loop.run(settings)))

    variants = {settings: variant(settings) for settings in candidates}
    loop.run(candidates[0])
    first = take_turns(list(variants.values()), 1, "search", warm_up=bench.on_gpu)
    found = dict(zip(candidates, first, strict=True))
    best = min(timing.median for timing in first)
    left = [settings for settings in candidates if found[settings].median < HOPELESS * best]
    more = take_turns([variants[settings] for settings in left], 2, "search", warm_up=False)
    for settings, timing in zip(left, more, strict=True):
        found[settings].seconds.extend(timing.seconds)
    return found


def candidate_settings(
    sources: int, threads: int, most_shots: int | None = None
) -> list[BareSettings]:
    """Return the settings of the bare loop that are worth a try.

    Parameters
    ----------
    sources
        Shots a model.
    threads
        CPU threads; 0 for a GPU.
    most_shots
        Shots that its memory takes; None: any number.
    """
    if not threads:
        counts = [sources * models for models in (1, 4, 16, 64)]
        fitting = [count for count in counts if most_shots is None or count <= most_shots]
        return [BareSettings(1, 1, count) for count in fitting or [most_shots]]
    shots = {max(1, -(-factor * sources // (4 * threads))) for factor in (1, 2, 4, 8, 16)}
    divided = [BareSettings(threads, 1, count) for count in sorted(shots)]
    if threads == 1:
        return divided
    return divided + [BareSettings(1, threads, sources * models) for models in (1, 4)]
