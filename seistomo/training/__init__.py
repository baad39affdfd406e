"""Learn: problems, the loop, run directories, predictions of a trained run."""

from seistomo.training.fit import fit
from seistomo.training.history import RunResult
from seistomo.training.problem import Method, Problem, TensorSamples
from seistomo.training.run import Run, load_run, score_as_trained
from seistomo.training.tomography import TomographyProblem, train

__all__ = [
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
]
