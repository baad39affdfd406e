"""Learn velocity from gathers: objective, loop, checkpoints, runs."""

from seistomo.training.history import EpochRow
from seistomo.training.loop import train
from seistomo.training.objective import BatchObjective
from seistomo.training.result import TrainingResult
from seistomo.training.run import Run, load_run

__all__ = ["BatchObjective", "EpochRow", "Run", "TrainingResult", "load_run", "train"]
