import numpy as np
import pytest

from seistomo.dataset import open_dataset, write_dataset
from seistomo.evaluation import baselines
from seistomo.evaluation.baselines import lateral_mean, mean_training_model


def test_mean_model_is_of_the_training_split_alone(tmp_path, config, models, monkeypatch):
    gathers = np.ones((len(models), 3, 5, 16), np.float32)
    write_dataset(tmp_path / "plain.h5", config, models, gathers)
    with open_dataset(tmp_path / "plain.h5") as data:
        train = data.indices("train")
    poisoned = np.full_like(models, 4321)
    poisoned[train] = models[train]
    write_dataset(tmp_path / "poisoned.h5", config, poisoned, gathers)
    monkeypatch.setattr(baselines, "BATCH", 4)
    with open_dataset(tmp_path / "poisoned.h5") as data:
        mean = mean_training_model(data, substitute=None)
    np.testing.assert_allclose(mean, models[train].mean(axis=0), rtol=1e-6)
    assert not np.allclose(mean, poisoned.mean(axis=0))


def test_a_set_without_training_samples_takes_the_runs_mean(data_path, monkeypatch):
    substitute = np.full((20, 24), 2345, np.float32)
    with open_dataset(data_path) as data:
        monkeypatch.setattr(data, "indices", lambda split: np.arange(0))
        assert mean_training_model(data, substitute) is substitute


def test_lateral_mean_is_constant_in_x_and_keeps_each_depths_mean(models):
    flat = lateral_mean(models)
    assert flat.shape == models.shape
    assert (np.ptp(flat, axis=2) == 0).all()
    np.testing.assert_allclose(flat[:, :, 0], models.mean(axis=2, dtype=float), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_other_layered_earth_is_nearer_than_the_lateral_mean(models, seed):
    best = np.mean((lateral_mean(models) - models) ** 2)
    change = np.random.default_rng(seed).normal(0, 20, (len(models), 20, 1))
    assert np.mean((lateral_mean(models) + change - models) ** 2) > best
