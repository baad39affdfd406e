"""How a run stands: the training part of ``metrics.json``."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from seistomo.training.checkpoint import Checkpoint
from seistomo.training.history import EpochRow


@dataclass(frozen=True)
class TrainingResult:
    """How a run stands or ended.

    Attributes
    ----------
    run_dir
        The run directory.
    parameters
        Number of weights of the network.
    last, best
        The rows of the last epoch and of the one with the lowest validation loss.
    dead_pixels
        Share of the outputs that are zero for every sample after the last epoch.
    waiting
        Share of the optimizer's time that was spent waiting for data.
    peak_memory
        The most bytes that the process has taken, on a GPU of its memory.
    """

    run_dir: Path
    parameters: int
    last: EpochRow
    best: EpochRow
    dead_pixels: float
    waiting: float
    peak_memory: int

    @classmethod
    def of(cls, run_dir: Path, parameters: int, checkpoint: Checkpoint) -> "TrainingResult":
        """Return the result that a checkpoint stands for, after at least one epoch."""
        rows = [EpochRow(*row) for row in checkpoint.history]
        progress = checkpoint.progress
        return cls(
            run_dir=run_dir,
            parameters=parameters,
            last=rows[-1],
            best=rows[progress.best_epoch - 1],
            dead_pixels=progress.dead_pixels,
            waiting=progress.data_seconds / progress.seconds,
            peak_memory=progress.peak_memory,
        )

    def metrics(self) -> dict[str, Any]:
        """Return what ``metrics.json`` holds; what was not measured is None."""
        return {
            "parameters": self.parameters,
            "dead_pixels": _or_none(self.dead_pixels),
            "waiting": self.waiting,
            "peak_memory": self.peak_memory,
            "last": {key: _or_none(value) for key, value in asdict(self.last).items()},
            "best": {key: _or_none(value) for key, value in asdict(self.best).items()},
        }

    def __str__(self) -> str:
        scores = f"training loss {self.best.train_loss:.3g} (m/s)²"
        if not math.isnan(self.best.validation_loss):
            rmse = math.sqrt(self.best.mse)
            scores = f"validation RMSE {rmse:.0f} m/s, SSIM {self.best.ssim:.3f}"
        return (
            f"{self.run_dir}: {self.last.epoch} epochs in {self.last.seconds:.0f} s"
            f" ({self.waiting:.1%} of it waiting for data);"
            f" best epoch {self.best.epoch}: {scores}"
        )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
