"""A small data set in which no two samples are alike, not even in their surveys."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset.store.writer import write_samples

SAMPLES = 16
SETTINGS = [
    "velocity.shape=[12, 15]",
    "velocity.spacing=12.5",
    "survey.sources=3",
    "survey.receivers=5",
    "survey.time_samples=20",
    "survey.time_step=0.004",
    "dataset.storage=float32",
]


def draw_sample(number):
    rng = np.random.default_rng(number)
    velocity = rng.uniform(1500, 4600, (12, 15)).astype(np.float32)
    gathers = (rng.normal(size=(3, 5, 20)) * 10.0 ** rng.uniform(-6, 4)).astype(np.float32)
    dead = rng.random((3, 5)) < 0.2
    gathers[dead] = 0
    return SimpleNamespace(
        velocity=velocity,
        gathers=gathers,
        # Not what a threshold would give.
        salt_mask=rng.random((12, 15)) < 0.3,
        dead_trace=dead,
        source_x=np.sort(rng.uniform(0, 175, 3)).round(3),
        source_depth=rng.uniform(0, 20, 3).round(2),
        receiver_x=np.linspace(0, 175, 5),
        receiver_depth=np.full(5, 7.5),
        index=number,
        seed=3,
        split=(0, 0, 1, 0, 2)[number % 5],
        family=("layers", "salt")[number % 2],
        parameters={"number": number},
    )


def write_data(path, *settings):
    config = load_config("", [*SETTINGS, f"dataset.samples={SAMPLES}", *settings])
    samples = [vars(draw_sample(number)) for number in range(SAMPLES)]
    write_samples(path, config, samples, np.sin(np.arange(20.0)))
    return path


@pytest.fixture(scope="session")
def data_path(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "data.h5")


@pytest.fixture(scope="session")
def write():
    """Return the function that writes the data set with further settings."""
    return write_data


@pytest.fixture(scope="session")
def samples():
    return [draw_sample(number) for number in range(SAMPLES)]


@pytest.fixture(scope="session")
def marmousi():
    """Return the folder of velocity models that are too large to keep with the project."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    folder = Path(os.environ.get("SEISTOMO_DATA") or beside) / "velocity"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing; SEISTOMO_DATA names the folder that holds velocity/")
    return folder
