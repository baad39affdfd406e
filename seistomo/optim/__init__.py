"""Objectives and optimizers for any PyTorch model; this package needs torch alone."""

from seistomo.optim.objective import ModelObjective, Objective, PartwiseObjective
from seistomo.optim.registry import OptimizerError, make_optimizer, optimizer_names

__all__ = [
    "ModelObjective",
    "Objective",
    "OptimizerError",
    "PartwiseObjective",
    "make_optimizer",
    "optimizer_names",
]
