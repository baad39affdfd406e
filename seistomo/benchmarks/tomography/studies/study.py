"""What the studies have in common: folder, data, settings on record, limit of time."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from seistomo.benchmarks.machine import describe_machine
from seistomo.benchmarks.store import RUNS
from seistomo.benchmarks.tomography.command import TomographyBenchmark, TomographyOptions
from seistomo.benchmarks.tomography.scores import SCORES
from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.training.device import torch_settings


class Study:
    """A study in its folder, which may be the benchmark's too: data and equal runs are shared.

    Parameters
    ----------
    name
        Of the study: its settings are kept in ``NAME.json``, results in ``study-NAME.*``.
    options
        As for the benchmark.
    own
        What else tells its results from others.

    Raises
    ------
    InputError
        For options that cannot be, or a folder with other settings.
    """

    def __init__(self, name: str, options: TomographyOptions, own: Mapping[str, Any] | None = None):
        self.name, self.options = name, options
        benchmark = TomographyBenchmark(options, studied=True)
        self.base, self.budget, self.device = benchmark.base, benchmark.budget, benchmark.device
        self.folder, self.place = benchmark.folder, benchmark.place
        self.make_data = benchmark.make_data
        self.identity = {**benchmark.identity, **(own or {})}
        self.folder.check_summary(name, self.identity, options.overwrite)

    @property
    def results(self) -> str:
        """Name of the files with the results, without suffix."""
        return f"study-{self.name}"

    def before(self) -> dict[str, Any]:
        """Return what was kept of the study; empty where there is none, or it is made anew."""
        path = self.folder.path / f"{self.name}.json"
        if self.options.overwrite or not path.is_file():
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it") from None

    def keep(self, content: Mapping[str, Any]) -> None:
        """Write what this study is of."""
        self.folder.write_json(self.name, {"settings": self.identity, **content})

    def forget_runs(self, ours: Callable[[str], bool]) -> None:
        """Remove the runs of the variants that ``ours`` tells by their name, with their scores."""
        for run in self._runs():
            name, _, seed = run.rpartition("-s")
            if seed.isdigit() and ours(name):
                self.place.forget(run)

    def machine(self) -> dict[str, Any]:
        """Return what the study runs on, as of `describe_machine`."""
        with torch_settings(self.device, self.options.threads, 0):
            return describe_machine(self.device)

    def counts(self) -> dict[str, int]:
        """Return how many samples each split has."""
        with open_dataset(self.place.data) as data:
            return {name: len(data.indices(name)) for name in ("train", "validation", "test")}

    def _runs(self) -> list[str]:
        """Return the names of all runs in the folder."""
        runs, scores = (self.folder.path / name for name in (RUNS, SCORES))
        there = [path.name for path in runs.glob("*") if path.is_dir()]
        # A run that diverged at once has left nothing but a note.
        noted = [path.stem.removesuffix(".diverged") for path in scores.glob("*.json")]
        return sorted({*there, *noted})
