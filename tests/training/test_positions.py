"""A jittered survey: the U-Net and mutes go by each sample's own positions, wherever it is used."""

from dataclasses import replace

import numpy as np
import pytest

from seistomo.config import with_overrides
from seistomo.dataset import open_dataset
from seistomo.evaluation.prediction import predicted_batches
from seistomo.training import load_run, train

UNET = ["network.name=unet", "network.encoder_channels=[3, 4]", "network.latent=6",
        "network.decoder_channels=[4, 3]"]  # fmt: skip
JITTERED = ["survey.source_jitter=30.0", "survey.receiver_jitter=5.0", "survey.delay=0.0"]
MUTE = ["training.mute=top", "training.mute_speed=3000.0"]
SQGN = ["optimizer.name=sqgn", "optimizer.learning_rate=0.1",
        'optimizer.options={full_gradient_interval = "epoch", curvature_samples = 3}']  # fmt: skip


@pytest.fixture
def config(simulated_config):
    return lambda *overrides: simulated_config(*JITTERED, *overrides)


@pytest.fixture(scope="module")
def path(simulated):
    return simulated(*JITTERED)


@pytest.mark.parametrize(
    "overrides",
    [[*UNET, "training.noise_snr=[5.0, 10.0]"], [*UNET, "training.cache_memory=0.0", *MUTE],
     [*UNET, *SQGN], MUTE],
)  # fmt: skip
def test_a_run_predicts_what_training_saw(config, path, tmp_path, overrides):
    train(config(*overrides), path, tmp_path / "run")
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


def test_a_resumed_run_ends_with_the_same_bits(config, path, assert_resumes):
    assert_resumes(config(*UNET), path, stops=(4,))


@pytest.mark.parametrize("network", [[], UNET])
def test_mirrored_gathers_and_positions_give_the_mirrored_model(config, path, tmp_path, network):
    mirror = ["training.mirror=true", "evaluation.mirror=true"]
    train(config(*network, *mirror), path, tmp_path / "run")
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
