"""What cannot be trained is refused in one line before anything is written."""

import pytest

from seistomo.config import Config, load_config
from seistomo.errors import InputError
from seistomo.training import train


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.batch_size=31"], "training.batch_size = 31: the training split"),
        (["velocity.shape=[12, 15]"], "velocity.shape = [12, 15]: "),
        (["survey.sources=4"], "survey.sources = 4: "),
        (["survey.time_samples=21"], "survey.time_samples = 21: "),
        (["optimizer.name=adamm"], "did you mean adam?"),
        (["optimizer.options={betaz = [0.9, 0.99]}"], "did you mean betas?"),
        (["optimizer.options={betas = [2.0, 0.99]}"], "Invalid beta parameter"),
        (["training.device=cuda:7"], "training.device = 'cuda:7'"),
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


def test_missing_data_set(make_config, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        train(make_config(), tmp_path / "nowhere.h5", tmp_path / "run")
    assert not any(tmp_path.iterdir())


def test_models_too_small_for_the_scores(make_dataset, make_config, tmp_path, arrays):
    path = make_dataset("velocity.shape=[10, 14]", velocity=arrays[0][:, :10])
    with pytest.raises(InputError, match="at least 11 nodes"):
        train(make_config("velocity.shape=[10, 14]"), path, tmp_path / "run")


def test_set_without_training_samples(make_dataset, make_config, tmp_path, arrays):
    velocity, gathers = arrays
    path = make_dataset("dataset.split=[1, 0, 900]", velocity=velocity[:1], gathers=gathers[:1])
    with pytest.raises(InputError, match="training"):
        train(make_config(), path, tmp_path / "run")


def test_run_directory_that_cannot_be_made(dataset, make_config, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be made"):
        train(make_config("training.epochs=1"), dataset, tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"
