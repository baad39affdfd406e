"""A data set in a second: smooth models and a fixed linear map in place of wave propagation."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from seistomo.config import parse_config
from seistomo.dataset import write_dataset
from seistomo.simulation import make_wavelet

CONFIG = """
[velocity]
shape = [12, 14]
spacing = 20.0
[survey]
sources = 3
receivers = 8
time_samples = 20
[dataset]
split = [5, 2, 1]
storage = "float32"
[network]
channels = [3, 4]
kernels = [[3, 4, 4], [3, 4, 3]]
pools = [[1, 2, 2], [2, 2, 2]]
[training]
epochs = 4
batch_size = 8
threads = 1
device = "cpu"
[optimizer]
learning_rate = 3e-3
"""
SAMPLES = 48


@pytest.fixture(scope="session")
def make_config():
    """Return the configuration of the tests with ``section.key=value`` strings applied."""
    return lambda *overrides: parse_config(CONFIG, overrides)


@pytest.fixture(scope="session")
def arrays():
    """Return velocity [sample, depth, x] in m/s and gathers [sample, source, receiver, time]."""
    random = np.random.default_rng(5)
    noise = random.standard_normal((SAMPLES, 12, 14))
    velocity = 2500 + 3000 * gaussian_filter(noise, (0, 2, 2))
    velocity = velocity.clip(1500, 4500).astype(np.float32)
    survey = random.standard_normal((12 * 14, 3 * 8 * 20)) / 13
    gathers = ((velocity.reshape(SAMPLES, -1) - 2500) / 500) @ survey + 0.3
    # Strong early arrivals, as in the field.
    gathers = gathers.reshape(SAMPLES, 3, 8, 20) * np.exp(-np.arange(20) / 4)
    return velocity, gathers.astype(np.float32)


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory, arrays, make_config):
    """Return a function that writes a data set and returns its path."""

    def make(*overrides, velocity=arrays[0], gathers=arrays[1]):
        path = tmp_path_factory.mktemp("data") / "data.h5"
        config = make_config(*overrides)
        wavelet = make_wavelet(config.survey)
        write_dataset(path, config, velocity, gathers, wavelet=wavelet)
        return path

    return make


@pytest.fixture(scope="session")
def dataset(make_dataset):
    """Return the path of the data set: 30 training, 12 validation, 6 test samples."""
    return make_dataset()
