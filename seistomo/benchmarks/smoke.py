"""A minute on 5,000 images that shows whether an optimizer learns at all."""

from dataclasses import replace

from seistomo.benchmarks.mnist_data import SMALL
from seistomo.benchmarks.options import BenchmarkOptions
from seistomo.benchmarks.runner import Job
from seistomo.benchmarks.settings import RunSettings

EPOCHS = 6
BATCH_SIZE = 100
THRESHOLD = 0.90
"""Accuracy on the 1,000 test images to reach: a linear classifier gets 0.88 to 0.89."""


def run_smoke(settings: RunSettings, options: BenchmarkOptions) -> tuple[bool, str]:
    """Train on mnist-5k; return whether the threshold was reached, and a line that says so.

    Parameters
    ----------
    settings
        What to run.
    options
        Where the run is kept and how it is made.
    """
    identity = {"optimizer": settings.optimizer, "pixels": settings.pixels}
    name = f"smoke-{settings.optimizer.rpartition('.')[2]}"
    runner = replace(options, data=options.data or SMALL).runner(name, identity)
    [result] = runner.run_all([Job(settings, f"smoke run, {settings.optimizer}")])
    reached, last = result.last.test_accuracy >= THRESHOLD, result.last
    summary = {
        "settings": {**identity, "data": runner.data.identity},
        "epochs": settings.epochs,
        "data": runner.data.name,
        "threshold": THRESHOLD,
        "reached": reached,
        "test_accuracy": last.test_accuracy,
        "seconds": last.seconds,
        "machine": runner.machine(),
        "command": options.command,
    }
    runner.folder.write_json(name, summary)
    verdict = "reached" if reached else "MISSED"
    return reached, (
        f"{settings.optimizer}: accuracy {last.test_accuracy:.1%} on {runner.data.name} after"
        f" {last.epoch} epochs, {last.seconds:.0f} s; threshold {THRESHOLD:.0%} {verdict}"
    )
