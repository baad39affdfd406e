"""Several settings, each run with the same seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings


def run_variants(
    runner: Runner, variants: Mapping[str, RunSettings], seeds: Sequence[int]
) -> dict[str, list[RunResult]]:
    """Return the results of every variant, a run a seed; seed after seed, all variants.

    Parameters
    ----------
    runner
        Makes the runs.
    variants
        Settings by name, whatever their seed.
    seeds
        Seeds of start weights and batches.
    """
    results: dict[str, list[RunResult]] = {name: [] for name in variants}
    for number, seed in enumerate(seeds, start=1):
        jobs = [
            Job(replace(settings, seed=seed), f"{name}, {number}/{len(seeds)}")
            for name, settings in variants.items()
        ]
        for name, result in zip(variants, runner.run_all(jobs), strict=True):
            results[name].append(result)
    return results
