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
from seistomo.training.history import read_history

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


def told(run):
    """Return what the checkpoint knows, without times."""
    content = vars(load_checkpoint(run / "checkpoint.pt"))
    progress = vars(content["progress"])
    for name in ("seconds", "data_seconds", "peak_memory"):
        progress[name] = 0
    content["history"] = [{**row, "seconds": 0} for row in content["history"]]
    return {**content, "progress": progress}


def compare(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            compare(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            compare(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other or one != one


@pytest.fixture
def assert_same():
    """Return a check that nested values have the same bits."""
    return compare


@pytest.fixture
def assert_same_runs():
    """Return a check that two runs have the same bits, times apart."""

    def check(one, other):
        compare(told(one), told(other))
        compare(*(load_checkpoint(run / "best.pt").network for run in (one, other)))
        rows = [read_history(run / "history.csv") for run in (one, other)]
        compare(*([{**row, "seconds": 0} for row in table] for table in rows))
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
