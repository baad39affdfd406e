"""Figures: the only part of the project that imports matplotlib.

Each function takes arrays and returns a `matplotlib.figure.Figure`; `save` writes it.
"""

from matplotlib.figure import Figure

from seistomo.evaluation.figures.convergence import curves_figure
from seistomo.evaluation.figures.gathers import (
    beside_training_figure,
    gathers_figure,
    overview_figure,
    shots_figure,
)
from seistomo.evaluation.figures.misfit import (
    misfit_figure,
    misfit_gathers_figure,
    misfit_offset_figure,
)
from seistomo.evaluation.figures.models import crops_figure, models_figure, profiles_figure
from seistomo.evaluation.figures.predictions import Case, predictions_figure
from seistomo.evaluation.figures.refinement import inversion_figure
from seistomo.evaluation.figures.scores import rmse_depth_figure, ssim_histogram_figure
from seistomo.evaluation.figures.style import FORMATS, save
from seistomo.evaluation.figures.uncertainty import reliability_figure, uncertainty_figure

__all__ = [
    "FORMATS",
    "Case",
    "Figure",
    "beside_training_figure",
    "crops_figure",
    "curves_figure",
    "gathers_figure",
    "inversion_figure",
    "misfit_figure",
    "misfit_gathers_figure",
    "misfit_offset_figure",
    "models_figure",
    "overview_figure",
    "predictions_figure",
    "profiles_figure",
    "reliability_figure",
    "rmse_depth_figure",
    "save",
    "shots_figure",
    "ssim_histogram_figure",
    "uncertainty_figure",
]
