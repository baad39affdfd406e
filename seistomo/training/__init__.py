"""Learn: problems, the loop, run directories, predictions of a trained run."""

from seistomo.training.ensemble import train_ensemble
from seistomo.training.fit import fit
from seistomo.training.history import RunResult
from seistomo.training.problem import Method, Problem, TensorSamples
from seistomo.training.run import Ensemble, Run, load_run, score_as_trained
from seistomo.training.tomography import TomographyProblem, train

__all__ = [
    "Ensemble",
    "Method",
    "Problem",
    "Run",
    "RunResult",
    "TensorSamples",
    "TomographyProblem",
    "fit",
    "load_run",
    "score_as_trained",
    "train",
    "train_ensemble",
]
