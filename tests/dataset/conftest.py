"""A data set of seconds."""

import pytest

from seistomo.config import load_config

SETTINGS = [
    "velocity.shape=[24, 28]",
    "survey.sources=2",
    "survey.receivers=7",
    "survey.time_samples=140",
    "dataset.samples=10",
    "dataset.seed=3",
    "dataset.shard_samples=2",
    "simulation.models_per_call=2",
]


@pytest.fixture(scope="session")
def tiny():
    """Return a function: the configuration with some settings changed."""
    return lambda *more: load_config("", [*SETTINGS, *more])
