"""A data set in a second: smooth models and a fixed linear map in place of wave propagation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from seistomo.config import parse_config, with_overrides
from seistomo.dataset import write_dataset
from seistomo.dataset.generate import simulate
from seistomo.simulation import make_wavelet
from seistomo.training import train
from seistomo.training.averaging import WeightAverage
from seistomo.training.checkpoint import load_checkpoint

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
# A survey small enough to be simulated.
SIMULATED = """
[velocity]
shape = [12, 14]
spacing = 20.0
water_probability = 0.0
[survey]
sources = 2
receivers = 7
time_samples = 40
time_step = 0.01
[dataset]
samples = 14
seed = 3
[network]
channels = [2]
kernels = [[2, 4, 4]]
pools = [[1, 2, 2]]
[training]
epochs = 2
batch_size = 4
threads = 1
device = "cpu"
"""


@pytest.fixture(scope="session")
def make_config():
    """Return the configuration of the tests with ``section.key=value`` strings applied."""
    return lambda *overrides: parse_config(CONFIG, overrides)


@pytest.fixture(scope="session")
def simulated_config():
    """Return the configuration of what is simulated with ``section.key=value`` strings applied."""
    return lambda *overrides: parse_config(SIMULATED, overrides)


@pytest.fixture(scope="session")
def simulated(tmp_path_factory, simulated_config):
    """Return a function that simulates: 10 training, 2 validation and 2 test samples."""

    def simulated(*overrides):
        path = tmp_path_factory.mktemp("simulated") / "data.h5"
        simulate(simulated_config(*overrides), path, device="cpu")
        return path

    return simulated


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


class StoppedError(Exception):
    """Stands for whatever ends a run."""


def told(run, name):
    """Return a checkpoint's network, optimizer and history without times."""
    saved = load_checkpoint(run / name)
    tensors = [*saved.network.values(), *saved.averaging.get("own", {}).values()]
    for state in saved.optimizer.get("state", {}).values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    return tensors, [{**row, "seconds": 0} for row in saved.history]


@pytest.fixture
def assert_same_runs():
    """Return a check that two runs have the same bits, times apart."""

    def check(one, other):
        for name in ("checkpoint.pt", "best.pt"):
            (first, rows), (second, others) = told(one, name), told(other, name)
            assert rows == others
            for a, b in zip(first, second, strict=True):
                assert torch.equal(a, b)
        assert not list(other.glob(".*"))

    return check


@pytest.fixture
def assert_resumes(tmp_path, monkeypatch, assert_same_runs):
    """Return a check that a run that is stopped at some steps ends as one that never was.

    It leaves both in ``tmp_path``, as "run" and "whole".
    """

    def check(config, data, stops):
        config = with_overrides(config, ["training.checkpoint_iterations=1"])
        train(config, data, tmp_path / "whole")
        steps, add = [], WeightAverage.add

        def stopping(self, epoch):
            steps.append(epoch)
            if len(steps) in stops:
                raise StoppedError
            add(self, epoch)

        with monkeypatch.context() as patch:
            patch.setattr(WeightAverage, "add", stopping)
            for _ in stops:
                with pytest.raises(StoppedError):
                    train(config, data, tmp_path / "run", resume=True)
        train(config, data, tmp_path / "run", resume=True)
        assert_same_runs(tmp_path / "whole", tmp_path / "run")

    return check
