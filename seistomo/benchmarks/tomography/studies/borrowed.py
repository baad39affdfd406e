"""Runs that differ from another one in nothing but how they predict: trained once, kept twice."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from seistomo.benchmarks.tomography.runs import Job, Workplace
from seistomo.config import Config, parse_config
from seistomo.files import folder_written_whole
from seistomo.training.checkpoint import CONTINUING, load_checkpoint
from seistomo.training.directory import BEST, CHECKPOINT, CONFIG, FIGURES, HISTORY, METRICS

# What decides the weights.
TRAINED_BY = ("velocity", "survey", "simulation", "dataset", "network", "training", "optimizer")


def lenders(configs: Mapping[str, Config]) -> dict[str, str]:
    """Return, by the name of each configuration, the first one that is trained just so.

    One that no other before it is trained like is its own.
    """
    first: dict[str, str] = {}
    found = {}
    for name, config in configs.items():
        trained_by = str([getattr(config, section).model_dump_json() for section in TRAINED_BY])
        found[name] = first.setdefault(trained_by, name)
    return found


def borrow_run(place: Workplace, lender: Job, borrower: Job) -> None:
    """Make a run of another one's weights, as training would make it anew.

    Parameters
    ----------
    place
        Where both are.
    lender
        The run with the weights; what has diverged lends that.
    borrower
        The run to be made; one that is there is replaced where it has fewer epochs.
    """
    source, target = place.run_dir(lender.key), place.run_dir(borrower.key)
    with place.folder.locked(borrower.key) as mine:
        if not mine:
            return
        message = place.book.diverged(lender.key)
        if message and not place.book.diverged(borrower.key):
            place.book.note_divergence(borrower.key, message)
        if not (source / CHECKPOINT).is_file() or _same_history(source, target):
            return
        with folder_written_whole(target) as partial:
            for name in (HISTORY, METRICS):
                shutil.copy2(source / name, partial / name)
            for name, left_out in ((BEST, CONTINUING), (CHECKPOINT, ())):
                content = load_checkpoint(source / name)
                text = _with_evaluation(content.config, borrower.config)
                replace(content, config=text).save(partial / name, without=left_out)
            (partial / CONFIG).write_text(text, encoding="utf-8")
            (partial / FIGURES).mkdir()


def _with_evaluation(text: str, config: Config) -> str:
    """Return a run's configuration, as TOML, with another one's way to predict."""
    theirs = parse_config(text, origin="the run")
    return theirs.model_copy(update={"evaluation": config.evaluation}).to_toml()


def _same_history(source: Path, target: Path) -> bool:
    ours, theirs = target / HISTORY, source / HISTORY
    return ours.is_file() and ours.read_bytes() == theirs.read_bytes()
