"""A small data set whose gathers carry the sample's number, and a network that reads it there."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from seistomo.config import parse_config
from seistomo.dataset import open_dataset, write_dataset
from seistomo.evaluation import prediction, scoring

CONFIG = """
[velocity]
shape = [20, 24]
spacing = 25.0
[survey]
sources = 3
receivers = 5
time_samples = 16
time_step = 0.01
[dataset]
split = [5, 1, 1]
storage = "float32"
[network]
channels = [4]
kernels = [[1, 3, 3]]
pools = [[1, 2, 2]]
[training]
epochs = 2
batch_size = 10
[evaluation]
salt_threshold = 4000.0
batch_size = 3
"""
SAMPLES = 35
FAMILIES = ("layers", "salt", "folds", "faults")


def draw_models(random, count=SAMPLES):
    """Layers that rise with depth and differ in x; every fourth model holds salt."""
    depth, x = np.mgrid[0:20, 0:24]
    models = []
    for index in range(count):
        slope, start = random.uniform(-0.2, 0.2), random.uniform(1700, 2100)
        model = start + 60 * np.floor((depth + slope * x) / 3)
        if FAMILIES[index % 4] == "salt":
            size = random.uniform(3, 6)
            model[(depth - 13) ** 2 + (x - random.uniform(6, 18)) ** 2 < size**2] = 4400
        models.append(np.clip(model, 1500, 4500))
    return np.array(models, dtype=np.float32)


@pytest.fixture
def config():
    return parse_config(CONFIG)


@pytest.fixture
def models():
    return draw_models(np.random.default_rng(5))


@pytest.fixture
def data_path(tmp_path, config, models):
    random = np.random.default_rng(6)
    gathers = random.normal(size=(SAMPLES, 3, 5, 16)).astype(np.float32)
    gathers[:, 0, 0, 0] = np.arange(SAMPLES)
    path = tmp_path / "data.h5"
    family = [FAMILIES[index % 4] for index in range(SAMPLES)]
    write_dataset(path, config, models, gathers, family=family)
    return path


@pytest.fixture
def run_dir(tmp_path, config):
    """A run directory as far as figures and reports read it."""
    folder = tmp_path / "run"
    folder.mkdir()
    rows = ["epoch,seconds,train_loss,validation_loss,mse,ssim,ggn_products"]
    for epoch in range(1, 5):
        loss = 1e9 / epoch
        rows.append(f"{epoch},{0.5 * epoch},{loss},{1.2 * loss},{loss / 480},{0.1 * epoch},0")
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(config.to_toml())
    return folder


class FakeRun(SimpleNamespace):
    """Predicts the true model of the sample named in the gathers, changed by ``error``."""

    def predict(self, gathers, positions=None):
        self.batches.append(len(gathers))
        rows = np.rint(gathers[:, 0, 0, 0]).astype(int)
        return self.error(self.models[rows], rows).astype(np.float32)

    def predict_each(self, gathers, positions=None):
        return self.predict(gathers, positions)[None]


@pytest.fixture
def fake_run(monkeypatch, config, data_path, run_dir, models):
    """A run that `evaluate` and `predict` load; it predicts ``error(models, rows)``."""
    with open_dataset(data_path) as data:
        identity = data.identity
    run = FakeRun(
        path=run_dir,
        config=config,
        network=torch.nn.Linear(3, 4),
        normalization=SimpleNamespace(mean_velocity=models.mean(axis=0)),
        data_identity=identity,
        epoch=4,
        gather_shape=(3, 5, 16),
        velocity_shape=(20, 24),
        gathers=None,
        models=models,
        error=lambda velocity, rows: velocity + 30 * np.sin(rows)[:, None, None],
        batches=[],
    )
    for module in (scoring, prediction):
        monkeypatch.setattr(module, "load_run", lambda *arguments: run)
    return run


@pytest.fixture
def no_report(monkeypatch):
    """Leave out the slow part where a test is about something else."""
    monkeypatch.setattr(scoring, "write_report", lambda *arguments: None)
