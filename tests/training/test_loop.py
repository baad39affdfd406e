"""Training of the tomography network on a data set, end to end, and what is refused."""

import csv

import numpy as np
import pytest
import torch

from seistomo.config import Config, load_config
from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.training import load_run, train
from seistomo.training.scores import structural_similarity
from seistomo.training.tomography import config_for

COLUMNS = (
    "epoch,iteration,seconds,train_loss,validation_loss,mse,ssim,learning_rate,"
    "gradient_evaluations,ggn_products"
)


@pytest.fixture(scope="module")
def trained(dataset, make_config, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, train(make_config("training.epochs=12"), dataset, run)


def squares(run, dataset):
    with open_dataset(dataset) as data:
        rows = data.indices("validation")
        return (run.predict(data.read_gathers(rows)).astype(float) - data.read_velocity(rows)) ** 2


def test_history(trained):
    run, result = trained
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ",".join(rows[0]) == COLUMNS
    history = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert list(history["epoch"]) == list(range(1, 13))
    # 30 training samples in batches of at most 8: four an epoch.
    assert list(history["iteration"]) == list(range(4, 52, 4))
    assert list(history["gradient_evaluations"]) == list(range(4, 52, 4))
    assert not history["ggn_products"].any()
    assert (np.diff(history["seconds"]) > 0).all()
    assert (history["learning_rate"] == 3e-3).all()
    assert load_config(run / "config.toml").training.epochs == 12
    assert result.dead_pixels == 0
    assert "validation RMSE" in str(result)


def test_scores_are_those_of_the_predictions(trained, dataset):
    run, result = trained
    for checkpoint, row in (("last", result.last), ("best", result.best)):
        loaded = load_run(run, checkpoint, "cpu")
        error = squares(loaded, dataset)
        assert row["mse"] == pytest.approx(error.mean(), rel=1e-6)
        assert row["validation_loss"] == pytest.approx(error.mean() * 12 * 14, rel=1e-6)
        assert len(loaded.history) == loaded.epoch == row["epoch"]
    with open_dataset(dataset) as data:
        rows = data.indices("validation")
        models = loaded.predict(data.read_gathers(rows)), data.read_velocity(rows)
    # The config's bounds, 1450 to 4650 m/s, are the range.
    ssim = structural_similarity(*models, 3200.0).mean()
    assert result.best["ssim"] == pytest.approx(ssim, rel=1e-6)
    losses = [row["validation_loss"] for row in result.history]
    assert result.best["epoch"] == 1 + np.argmin(losses)


def test_training_loss_is_equation_9_before_each_step(dataset, make_config, tmp_path):
    """With one batch an epoch the first loss is that of the mean model plus the start noise."""
    config = make_config("training.batch_size=30", "training.epochs=1", "network.output_scale=1e-9")
    result = train(config, dataset, tmp_path / "run")
    with open_dataset(dataset) as data:
        models = data.read_velocity(data.indices("train")).astype(float)
    expected = ((models - models.mean(axis=0)) ** 2).sum() / len(models)
    assert result.last["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_settings_that_change_no_bit(dataset, make_config, tmp_path):
    """The result depends on the seed, not on where samples are nor on torch's state before."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    short, threads = "training.epochs=2", torch.get_num_threads()
    found = {}
    for name, own in (
        ("one", []),
        ("other", ["training.cache_memory=0.0", "training.tensorboard=true"]),
        ("third", ["training.seed=1", "training.threads=2"]),
    ):
        torch.manual_seed(len(found))
        state = torch.get_rng_state()
        found[name] = train(make_config(short, *own), dataset, tmp_path / name)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads
    one, other, third = (load_run(tmp_path / name, "last", "cpu").network for name in found)
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(next(one.parameters()), next(third.parameters()))
    train(make_config("training.tensorboard=true"), dataset, tmp_path / "third", overwrite=True)
    events = accumulator.EventAccumulator(str(tmp_path / "other" / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("ssim")]
    rows = found["other"].history
    assert shown == [(row["epoch"], pytest.approx(row["ssim"])) for row in rows]


def test_dead_pixels_are_counted_and_told(dataset, make_config, tmp_path, capsys):
    config = make_config(
        "network.output_bias=zero", "network.output_scale=1.0", "optimizer.learning_rate=1e-6"
    )
    result = train(config, dataset, tmp_path / "run")
    with open_dataset(dataset) as data:
        gathers = data.read_gathers(data.indices("validation"))
    run = load_run(tmp_path / "run", "last", "cpu")
    lowest = float(run.normalization.velocity.unscale(torch.zeros(1)))
    dead = (run.predict(gathers) == lowest).all(axis=0)
    assert result.dead_pixels == pytest.approx(dead.mean())
    assert result.dead_pixels > 0.2
    warning = capsys.readouterr().err
    assert warning.count("zero for every sample") == 1
    assert 'network.output_bias = "mean"' in warning


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.batch_size=31"], "training.batch_size = 31: the training split"),
        (["training.samples=7"], "training.batch_size = 8: training.samples = 7"),
        (["velocity.shape=[12, 15]"], "velocity.shape = [12, 15]: "),
        (["velocity.families={salt = 1.0}"], "velocity.families.layers = none: "),
        (["optimizer.options={betaz = [0.9, 0.99]}"], "did you mean betas?"),
        (["training.device=cuda:7"], "training.device = cuda:7"),
    ],
)
def test_settings_that_do_not_fit(dataset, make_config, tmp_path, overrides, message):
    with pytest.raises(InputError) as caught:
        train(make_config(*overrides), dataset, tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_data_set_says_what_the_configuration_leaves_out(dataset, make_config):
    settings = make_config()
    parts = {name: getattr(settings, name) for name in ("network", "training", "optimizer")}
    # How many samples, which, and how they are stored may differ.
    free = ("dataset.samples=9", "dataset.seed=1", "dataset.storage=float16")
    with open_dataset(dataset) as data:
        assert config_for(Config(**parts), data).velocity.shape == (12, 14)
        assert config_for(make_config(*free), data).dataset == data.config.dataset


def test_a_preset_goes_with_its_own_data_set(tmp_path):
    preset = "quickstart"
    made_with = load_config(preset, ["dataset.samples=1", "dataset.seed=1"])
    survey = made_with.survey
    velocity = np.full((1, *made_with.velocity.shape), 2000, np.float32)
    gathers = np.zeros((1, survey.sources, survey.receivers, survey.time_samples), np.float32)
    path = write_dataset(tmp_path / "data.h5", made_with, velocity, gathers)
    with open_dataset(path) as data:
        assert config_for(load_config(preset), data).dataset.seed == 1
        with pytest.raises(InputError, match="was made with"):
            config_for(load_config(preset, ["survey.amplitude=2.0"]), data)


def test_sets_without_training_samples_and_no_set(make_dataset, make_config, tmp_path, arrays):
    velocity, gathers = arrays
    split = "dataset.split=[1, 0, 900]"
    path = make_dataset(split, velocity=velocity[:1], gathers=gathers[:1])
    with pytest.raises(InputError, match="holds no training samples"):
        train(make_config(split), path, tmp_path / "run")
    with pytest.raises(InputError, match="no such file"):
        train(make_config(), tmp_path / "nowhere.h5", tmp_path / "run")
    assert not any(tmp_path.iterdir())
