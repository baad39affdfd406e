"""What a run did, a row an epoch: ``history.csv``."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from seistomo.training.directory import write_text


@dataclass(frozen=True)
class EpochRow:
    """One epoch; what is counted is counted from the start of the run.

    Attributes
    ----------
    epoch
        Epochs done, from 1.
    iteration
        Optimizer steps so far.
    seconds
        Time spent in optimizer steps and waiting for data so far, without evaluation.
    train_loss
        Mean over the epoch's samples of the losses before each step: squared error summed over
        pixels, (m/s)².
    validation_loss
        The same for the validation split after the epoch; nan without such a split.
    mse, ssim
        Mean squared error, (m/s)², and structural similarity of the validation split.
    learning_rate
        Learning rate of the epoch (first parameter group).
    gradient_evaluations, ggn_products
        Gradients of a batch and Gauss–Newton products with a batch so far; where batches grow,
        in batches of the first epoch's size.
    """

    epoch: int
    iteration: int
    seconds: float
    train_loss: float
    validation_loss: float
    mse: float
    ssim: float
    learning_rate: float
    gradient_evaluations: float
    ggn_products: float


COLUMNS = tuple(field.name for field in fields(EpochRow))


def write_history(path: Path, rows: Sequence[EpochRow]) -> None:
    """Write ``history.csv``, whole or not at all; numbers keep all their digits."""
    lines = [",".join(COLUMNS), *(",".join(map(repr, astuple(row))) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
