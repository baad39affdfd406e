"""The command ``benchmark generalization``: simulate, score, write page, numbers and figures."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seistomo.benchmarks.generalization.conditions import (
    FIRST_SEED,
    Condition,
    Skipped,
    family_conditions,
    marmousi_condition,
    physics_conditions,
    record_conditions,
    reference_condition,
    simulable,
)
from seistomo.benchmarks.generalization.crops import CropSummary, cut_crops
from seistomo.benchmarks.generalization.folder import ResultFolder
from seistomo.benchmarks.generalization.page import write_results
from seistomo.benchmarks.generalization.pictures import draw_results
from seistomo.benchmarks.generalization.scoring import (
    condition_scores,
    read_scores,
    score_condition,
    write_scores,
)
from seistomo.benchmarks.generalization.sources import Sources
from seistomo.benchmarks.machine import describe_machine
from seistomo.dataset import open_dataset
from seistomo.dataset.exchange.source import FileOptions
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.progress import say
from seistomo.training import Run, load_run
from seistomo.training.device import torch_settings
from seistomo.training.directory import BEST

BLOCK = 2**20


@dataclass(frozen=True)
class GeneralizationOptions:
    """Options of the command ``benchmark generalization``.

    Attributes
    ----------
    run
        The run directory; its best weights are scored.
    out
        Folder for results and the data sets that are made.
    data
        The data set that the run was trained on; None: reference models are drawn anew.
    samples
        Samples of each condition.
    marmousi
        A large section that crops are cut from; None: that row is left out.
    marmousi_file
        What that file does not say itself.
    seed
        Decides models, surveys and the places of crops.
    device
        auto, cpu, cuda or cuda:N.
    threads
        CPU threads; 0: as many as torch takes.
    overwrite
        Whether results that are there are made anew.
    command
        What the user typed, for the page.
    """

    run: Path
    out: Path
    data: Path | None = None
    samples: int = 100
    marmousi: Path | None = None
    marmousi_file: FileOptions = field(default_factory=FileOptions)
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise InputError(f"--samples {self.samples}: must be at least 2, to have a spread")
        if self.threads < 0:
            raise InputError(f"--threads {self.threads}: must not be negative")
        if not 0 <= self.seed < FIRST_SEED:
            raise InputError(f"--seed {self.seed}: must be at least 0 and below 2**62")
        if self.marmousi is None and self.marmousi_file != FileOptions():
            raise InputError(
                "--format, --shape, --units and --file-spacing: are for --marmousi; give it too"
            )


def run_generalization(options: GeneralizationOptions) -> str:
    """Score a run under all conditions, write the results, and return the page.

    Conditions that are in the folder already are kept: the same command goes on where it was
    interrupted.

    Raises
    ------
    InputError
        If the run, its data set or the section cannot be used, or the folder holds results of
        other settings.
    """
    run = load_run(options.run, "best", options.device)
    if run.config.dataset.seed == FIRST_SEED + options.seed:
        raise InputError(
            f"--seed {options.seed}: draws the models that the run was trained on; give another"
        )
    device = choose_device(options.device)
    with torch_settings(device, options.threads, options.seed):
        folder = ResultFolder(options.out, _settings(run, options), overwrite=options.overwrite)
        sources = Sources(run, folder, options.data, options.samples, options.seed, options.device)
        conditions, skipped = _plan(run, folder, sources, options)
        for number, condition in enumerate(conditions, 1):
            say(f"{number} of {len(conditions)}: {condition.label}")
            _score(run, sources, condition, folder.scores(condition.name))
        results = [read_scores(folder.scores(condition.name)) for condition in conditions]
        draw_results(run, sources, conditions, results)
        facts = {
            "run": _facts(run),
            "samples": options.samples,
            "seed": options.seed,
            "own_test_split": options.data is not None,
            "machine": describe_machine(device),
            "command": options.command,
        }
        return write_results(folder, results, skipped, facts)


def _plan(
    run: Run, folder: ResultFolder, sources: Sources, options: GeneralizationOptions
) -> tuple[list[Condition], list[Skipped]]:
    """Return the conditions that can be scored, in the table's order, and those that cannot.

    Prepares the models that others are shot over; refuses a section that does not fit first.
    """
    crops, skipped = [], []
    if options.marmousi is None:
        reason = "no file of a section was given (--marmousi)"
        skipped.append(Skipped("marmousi", "Marmousi crops", reason))
    else:
        crops.append(_crop_condition(run, folder, sources, options))
    sources.prepare_reference()
    config = run.config
    waves, without_waves = simulable(
        config,
        [*physics_conditions(config, folder.path / "data"), *family_conditions(config)],
        sources.reference_identity,
    )
    reference = reference_condition(has_data=options.data is not None)
    kept = [reference, *record_conditions(), *waves, *crops]
    return kept, [*without_waves, *skipped]


def _crop_condition(
    run: Run, folder: ResultFolder, sources: Sources, options: GeneralizationOptions
) -> Condition:
    """Return the row of crops; cut them unless it has been scored."""
    kept = folder.scores(marmousi_condition("").name)
    if kept.is_file():
        return marmousi_condition(read_scores(kept).note)
    summary = cut_crops(
        options.marmousi,
        options.marmousi_file,
        run.config.velocity,
        options.samples,
        options.seed,
        sources.crops(),
    )
    return marmousi_condition(_crop_note(options.marmousi, summary))


def _crop_note(path: Path, summary: CropSummary) -> str:
    note = f"{summary.crops} overlapping pieces of {path.name}, at random places"
    if summary.beyond:
        note += f"; {summary.beyond} with speeds beyond the run's bounds were left out"
    if summary.flat:
        note += f"; {summary.flat} that hold next to nothing were left out"
    return note


def _score(run: Run, sources: Sources, condition: Condition, path: Path) -> None:
    """Score one condition unless that was done before."""
    if path.is_file():
        return
    sources.prepare(condition)
    data_path, rows = sources.data_of(condition)
    with open_dataset(data_path) as data:
        table = score_condition(run, data, rows, condition.corruption)
    write_scores(path, condition_scores(condition, table))


def _settings(run: Run, options: GeneralizationOptions) -> dict[str, Any]:
    """Return what the scores depend on, by names that people know."""
    identity = None
    if options.data is not None:
        with open_dataset(options.data) as data:
            identity = data.identity
    marmousi = None
    if options.marmousi is not None:
        marmousi = _digest(options.marmousi, "--marmousi")
    return {
        "weights of RUN": _digest(run.path / BEST, "run"),
        "--data": identity,
        "--samples": options.samples,
        "--seed": options.seed,
        "--marmousi": marmousi,
        "--format": options.marmousi_file.format,
        "--shape": options.marmousi_file.shape,
        "--units": options.marmousi_file.units,
        "--file-spacing": options.marmousi_file.spacing,
    }


def _digest(path: Path, name: str) -> str:
    if not path.is_file():
        raise InputError(f"{name} {path}: no such file")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()[:16]


def _facts(run: Run) -> dict[str, Any]:
    """Return what the page says of the run."""
    families: Sequence[str] = [
        name for name in run.config.velocity.families if run.config.velocity.draws(name)
    ]
    return {
        "name": run.path.resolve().name,
        "epoch": run.epoch,
        "data_identity": run.data_identity,
        "families": list(families),
        "optimizer": run.config.optimizer.name,
        "network": run.config.network.name,
    }
