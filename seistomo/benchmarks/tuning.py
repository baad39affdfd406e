"""The best learning rate of the paper's set, judged on a validation split."""

from dataclasses import replace

from seistomo.benchmarks.history import RunResult
from seistomo.benchmarks.paper import LEARNING_RATES
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.progress import say


def tune_learning_rate(runner: Runner, settings: RunSettings, label: str) -> tuple[float, str]:
    """Return the learning rate that reaches the highest validation accuracy, and a note on it.

    A run each is trained, as long as the final ones, on all but the last sixth of the training
    images, and judged by those; the test split is not looked at.

    Parameters
    ----------
    runner
        Makes the runs.
    settings
        All but the learning rate.
    label
        What messages call the optimizer.
    """
    jobs = [
        Job(replace(settings, learning_rate=rate), f"{label}, tuning α = {rate:g}", "validation")
        for rate in LEARNING_RATES
    ]
    results = runner.run_all(jobs)
    best = max(range(len(jobs)), key=lambda number: _merit(results[number]))
    rate = LEARNING_RATES[best]
    found = ", ".join(
        f"{job.settings.learning_rate:g}: {result.last.test_accuracy:.2%}"
        for job, result in zip(jobs, results, strict=True)
    )
    seconds = sum(result.last.seconds for result in results)
    note = (
        f"{label}: α = {rate:g} was best of the paper's set on the validation split ({found});"
        f" {len(jobs)} runs, {seconds:.0f} s of optimizer time"
    )
    say(note)
    return rate, note


def _merit(result: RunResult) -> float:
    return -1.0 if result.diverged else result.last.test_accuracy
