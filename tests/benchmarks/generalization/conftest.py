"""A trained run and its data set, as small as the waves allow."""

import numpy as np
import pytest

from seistomo.benchmarks.generalization.scoring import ConditionScores
from seistomo.config import parse_config
from seistomo.dataset.generate import simulate
from seistomo.progress import quietly
from seistomo.training import load_run, train

CONFIG = """
[velocity]
shape = [16, 20]
spacing = 25.0
families = ["layers", "salt"]
[survey]
sources = 2
receivers = 6
frequency = 4.8
time_step = 0.02
time_samples = 64
[dataset]
samples = 16
split = [2, 1, 1]
[network]
channels = [4]
kernels = [[1, 3, 3]]
pools = [[1, 2, 4]]
[training]
epochs = 1
batch_size = 4
device = "cpu"
threads = 1
"""


@pytest.fixture(scope="session")
def config():
    return parse_config(CONFIG)


@pytest.fixture(scope="session")
def data_path(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("data") / "data.h5"
    with quietly():
        simulate(config, path, device="cpu")
    return path


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, config, data_path):
    path = tmp_path_factory.mktemp("runs") / "run"
    with quietly():
        train(config, data_path, path)
    return path


@pytest.fixture(scope="session")
def trained(run_dir):
    return load_run(run_dir, "best", "cpu")


def _scores(name, group, rmse, baseline=500.0, ssim=(0.5, 0.6, 0.7), note=""):
    """Return scores of three samples."""
    rmse, ssim = np.asarray(rmse, float), np.asarray(ssim, float)
    mse = float(np.mean(rmse**2))
    columns = {
        "mse": (rmse**2).tolist(),
        "rmse": rmse.tolist(),
        "ssim": ssim.tolist(),
        "salt_iou": [None, None, 0.5],
    }
    other = {
        "mse": [baseline**2] * 3,
        "rmse": [baseline] * 3,
        "ssim": [0.4] * 3,
        "salt_iou": [None, None, 0.0],
    }
    summary = {
        "samples": 3,
        "mse": mse,
        "rmse": mse**0.5,
        "mae": 1.0,
        "ssim": float(ssim.mean()),
        "salt_iou": 0.5,
        "loss": mse * 320,
        "baseline": {"mse": baseline**2, "rmse": baseline, "ssim": 0.4, "salt_iou": 0.0},
        "oracle_1d": {"mse": 100.0**2, "rmse": 100.0, "ssim": 0.9, "salt_iou": 0.0},
    }
    return ConditionScores(name, name, group, note, summary, columns, other)


@pytest.fixture(scope="session")
def make_scores():
    """Return a function that makes scores."""
    return _scores
