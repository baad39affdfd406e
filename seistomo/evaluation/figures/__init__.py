"""Figures: the only part of the project that imports matplotlib.

Each function takes arrays and returns a `matplotlib.figure.Figure`; `save` writes it.
"""

from matplotlib.figure import Figure

from seistomo.evaluation.figures.ablation import AblationRow, ablation_figure
from seistomo.evaluation.figures.convergence import convergence_figure
from seistomo.evaluation.figures.crops import crops_figure
from seistomo.evaluation.figures.dry_run import dry_run_figure
from seistomo.evaluation.figures.gathers import gathers_figure
from seistomo.evaluation.figures.generalization import ConditionRow, generalization_figure
from seistomo.evaluation.figures.models import models_figure
from seistomo.evaluation.figures.optimizers import (
    SensitivityCurve,
    learning_curves_figure,
    race_figure,
    sensitivity_figure,
    stuck_figure,
)
from seistomo.evaluation.figures.overview import overview_figure
from seistomo.evaluation.figures.predictions import Case, predictions_figure
from seistomo.evaluation.figures.scores import rmse_depth_figure, ssim_histogram_figure
from seistomo.evaluation.figures.shots import shots_figure
from seistomo.evaluation.figures.style import check_format, save
from seistomo.evaluation.figures.tomography import (
    Comparison,
    comparison_figure,
    tomography_curves_figure,
)
from seistomo.evaluation.figures.tomography_race import tomography_race_figure

__all__ = [
    "AblationRow",
    "Case",
    "Comparison",
    "ConditionRow",
    "Figure",
    "SensitivityCurve",
    "ablation_figure",
    "check_format",
    "comparison_figure",
    "convergence_figure",
    "crops_figure",
    "dry_run_figure",
    "gathers_figure",
    "generalization_figure",
    "learning_curves_figure",
    "models_figure",
    "overview_figure",
    "predictions_figure",
    "race_figure",
    "rmse_depth_figure",
    "save",
    "sensitivity_figure",
    "shots_figure",
    "ssim_histogram_figure",
    "stuck_figure",
    "tomography_curves_figure",
    "tomography_race_figure",
]
