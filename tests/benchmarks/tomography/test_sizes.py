import pytest
import torch

from seistomo.benchmarks.tomography.sizes import SIZES, size_config, velocity_span
from seistomo.errors import InputError
from seistomo.networks import build_network, parameter_count


@pytest.mark.parametrize("size", SIZES)
def test_an_epoch_has_the_papers_eight_batches(size):
    config = size_config(size)
    train, validation, test = config.dataset.split
    samples = config.dataset.samples * train // (train + validation + test)
    assert samples == 8 * config.training.batch_size
    assert velocity_span(config) == config.velocity.maximum - config.velocity.minimum


def test_the_papers_size_has_the_published_weights():
    config = size_config("paper")
    shape = (config.survey.sources, config.survey.receivers, config.survey.time_samples)
    network = build_network(config.network, shape, config.velocity.shape, torch.Generator())
    assert shape == (31, 256, 300)
    assert parameter_count(network) == 10_951_700
    assert (config.training.batch_size, config.training.epochs) == (100, 200)
    assert config.training.loss == "mse"


@pytest.mark.parametrize(
    ("size", "settings", "words"),
    [
        ("large", [], "--size large: must be one of paper, small, tiny"),
        ("tiny", ["training.epochs=3"], "training.epochs is --epochs"),
        ("tiny", ["optimizer.learning_rate=0.1"], "see --optimizers"),
        ("tiny", ["training.velocity_scaling=extremes"], "stays as it is"),
        ("tiny", ["training.patience=2"], "all rows go equally far"),
        ("tiny", ["simulation.water_speed=1500"], "--set simulation.water_speed has no effect"),
    ],
)
def test_what_cannot_be_set_is_refused(size, settings, words):
    with pytest.raises(InputError, match=words):
        size_config(size, settings)


def test_what_a_size_says_in_vain_beside_a_setting_is_no_fault_of_the_users():
    assert not size_config("tiny", ["velocity.families=layers"]).velocity.draws_salt


def test_a_given_data_set_decides_what_describes_data(data, base):
    config = size_config("small", ["training.gather_scaling=gain"], data)
    assert config.velocity == base.velocity
    assert config.survey == base.survey
    assert config.network == size_config("small").network
    assert config.training.gather_scaling == "gain"
    with pytest.raises(InputError, match="is decided by --data"):
        size_config("small", ["survey.sources=3"], data)


@pytest.mark.parametrize("setting", ["training.ssim_weight=0.1", "network.latent=8"])
def test_what_has_an_effect_in_a_study_alone_is_refused_without_one(setting):
    with pytest.raises(InputError, match="has no effect"):
        size_config("small", [setting])
    assert size_config("small", [setting], studied=True)
    with pytest.raises(InputError, match="has no effect"):
        size_config("small", ["simulation.water_speed=1500"], studied=True)
