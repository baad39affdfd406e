"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import math
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seistomo.config import LoopConfig
from seistomo.config.schema import require_same
from seistomo.errors import InputError
from seistomo.files import reading, written_whole
from seistomo.progress import say, warn
from seistomo.ranks import Processes
from seistomo.training.history import CHECKPOINT, Row

FORMAT = "seistomo-checkpoint"
VERSION = 2

# What only continuing needs; the best checkpoint is for prediction and goes without.
CONTINUING = ("optimizer", "schedule", "random", "averaging")
# Settings that may change on resume: they leave what was done so far as it is.
FREE_KEYS = {
    "training.epochs",
    # What was averaged of a shorter run is dropped; see `WeightAverage.restore`.
    "training.averaging_epochs",
    "training.patience",
    "training.device",
    "training.threads",
    "training.cache_memory",
    "training.memory_limit",
    "training.checkpoint_iterations",
    "training.tensorboard",
    "evaluation",
    "refinement",
}


@dataclass
class Progress:
    """How far a run is."""

    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches done of the epoch in hand
    iteration: int = 0  # optimizer steps done
    seconds: float = 0.0  # spent in them, data included
    data_seconds: float = 0.0  # part of it that was spent waiting for data
    loss_sum: float = 0.0  # over the samples of the epoch in hand, of their batch's loss
    gradient_evaluations: float = 0.0  # of a batch of the first epoch's size
    ggn_products: float = 0.0
    best_epoch: int = 0  # with the lowest validation loss, and that loss
    best_loss: float = math.inf
    dead_pixels: float = math.nan  # share after the last whole epoch
    peak_memory: int = 0  # bytes that rank 0 has taken at most, on a GPU of its memory


@dataclass
class Checkpoint:
    """The content of ``checkpoint.pt`` and ``best.pt``."""

    config: str  # config.toml
    data_identity: str
    problem: dict[str, Any]  # see `Problem.state`
    network: dict[str, Any]  # with averaging, the average is in it
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, Tensor]  # states of torch's generators
    averaging: dict[str, Any]  # see `WeightAverage.state`
    progress: Progress
    history: list[Row]
    # With other numbers of these, sums round differently.
    threads: int
    ranks: int
    micro_batch: int

    def save(self, path: Path) -> None:
        content = {**vars(self), "progress": asdict(self.progress)}
        with written_whole(path) as temporary, open(temporary, "wb") as file:
            torch.save({**content, "format": FORMAT, "version": VERSION}, file)

    def trimmed(self) -> "Checkpoint":
        """Return what predicting needs, for `BEST`."""
        return replace(self, **{key: {} for key in CONTINUING})

    def bytes(self) -> int:
        return sum(t.numel() * t.element_size() for t in _tensors(vars(self)))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; its checksums are compared before, and nothing in it is executed."""
    if not path.exists():
        raise InputError(f"{path}: no such file; the run has finished no epoch yet")
    with reading(path):
        with zipfile.ZipFile(path) as archive:
            changed = archive.testzip()
        if changed:
            raise ValueError(f"the checksum of {changed} is another")
        content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{path}: is no checkpoint of seistomo")
    if content.pop("version", None) != VERSION:
        raise InputError(f"{path}: was written by another version of seistomo; train anew")
    return Checkpoint(**{**content, "progress": Progress(**content["progress"])})


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Load a checkpoint's weights; those of another network are refused."""
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise InputError(
            f"{path}: holds the weights of another network, or of another version of it; train anew"
        ) from None


def checkpoint_to_resume(
    run: Path, settings: LoopConfig, processes: Processes, config: str, data_identity: str
) -> Checkpoint | None:
    """Return the checkpoint that a run goes on from, the same on all processes, if there is one.

    A run that was started otherwise is refused with the first setting that differs.
    """
    path = run / CHECKPOINT
    if not processes.shared(path.is_file):
        say(f"run {run}: nothing to resume yet; starting from the beginning")
        return None
    saved = load_checkpoint(path)
    if data_identity != saved.data_identity:
        raise InputError(
            f"run {run}: was started with another data set (identity {saved.data_identity}, now"
            f" {data_identity}); use that one, or --overwrite"
        )
    theirs = tomllib.loads(saved.config)
    made, remedy = f"the run {run} was started", "resume with that, or start anew with --overwrite"
    require_same(made, tomllib.loads(config), theirs, remedy, FREE_KEYS)
    _require_unbegun(run, settings, theirs["training"], saved.progress)
    if processes.shared(lambda: saved.progress.iteration) != saved.progress.iteration:
        raise InputError(f"{path}: is not the file that rank 0 sees")
    now = {"threads": torch.get_num_threads(), "processes": processes.count}
    for what, before in (("threads", saved.threads), ("processes", saved.ranks)):
        if before != now[what] and processes.leads:
            warn(
                f"run {run}: was started with {before} {what}, now {now[what]};"
                " results will differ in rounding"
            )
    return saved


def _require_unbegun(
    run: Path, settings: LoopConfig, before: Mapping[str, Any], done: Progress
) -> None:
    """Refuse other numbers of epochs where they change what has been done."""
    epochs, last = settings.epochs, settings.averaging_epochs
    if epochs < done.epoch:
        raise InputError(f"training.epochs = {epochs}: the run {run} has done {done.epoch} already")
    if epochs != before["epochs"] and done.batch and settings.batch_doublings:
        raise InputError(
            f"training.epochs = {epochs}: with training.batch_doublings it may change the batches"
            f" of epoch {done.epoch + 1}, which the run {run} has begun; finish that with"
            f" {before['epochs']}"
        )
    begins = max(0, epochs - last)
    changed = settings.averaging == "tail" and last != before["averaging_epochs"]
    if changed and begins < done.epoch:
        raise InputError(
            f"training.averaging_epochs = {last}: the mean would begin after epoch {begins}, and"
            f" the run {run}, started with {before['averaging_epochs']}, has done {done.epoch}"
            " already; ask for more training.epochs, or start anew"
        )


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _tensors(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _tensors(value)
