"""A jittered survey: the U-Net and mutes go by each sample's own positions, wherever it is used."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seistomo.config import parse_config, with_overrides
from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.evaluation.prediction import predicted_batches
from seistomo.training import load_run, train
from seistomo.training.checkpoint import load_checkpoint

CONFIG = """
[velocity]
shape = [12, 14]
spacing = 20.0
water_probability = 0.0
[survey]
sources = 2
receivers = 7
time_samples = 40
time_step = 0.01
delay = 0.0
source_jitter = 30.0
receiver_jitter = 5.0
[dataset]
samples = 14
seed = 3
[network]
name = "unet"
encoder_channels = [3, 4]
latent = 6
decoder_channels = [4, 3]
[training]
epochs = 2
batch_size = 4
threads = 1
device = "cpu"
"""
CNN = ["network.name=tomography", "network.channels=[2]", "network.kernels=[[2, 4, 4]]",
       "network.pools=[[1, 2, 2]]"]  # fmt: skip
MUTE = ["training.mute=top", "training.mute_speed=3000.0"]
SQGN = ["optimizer.name=sqgn", "optimizer.learning_rate=0.1",
        'optimizer.options={full_gradient_interval = "epoch", curvature_samples = 3}']  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Return the path of a data set: 10 training, 2 validation and 2 test samples."""
    path = tmp_path_factory.mktemp("jittered") / "data.h5"
    simulate(parse_config(CONFIG), path, device="cpu")
    return path


@pytest.mark.parametrize(
    "overrides",
    [["training.noise_snr=[5.0, 10.0]"], ["training.cache_memory=0.0", *MUTE], SQGN, [*CNN, *MUTE]],
)
def test_a_run_predicts_what_training_saw(path, tmp_path, overrides):
    config = parse_config(CONFIG, overrides)
    train(config, path, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    with open_dataset(path) as data:
        rows = data.indices("validation")
        positions = [data.read_survey(row) for row in rows]
        gathers, models = data.read_gathers(rows), data.read_velocity(rows)
        predicted = run.predict(gathers, positions)
        error = np.square(predicted.astype(float) - models).mean()
        assert error == pytest.approx(run.history[-1]["mse"], rel=1e-5)
        one = next(iter(predicted_batches(run, data, rows)))
        np.testing.assert_allclose(one[1][0], predicted, rtol=1e-6)
    alone = run.predict(gathers[1:], positions[1:])
    np.testing.assert_allclose(alone[0], predicted[1], rtol=1e-5)
    for others in (None, positions[::-1]):
        assert (np.abs(run.predict(gathers, others) - predicted).max(axis=(1, 2)) > 0.01).all()
    # None stands for the survey before jitter.
    before = run.config.survey.positions(run.config.velocity.x_extent)
    mixed = run.predict(gathers, [positions[0], None])
    np.testing.assert_allclose(mixed[0], predicted[0], rtol=1e-5)
    np.testing.assert_allclose(mixed[1:], run.predict(gathers[1:], [before]), rtol=1e-5)


def test_a_resumed_run_ends_with_the_same_bits(path, tmp_path):
    config = parse_config(CONFIG)
    train(config, path, tmp_path / "whole")
    train(with_overrides(config, ["training.epochs=1"]), path, tmp_path / "run")
    train(config, path, tmp_path / "run", resume=True)
    one, other = (load_checkpoint(tmp_path / r / "checkpoint.pt") for r in ("whole", "run"))
    assert all(torch.equal(tensor, other.network[name]) for name, tensor in one.network.items())


@pytest.mark.parametrize("network", [[], CNN])
def test_mirrored_gathers_and_positions_give_the_mirrored_model(path, tmp_path, network):
    mirror = ["training.mirror=true", "evaluation.mirror=true"]
    train(parse_config(CONFIG, [*network, *mirror]), path, tmp_path / "run")
    run = load_run(tmp_path / "run", "last")
    with open_dataset(path) as data:
        gathers, survey = data.read_gathers([0]), data.read_survey(0)
    width = run.config.velocity.x_extent
    turned = {name: x[::-1] if "depth" in name else width - x[::-1] for name, x in survey.items()}
    predicted = run.predict(gathers, [survey])
    other = run.predict(np.ascontiguousarray(gathers[:, ::-1, ::-1]), [turned])
    np.testing.assert_allclose(other[..., ::-1], predicted, rtol=1e-4)
    run = replace(run, config=with_overrides(run.config, ["evaluation.mirror=false"]))
    assert not np.allclose(run.predict(gathers, [survey]), predicted, rtol=1e-4)
