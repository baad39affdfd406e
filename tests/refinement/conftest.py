"""One small sample: a model, its survey, and gathers from a grid finer than the inversion's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from seistomo.config import load_config
from seistomo.refinement.modelling import Modelling, modelling_config
from seistomo.simulation import Simulator, Survey

SMALL = [
    "velocity.shape=[14, 18]",
    "velocity.spacing=20.0",
    "survey.sources=3",
    "survey.receivers=9",
    "survey.frequency=8.0",
    "survey.time_step=0.015",
    "survey.time_samples=40",
    "refinement.near_offset=40.0",
    "refinement.method=lbfgs",
    "refinement.iterations=2",
    "refinement.frequencies=[8.0]",
]


@pytest.fixture(scope="session")
def make_config():
    """Return the configuration of the tests with ``section.key=value`` strings applied."""
    return lambda *more: load_config("", [*SMALL, *more])


@pytest.fixture(scope="session")
def sample(make_config):
    """Return the sample: config, survey, model, a start, gathers and dead traces."""
    config = make_config("survey.dead_traces=0.1")
    random = np.random.default_rng(3)
    depth = np.arange(14)[:, None]
    model = 1700 + 60 * depth + 2500 * gaussian_filter(random.standard_normal((14, 18)), 2)
    model = model.clip(1500, 4000).astype(np.float32)
    start = gaussian_filter(model, 3)
    fine = {"grid_spacing": 5.0, "pml_width": 40}
    fine = config.model_copy(update={"simulation": config.simulation.model_copy(update=fine)})
    survey = vars(Survey.draw(config, config.dataset.seed, 0))
    gathers = Simulator(fine, "cpu")(model[None], [0])[0]
    return SimpleNamespace(
        config=config, survey=survey, model=model, start=start, gathers=gathers,
        dead=survey["dead_trace"],
    )  # fmt: skip


@pytest.fixture(scope="session")
def modelling(sample):
    """Return the modelling of the sample's inversion, exact to the inner time step."""
    config = modelling_config(sample.config, sample.config.refinement)
    return Modelling(config, sample.survey, torch.device("cpu"), exact=True)
