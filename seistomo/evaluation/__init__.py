"""Predictions, their scores, figures and the report."""

from seistomo.evaluation.describe import describe_run
from seistomo.evaluation.plotting import plot
from seistomo.evaluation.prediction import predict
from seistomo.evaluation.scoring import evaluate

__all__ = ["describe_run", "evaluate", "plot", "predict"]
