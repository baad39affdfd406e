"""The tiny size on models and gathers that took no simulation."""

import numpy as np
import pytest

from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.benchmarks.tomography.runs import Workplace
from seistomo.benchmarks.tomography.sizes import size_config
from seistomo.config import with_overrides
from seistomo.dataset import write_dataset

SAMPLES = 28


def models(count=SAMPLES):
    """Two layers; every other model holds salt, more of it from one to the next."""
    random = np.random.default_rng(0)
    velocity = np.full((count, 16, 16), 2000.0, np.float32)
    for number, model in enumerate(velocity):
        model[random.integers(4, 12) :] = random.uniform(2300, 3000)
        if number % 2:
            model[8 : 9 + number // 6, 4:10] = 4500.0
    return velocity


@pytest.fixture(scope="session")
def base():
    """Return the configuration of the tests: 20 training samples, 4 batches, 2 epochs."""
    config = size_config("tiny", [f"dataset.samples={SAMPLES}"])
    return with_overrides(
        config, ["training.epochs=2", "training.threads=1", 'training.device="cpu"']
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory, base):
    """Write a data set whose gathers are a linear map of the models."""
    velocity = models()
    random = np.random.default_rng(1)
    survey = base.survey
    shape = (survey.sources, survey.receivers, survey.time_samples)
    linear = random.standard_normal((16 * 16, int(np.prod(shape)))).astype(np.float32) / 16
    gathers = ((velocity.reshape(SAMPLES, -1) - 2500) / 500) @ linear
    path = tmp_path_factory.mktemp("data") / "data.h5"
    family = ["salt" if number % 2 else "layers" for number in range(SAMPLES)]
    write_dataset(path, base, velocity, gathers.reshape(SAMPLES, *shape), family=family)
    return path


@pytest.fixture
def place(tmp_path, data):
    return Workplace(BenchmarkFolder(tmp_path / "out"), data)
