"""What cannot be trained is refused in one line before anything is written."""

import numpy as np
import pytest

from seistomo.config import Config, load_config
from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.training import train
from seistomo.training.tomography import config_for


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.batch_size=31"], "training.batch_size = 31: the training split"),
        (["velocity.shape=[12, 15]"], "velocity.shape = [12, 15]: "),
        (["survey.sources=4"], "survey.sources = 4: "),
        (["survey.time_samples=21"], "survey.time_samples = 21: "),
        (["survey.frequency=5.0"], "survey.frequency = 5.0: "),
        (["survey.source_x=[0.0, 100.0]"], "was made with none"),
        (["velocity.families={salt = 1.0}"], "velocity.families = {'salt': 1.0}: "),
        (["simulation.noise_snr=20.0"], "simulation.noise_snr = 20.0: "),
        (["dataset.split=[4, 2, 1]"], "dataset.split = [4, 2, 1]: "),
        (["optimizer.name=adamm"], "did you mean adam?"),
        (["optimizer.options={betaz = [0.9, 0.99]}"], "did you mean betas?"),
        (["optimizer.options={betas = [2.0, 0.99]}"], "Invalid beta parameter"),
        (["training.device=cuda:7"], "training.device = cuda:7"),
        (["training.device=toaster"], "must be auto, cpu, cuda or cuda:N"),
        (["training.device=meta"], "must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_settings_that_do_not_fit(dataset, make_config, tmp_path, overrides, message):
    with pytest.raises(InputError) as caught:
        train(make_config(*overrides), dataset, tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_data_set_says_what_the_configuration_leaves_out(dataset, make_config, tmp_path):
    settings = make_config("training.epochs=1")
    config = Config(
        network=settings.network, training=settings.training, optimizer=settings.optimizer
    )
    train(config, dataset, tmp_path / "run")
    assert load_config(tmp_path / "run" / "config.toml").velocity.shape == (12, 14)


def test_samples_seed_storage_and_speed_may_differ(dataset, make_config):
    free = (
        "dataset.samples=9",
        "dataset.seed=1",
        "dataset.shard_samples=7",
        "dataset.storage=float16",
        "simulation.models_per_call=3",
    )
    with open_dataset(dataset) as data:
        config = config_for(make_config(*free), data)
        assert config.dataset == data.config.dataset


@pytest.mark.parametrize("preset", ["quickstart", "tomography"])
def test_a_preset_goes_with_its_own_data_set(preset, tmp_path):
    made_with = load_config(preset, ["dataset.samples=1", "dataset.seed=1"])
    survey, count = made_with.survey, made_with.survey.sources * made_with.survey.receivers
    velocity = np.full((1, *made_with.velocity.shape), 2000, np.float32)
    gathers = np.zeros((1, count, survey.time_samples), np.float32)
    gathers = gathers.reshape(1, survey.sources, survey.receivers, -1)
    path = write_dataset(tmp_path / "data.h5", made_with, velocity, gathers)
    with open_dataset(path) as data:
        config = config_for(load_config(preset), data)
        assert config.dataset.seed == 1
        with pytest.raises(InputError, match="was made with"):
            config_for(load_config(preset, ["survey.amplitude=2.0"]), data)


def test_arrays_of_ones_own_train_with_the_settings_they_were_written_with(tmp_path, arrays):
    settings = ["velocity.shape=[12, 14]", "velocity.spacing=20", "survey.sources=3"]
    settings += ["survey.receivers=8", "survey.time_samples=20", "dataset.split=[5, 2, 1]"]
    path = write_dataset(tmp_path / "data.h5", load_config("", settings), *arrays)
    with open_dataset(path) as data:
        config_for(load_config("", settings), data)


def test_missing_data_set(make_config, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        train(make_config(), tmp_path / "nowhere.h5", tmp_path / "run")
    assert not any(tmp_path.iterdir())


def test_set_without_training_samples(make_dataset, make_config, tmp_path, arrays):
    velocity, gathers = arrays
    path = make_dataset("dataset.split=[1, 0, 900]", velocity=velocity[:1], gathers=gathers[:1])
    with pytest.raises(InputError, match="holds no training samples"):
        train(make_config("dataset.split=[1, 0, 900]"), path, tmp_path / "run")


def test_run_directory_that_cannot_be_made(dataset, make_config, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be made"):
        train(make_config("training.epochs=1"), dataset, tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"
