"""What makes predictions better: one change at a time, each against the benchmark's settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from seistomo.benchmarks.ablation_variants import BASELINE, VARIANTS, Variant, variants_for
from seistomo.benchmarks.tomography.budget import TimeIsUpError
from seistomo.benchmarks.tomography.command import TomographyOptions
from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.rows import Row, rows_for
from seistomo.benchmarks.tomography.runs import Job, is_done, outcome, run_variants
from seistomo.benchmarks.tomography.studies.ablation_page import (
    AboutAblation,
    MeasuredVariant,
    write_ablation,
)
from seistomo.benchmarks.tomography.studies.borrowed import borrow_run, lenders
from seistomo.benchmarks.tomography.studies.study import Study
from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.progress import say

NAME = "ablation"
OPTIMIZER = "adam-1e-3"
REPEATS = 3


@dataclass(frozen=True)
class Entry:
    """A variant with an optimizer.

    Attributes
    ----------
    row
        The optimizer.
    name, variant
        What is changed.
    config
        The configuration, whatever its seed.
    """

    row: Row
    name: str
    variant: Variant
    config: Config

    @property
    def key(self) -> str:
        """Name of its runs; the baseline's are those of the benchmark's row."""
        return self.row.name if self.name == BASELINE else f"{self.row.name}-{self.name}"


class Ablation:
    """The ablation in its folder.

    Parameters
    ----------
    options
        As for the benchmark; its rows are trained with every variant.
    variants
        Names out of `VARIANTS`; None: all that the optimizers can use. The baseline is always
        there.

    Raises
    ------
    InputError
        For a variant that is unknown, or that none of the optimizers can use.
    """

    def __init__(self, options: TomographyOptions, variants: Sequence[str] | None):
        self.study = Study(NAME, options)
        before = self.study.before()
        asked = rows_for(options.optimizers)
        _require_usable(asked, variants)
        # Rows and variants that are there stay in the table, and go as far as the others.
        rows = rows_for(",".join([*before.get("rows", []), *(row.name for row in asked)]))
        names = {
            BASELINE,
            *before.get("variants", []),
            *(VARIANTS if variants is None else variants),
        }
        self.rows, self.names = rows, [name for name in VARIANTS if name in names]
        self.entries = [entry for row in rows for entry in self._entries(row)]

    def run(self) -> str:
        """Do what is left to do; return a line that says what came out."""
        study, options = self.study, self.study.options
        with study.folder.locked(NAME) as mine:
            if mine:
                study.keep({"rows": [row.name for row in self.rows], "variants": self.names})
        if options.overwrite:
            study.forget_runs({entry.key for entry in self.entries}.__contains__)
        try:
            study.make_data()
            with study.budget.enforced():
                self._train()
        except TimeIsUpError:
            say("time is up")
            return self._finish(complete=False)
        return self._finish(complete=True)

    def _entries(self, row: Row) -> list[Entry]:
        base = row.config(self.study.base)
        usable = variants_for(row.optimizer, self.names)
        return [Entry(row, name, one, one.applied(base)) for name, one in usable.items()]

    def _train(self) -> None:
        """Train seed after seed; what predicts alone otherwise is trained once."""
        configs = {entry.key: entry.config for entry in self.entries}
        lent = lenders(configs)
        own = {key: config for key, config in configs.items() if lent[key] == key}
        for seed in self.study.options.seeds():
            run_variants(self.study.place, own, [seed])
            for key, lender in lent.items():
                if lender != key:
                    jobs = (Job.of(name, configs[name], seed) for name in (lender, key))
                    borrow_run(self.study.place, *jobs)
            if seed != self.study.options.seeds()[-1]:
                say(self._write(complete=False))

    def _finish(self, complete: bool) -> str:
        page = self.study.folder.path / f"{self.study.results}.md"
        again = "go on with the same command"
        if not any(one.whole for one in self._measured()):
            return f"{page}: nothing is trained to the end yet; {again}"
        say(self._write(complete))
        scored = [one for one in self._measured() if one.whole]
        best = min(scored, key=lambda one: one.validation_loss)
        line = (
            f"{page}: lowest validation loss: {best.row.name}, {best.name}; on the test split RMSE"
            f" {best.mean('rmse'):.0f} m/s, SSIM {best.mean('ssim'):.3f}"
        )
        return line if complete else f"{line}; not complete, {again}"

    def _measured(self) -> list[MeasuredVariant]:
        """Return what is there of every variant: runs that are trained to the end."""
        return [
            MeasuredVariant(e.row, e.name, e.variant.about, e.config, self._outcomes(e))
            for e in self.entries
        ]

    def _outcomes(self, entry: Entry) -> list[Outcome]:
        place = self.study.place
        jobs = [Job.of(entry.key, entry.config, seed) for seed in self.study.options.seeds()]
        return [outcome(place, job) for job in jobs if is_done(place, job)]

    def _write(self, complete: bool) -> str:
        study, options = self.study, self.study.options
        about = AboutAblation(
            size=options.size,
            identity=study.identity,
            epochs=study.base.training.epochs,
            repeats=options.repeats,
            counts=study.counts(),
            machine=study.machine(),
            command=options.command,
            complete=complete,
        )
        return write_ablation(study.folder, study.results, self._measured(), about)


def run_ablation(options: TomographyOptions, variants: Sequence[str] | None = None) -> str:
    """Run the ablation; return a line that says what came out.

    Parameters
    ----------
    options, variants
        As for `Ablation`.
    """
    return Ablation(options, variants).run()


def _require_usable(rows: Sequence[Row], variants: Sequence[str] | None) -> None:
    for name in variants or ():
        if not any(variants_for(row.optimizer, [name]) for row in rows):
            raise InputError(
                f"--variants {name}: its loss is not convex, which --optimizers"
                f" {','.join(row.name for row in rows)} needs; use one of first order"
            )
