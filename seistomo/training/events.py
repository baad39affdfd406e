"""TensorBoard events, where the user asks for them."""

from dataclasses import asdict
from pathlib import Path

from seistomo.errors import InputError
from seistomo.training.history import EpochRow


def check_tensorboard() -> None:
    """Refuse to start without the package.

    Raises
    ------
    InputError
        If TensorBoard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "training.tensorboard = true: TensorBoard is not installed;"
            ' pip install "seistomo[tensorboard]"'
        ) from None


class EventLog:
    """Writes the columns of ``history.csv`` as TensorBoard scalars.

    Parameters
    ----------
    folder
        Where the event files go.
    epoch
        Epochs done; later events of an interrupted run are hidden.
    """

    def __init__(self, folder: Path, epoch: int):
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=epoch + 1)

    def add(self, row: EpochRow) -> None:
        """Write one epoch."""
        for name, value in asdict(row).items():
            if name != "epoch":
                self._writer.add_scalar(name, value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
