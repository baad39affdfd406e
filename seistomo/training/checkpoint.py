"""Checkpoints: all that a run needs to go on as if it had never stopped."""

import pickle
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from seistomo.config import Config, parse_config
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.progress import say, warn
from seistomo.ranks import Processes

FORMAT = "seistomo-checkpoint"
VERSION = 1

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
}
SECTIONS = ("network", "training", "optimizer")


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    epoch
        Whole epochs done.
    batch
        Batches done of the epoch in hand.
    iteration
        Optimizer steps done.
    seconds
        Time spent in them, data included.
    data_seconds
        Part of it that was spent waiting for data.
    loss_sum
        Sum over the samples of the epoch in hand of their batch's loss, scaled units.
    gradient_evaluations, ggn_products
        Gradients and Gauss–Newton products of a batch of the first epoch's size computed.
    best_epoch, best_loss
        Epoch with the lowest validation loss and that loss, (m/s)²; 0 and infinity before.
    dead_pixels
        Share of the outputs that were zero for every sample after the last whole epoch.
    peak_memory
        The most bytes that a process of the run (rank 0) has taken, on a GPU of its memory.
    """

    epoch: int = 0
    batch: int = 0
    iteration: int = 0
    seconds: float = 0.0
    data_seconds: float = 0.0
    loss_sum: float = 0.0
    gradient_evaluations: float = 0.0
    ggn_products: float = 0.0
    best_epoch: int = 0
    best_loss: float = float("inf")
    dead_pixels: float = float("nan")
    peak_memory: int = 0


@dataclass
class Checkpoint:
    """The content of ``checkpoint.pt`` and ``best.pt``.

    Attributes
    ----------
    config
        Configuration of the run, TOML text.
    data_identity
        Identity of the data set that it learns from.
    gather_shape, velocity_shape
        (source, receiver, time) and (depth, x).
    normalization
        State of the scalings.
    network, optimizer, schedule
        Their ``state_dict``; the latter two are empty in ``best.pt``. With `training.averaging`
        the network's weights are the average.
    random
        States of torch's generators.
    threads
        CPU threads of torch: with another number, sums round differently.
    progress
        How far the run is.
    history
        The rows of ``history.csv`` so far.
    averaging
        What goes on beside an average: see `WeightAverage.state`.
    ranks, micro_batch
        Processes that shared the work, and samples that each forwarded at once: with other
        numbers, sums round differently.
    """

    config: str
    data_identity: str
    gather_shape: tuple[int, int, int]
    velocity_shape: tuple[int, int]
    normalization: dict[str, Any]
    network: dict[str, Any]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, torch.Tensor]
    threads: int
    progress: Progress
    history: list[tuple] = field(default_factory=list)
    averaging: dict[str, Any] = field(default_factory=dict)
    ranks: int = 1
    micro_batch: int = 0

    def save(self, path: Path, *, without: tuple[str, ...] = ()) -> None:
        """Write to ``path``, whole or not at all, leaving out the fields ``without``."""
        content = {key: value for key, value in vars(self).items() if key not in without}
        content |= {key: {} for key in without}
        content |= {"progress": asdict(self.progress), "format": FORMAT, "version": VERSION}
        with written_whole(path) as temporary, open(temporary, "wb") as file:
            torch.save(content, file)

    def trimmed(self) -> "Checkpoint":
        """Return this without what only continuing needs, so that others need not keep it."""
        return replace(self, **{key: {} for key in CONTINUING})

    @property
    def is_best(self) -> bool:
        """Whether this is the end of the epoch with the best loss so far."""
        return self.progress.batch == 0 and self.progress.best_epoch == self.progress.epoch

    def require_same(self, config: Config, data_identity: str, path: Path) -> None:
        """Refuse to continue with another data set or configuration.

        Raises
        ------
        InputError
            Naming the first setting that differs.
        """
        if data_identity != self.data_identity:
            raise InputError(
                f"run {path.parent}: was started with another data set (identity"
                f" {self.data_identity}, now {data_identity}); use that one, or --overwrite"
            )
        theirs = parse_config(self.config, origin=str(path))
        for section in SECTIONS:
            ours = getattr(config, section).model_dump(mode="json")
            for key, before in getattr(theirs, section).model_dump(mode="json").items():
                if ours[key] != before and f"{section}.{key}" not in FREE_KEYS:
                    raise InputError(
                        f"{section}.{key} = {ours[key]!r}: the run {path.parent} was started with"
                        f" {before!r}; resume with that, or start anew with --overwrite"
                    )
        if config.training.epochs != theirs.training.epochs and self._is_within_growth(config):
            raise InputError(
                f"training.epochs = {config.training.epochs}: with training.batch_doublings it"
                f" may change the batches of epoch {self.progress.epoch + 1}, which the run"
                f" {path.parent} has begun; finish that with {theirs.training.epochs}"
            )
        ours, before = (one.training.averaging_epochs for one in (config, theirs))
        begins = max(0, config.training.epochs - ours)
        if ours != before and config.training.averaging == "tail" and begins < self.progress.epoch:
            raise InputError(
                f"training.averaging_epochs = {ours}: the mean would begin after epoch {begins},"
                f" and the run {path.parent}, started with {before}, has done"
                f" {self.progress.epoch} already; ask for more training.epochs, or start anew"
            )
        if config.training.epochs < self.progress.epoch:
            raise InputError(
                f"training.epochs = {config.training.epochs}: the run {path.parent} has done"
                f" {self.progress.epoch} already"
            )

    def _is_within_growth(self, config: Config) -> bool:
        return self.progress.batch > 0 and config.training.batch_doublings > 0


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint; nothing in it is executed.

    Raises
    ------
    InputError
        If the file is missing, damaged, or no checkpoint of this program.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the run has finished no epoch yet") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(f"{path}: damaged, cannot be read ({reason[:120]})") from None
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{path}: is no checkpoint of seistomo")
    if content.pop("version") > VERSION:
        raise InputError(f"{path}: was written by a newer seistomo; update it")
    return Checkpoint(**{**content, "progress": Progress(**content["progress"])})


def checkpoint_to_resume(
    path: Path, config: Config, data: DatasetReader, processes: Processes
) -> Checkpoint | None:
    """Return the checkpoint that a run goes on from, the same on all processes, or None.

    Parameters
    ----------
    path
        Where the run's checkpoint is.
    config, data
        What the run is to go on with.
    processes
        The processes that share the work.

    Raises
    ------
    InputError
        If the run was started otherwise, or the file is damaged or not the one that rank 0 sees.
    """
    if not processes.shared(path.is_file):
        say(f"run {path.parent}: nothing to resume yet; starting from the beginning")
        return None
    checkpoint = load_checkpoint(path)
    checkpoint.require_same(config, data.identity, path)
    if processes.shared(lambda: checkpoint.progress.iteration) != checkpoint.progress.iteration:
        raise InputError(f"{path}: is not the file that rank 0 sees")
    for before, now, unit in (
        (checkpoint.threads, torch.get_num_threads(), "threads"),
        (checkpoint.ranks, processes.count, "processes"),
    ):
        if before != now and processes.leads:
            warn(
                f"run {path.parent}: was started with {before} {unit}, now {now};"
                " results will differ in rounding"
            )
    return checkpoint
