"""Objectives and optimizers for any PyTorch model; this package needs torch alone."""

from seistomo.optim.base import ObjectiveOptimizer
from seistomo.optim.checks import OptimizerError
from seistomo.optim.loader import LoaderObjective, loader_objectives
from seistomo.optim.model_objective import (
    ModelObjective,
    PartwiseObjective,
    epoch_objectives,
)
from seistomo.optim.objective import FullGradient, Linearization, Objective
from seistomo.optim.ranks import Ranks
from seistomo.optim.registry import make_optimizer, optimizer_names, options_in_effect
from seistomo.optim.sgn import SGN
from seistomo.optim.sqgn import SQGN
from seistomo.optim.svrg import SVRG

__all__ = [
    "SGN",
    "SQGN",
    "SVRG",
    "FullGradient",
    "Linearization",
    "LoaderObjective",
    "ModelObjective",
    "Objective",
    "ObjectiveOptimizer",
    "OptimizerError",
    "PartwiseObjective",
    "Ranks",
    "epoch_objectives",
    "loader_objectives",
    "make_optimizer",
    "optimizer_names",
    "options_in_effect",
]
