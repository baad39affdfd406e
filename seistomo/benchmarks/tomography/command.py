"""The command ``seistomo benchmark tomography``: data, runs, table and figures, again and again."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seistomo.benchmarks.machine import describe_machine
from seistomo.benchmarks.operations import count_operations
from seistomo.benchmarks.store import RUNS, BenchmarkFolder
from seistomo.benchmarks.tomography.budget import Budget, TimeIsUpError
from seistomo.benchmarks.tomography.examples import validation_loss
from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.page import About, write_results
from seistomo.benchmarks.tomography.rounds import run_in_rounds
from seistomo.benchmarks.tomography.rows import DEFAULT, rows_for
from seistomo.benchmarks.tomography.runs import Job, Workplace, outcome, run_variants
from seistomo.benchmarks.tomography.scores import SCORES
from seistomo.benchmarks.tomography.sizes import size_config
from seistomo.benchmarks.tomography.table import MeasuredRow
from seistomo.config import Config, with_overrides
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.store.schema import data_settings
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.networks import build_network, parameter_count
from seistomo.progress import say
from seistomo.training.device import torch_settings

SETTINGS = "benchmark"
DATA, CONFIGS = "data.h5", "configs"


@dataclass(frozen=True)
class TomographyOptions:
    """Options of the command.

    Attributes
    ----------
    out
        Folder of the results; what is in it is gone on with.
    size
        ``paper``, ``small`` or ``tiny``.
    optimizers
        Rows; see `rows_for`.
    repeats, seed
        How many runs of each row, and the seed of the first.
    epochs
        Epochs of a run; None: the size's own.
    data
        A data set that is there already; None: one is made in the folder.
    device, threads, memory_limit
        Where to train: a device, CPU threads (0: torch's choice), GiB (None: no limit).
    settings
        ``section.key=value`` strings for all rows.
    minutes
        Stop after so many, all rows at the same epoch; None: go on to the end.
    overwrite
        Whether runs that are there are made anew.
    command
        The command line, for the record.
    """

    out: Path
    size: str = "small"
    optimizers: str = DEFAULT
    repeats: int = 5
    seed: int = 0
    epochs: int | None = None
    data: Path | None = None
    device: str = "auto"
    threads: int = 0
    memory_limit: float | None = None
    settings: tuple[str, ...] = ()
    minutes: float | None = None
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise InputError(f"--repeats {self.repeats}: must be at least 1")
        for name in ("seed", "threads"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} {getattr(self, name)}: must not be negative")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise InputError(f"--minutes {self.minutes:g}: must be a positive number")

    def seeds(self) -> range:
        """Return the repeats' seeds."""
        return range(self.seed, self.seed + self.repeats)


class TomographyBenchmark:
    """The benchmark in its folder.

    Parameters
    ----------
    options
        What to do.
    studied
        Whether it is the ground of a study; see `size_config`.

    Raises
    ------
    InputError
        For options that cannot be, or a folder with other settings.
    """

    def __init__(self, options: TomographyOptions, studied: bool = False):
        self.options, self._studied = options, studied
        self.budget = Budget(60 * options.minutes if options.minutes else math.inf)
        self.device = choose_device(options.device)
        self.base = self._base_config()
        self.folder = BenchmarkFolder(options.out)
        self.folder.check_summary(SETTINGS, self.identity, options.overwrite)
        asked = rows_for(options.optimizers)
        before = self._rows_before()
        # Rows that are there stay in the table, and go as far as the others.
        kept = [] if options.overwrite else before
        self.rows = rows_for(",".join([*kept, *(row.name for row in asked)]))
        self.variants = {row.name: row.config(self.base) for row in self.rows}
        self._overwritten = {*before, *self.variants} if options.overwrite else set()
        self.place = Workplace(self.folder, options.data or options.out / DATA)
        self._require_own_data()

    def run(self) -> str:
        """Do what is left to do; return a line that says what came out."""
        options = self.options
        with self.folder.locked(SETTINGS) as mine:
            if mine:
                self._write_settings()
        self._forget_runs()
        found: dict[str, list[Outcome]] = {name: [] for name in self.variants}
        complete = False
        try:
            self.make_data()
            if self.budget.limited:
                found, complete = run_in_rounds(
                    self.place, self.variants, options.seeds(), self.budget, self._after_seed
                )
            else:
                found, complete = self._run_all(), True
        except TimeIsUpError:
            say("time is up")
        return self._finish(found, complete)

    def _base_config(self) -> Config:
        options = self.options
        own = {
            "training.epochs": options.epochs,
            "training.device": f'"{options.device}"',
            "training.threads": options.threads,
            "training.memory_limit": options.memory_limit,
        }
        base = size_config(options.size, options.settings, options.data, self._studied)
        return with_overrides(
            base, [f"{key}={value}" for key, value in own.items() if value is not None]
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What tells these results from others."""
        options = self.options
        data = None
        if options.data is not None:
            with open_dataset(options.data) as reader:
                data = reader.identity
        return {
            "size": options.size,
            "set": sorted(options.settings),
            "data": data,
            "seed": options.seed,
            "device": self.device.type,
        }

    def _rows_before(self) -> list[str]:
        path = self.folder.path / f"{SETTINGS}.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
        except (ValueError, KeyError) as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it") from None

    def _write_settings(self) -> None:
        """Write what this folder is of, and a configuration a row for ``seistomo train``."""
        content = {"settings": self.identity, "rows": [row.name for row in self.rows]}
        self.folder.write_json(SETTINGS, content)
        for name, config in self.variants.items():
            job = Job.of(name, config, self.options.seed)
            self.folder.write_text(f"{CONFIGS}/{name}.toml", job.config.to_toml())

    def _forget_runs(self) -> None:
        """Remove the table's runs that are to be made anew; those of studies stay."""
        runs, scores = (self.folder.path / name for name in (RUNS, SCORES))
        there = {path.name for path in runs.glob("*") if path.is_dir()}
        # Those that diverged at once have left nothing but a note.
        noted = {path.stem.removesuffix(".diverged") for path in scores.glob("*.json")}
        for key in sorted(there | noted):
            if key.rpartition("-s")[0] in self._overwritten:
                self.place.forget(key)

    def _require_own_data(self) -> None:
        """Refuse a data set that was made in the folder with other settings, before runs go."""
        path = Path(self.place.data)
        if self.options.data is not None or not path.is_file():
            return
        with open_dataset(path) as data:
            theirs = {**data_settings(data.config), "dataset.samples": data.samples}
        ours = {**data_settings(self.base), "dataset.samples": self.base.dataset.samples}
        for key, value in ours.items():
            if theirs.get(key) != value:
                raise InputError(
                    f"--out {self.options.out}: {path.name} was made with {key} ="
                    f" {theirs.get(key)!r}, not {value!r}; remove it to make it again, or choose"
                    " another folder"
                )

    def make_data(self) -> None:
        """Make the data set, unless it is there; check that it holds what is needed."""
        path = Path(self.place.data)
        if self.options.data is None and not path.is_file():
            with self.folder.locked("data") as mine:
                if not mine:
                    raise InputError(f"--out {self.options.out}: another process is making {path}")
                with self.budget.enforced():
                    say(str(simulate(self.base, path, device=self.options.device, resume=True)))
        with open_dataset(path) as data:
            if not len(data.indices("test")) or not len(data.indices("validation")):
                raise InputError(f"{path}: needs validation and test samples; see dataset.split")

    def _run_all(self) -> dict[str, list[Outcome]]:
        return run_variants(
            self.place, self.variants, self.options.seeds(), after_seed=self._after_seed
        )

    def _after_seed(self, seed: int) -> None:
        """Write what there is up to a seed, so that there is something to look at early."""
        if seed == self.options.seeds()[-1]:
            return
        seeds = range(self.options.seed, seed + 1)
        found = {
            name: [outcome(self.place, Job.of(name, config, one)) for one in seeds]
            for name, config in self.variants.items()
        }
        say(self._write(found, complete=False))

    def _finish(self, found: dict[str, list[Outcome]], complete: bool) -> str:
        out = self.options.out
        if not all(found.values()):
            return f"{out}: no epoch of all rows is done yet; go on with the same command"
        table = self._write(found, complete)
        say(table)
        best = min(
            (row for row in self._measured(found) if row.whole),
            key=validation_loss,
            default=None,
        )
        if best is None:
            return f"{out / 'index.md'}: all runs diverged"
        rmse, ssim = (sum(best.scores(n)) / len(best.whole) for n in ("rmse", "ssim"))
        line = (
            f"{out / 'index.md'}: lowest validation loss: {best.row.label}; on the test split RMSE"
            f" {rmse:.0f} m/s, SSIM {ssim:.3f}"
        )
        if not complete:
            done = sum(one.epochs for outcomes in found.values() for one in outcomes)
            wanted = len(self.rows) * self.options.repeats * self.base.training.epochs
            line += f"; {done} of {wanted} epochs done, go on with the same command"
        return line

    def _write(self, found: dict[str, list[Outcome]], complete: bool) -> str:
        return write_results(self.folder, self._measured(found), self._about(complete))

    def _measured(self, found: dict[str, list[Outcome]]) -> list[MeasuredRow]:
        operations = count_operations(self._network(), (1, *self._gather_shape()))
        batch = self.base.training.batch_size
        return [MeasuredRow(row, found[row.name], operations, batch) for row in self.rows]

    def _gather_shape(self) -> tuple[int, int, int]:
        survey = self.base.survey
        return survey.sources, survey.receivers, survey.time_samples

    def _network(self) -> torch.nn.Module:
        base = self.base
        generator = torch.Generator()
        return build_network(base.network, self._gather_shape(), base.velocity.shape, generator)

    def _about(self, complete: bool) -> About:
        network, options = self._network(), self.options
        with torch_settings(self.device, options.threads, 0):
            machine = describe_machine(self.device)
        return About(
            size=options.size,
            base=self.base,
            data=str(self.place.data),
            identity=self.identity,
            machine=machine,
            parameters=parameter_count(network),
            gigaflops=count_operations(network, (1, *self._gather_shape())).gradient / 1e9,
            command=options.command,
            repeats=options.repeats,
            complete=complete,
        )


def run_tomography(options: TomographyOptions) -> str:
    """Run the benchmark; return a line that says what came out.

    Raises
    ------
    InputError
        For options that cannot be, a folder with other settings, or runs that another process
        is still at.
    """
    return TomographyBenchmark(options).run()
