"""Mirrored samples: the same physics seen from behind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from seistomo.config import load_config, with_overrides
from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.simulation import Simulator, make_wavelet
from seistomo.training import load_run, train
from seistomo.training.augmentation import Augmentation
from seistomo.training.data import SplitData
from seistomo.training.mirror import mirror, mirrored_rows
from seistomo.training.normalization import learn_normalization
from seistomo.training.room import GIB
from seistomo.velocity import draw_model


def test_mirrored_pair_is_what_the_wave_equation_gives_for_the_mirrored_model():
    config = load_config(
        "", ["velocity.shape=[24, 28]", "survey.sources=3", "survey.receivers=9",
             "survey.time_samples=140"],
    )  # fmt: skip
    model = draw_model(config.velocity, 0, 4).velocity
    models = np.ascontiguousarray(np.stack([model, model[:, ::-1]]))
    gathers = torch.from_numpy(Simulator(config, "cpu")(models, [0, 0]))
    turned, velocity = mirror(gathers[:1], torch.from_numpy(models[:1]), torch.tensor([True]))
    assert torch.equal(velocity[0], torch.from_numpy(models[1]))
    error = (turned[0] - gathers[1]).abs().max() / gathers.abs().max()
    assert error < 1e-5  # measured: 2e-7


def test_mirroring_twice_is_nothing_and_touches_the_chosen_alone():
    gathers, velocity = torch.randn(3, 2, 4, 5), torch.randn(3, 6, 7)
    which = torch.tensor([True, False, True])
    once = mirror(gathers, velocity, which)
    assert torch.equal(once[0][1], gathers[1])
    assert not torch.equal(once[0][0], gathers[0])
    for back, start in zip(mirror(*once, which), (gathers, velocity), strict=True):
        assert torch.equal(back, start)


def test_choice_depends_on_seed_and_epoch_alone():
    one = mirrored_rows(1, 2, 1000)
    assert np.array_equal(one, mirrored_rows(1, 2, 1000))
    assert not np.array_equal(one, mirrored_rows(1, 3, 1000))
    assert not np.array_equal(one, mirrored_rows(2, 2, 1000))
    assert 0.45 < one.mean() < 0.55


@pytest.mark.parametrize("memory", [0, GIB])
def test_batches_are_mirrored_from_memory_and_from_the_file(dataset, make_config, memory):
    with open_dataset(dataset) as data:
        normalization = learn_normalization(data, make_config("training.mirror=true").training)
        split = SplitData(data, data.indices("train"), normalization, torch.device("cpu"), memory)
        rows, which = np.array([3, 7]), np.zeros(30, bool)
        which[7] = True
        augmentation = Augmentation(split.samples, which)
        (plain,), (turned,) = split.batches([rows]), split.batches([rows], augmentation)
        both = torch.arange(2)
        for one, other in zip(plain.take(both), turned.take(both), strict=True):
            assert torch.equal(one[0], other[0])
            axes = (2, 3) if one.ndim == 5 else (2,)
            assert torch.equal(one[1:].flip(axes), other[1:])
    mean = normalization.gathers.mean
    np.testing.assert_allclose(mean, mean[::-1, ::-1], rtol=1e-6)


def test_training_with_mirrored_samples_takes_other_steps(dataset, make_config, tmp_path):
    plain = train(make_config("training.epochs=2"), dataset, tmp_path / "plain")
    turned = train(
        make_config("training.epochs=2", "training.mirror=true"), dataset, tmp_path / "turned"
    )
    assert plain != turned


@pytest.mark.parametrize("key", ["training.mirror", "evaluation.mirror"])
def test_a_survey_that_is_not_symmetric_is_refused(make_config, arrays, tmp_path, key):
    config = make_config("survey.source_x=[0.0, 200.0]")
    path = write_dataset(tmp_path / "data.h5", config, *arrays)
    config = make_config("survey.source_x=[0.0, 200.0]", f"{key}=true")
    with pytest.raises(
        InputError, match=rf"{key} = true: the sources of .* not symmetric about x = 130 m"
    ):
        train(config, path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["network.name=unet", "network.latent=8", "network.output_coarsening=2"],
        ["training.noise_snr=[0.0, 20.0]", "training.dead_traces=[0.0, 0.3]"],
        ["training.loss=mse+ssim", "training.averaging=ema"],
        ["training.mute=top", "training.gather_scaling=gain"],
    ],
)
def test_prediction_averages_both_sides_when_asked(make_config, arrays, tmp_path, overrides):
    config = make_config(
        "training.epochs=1", "evaluation.mirror=true", "survey.time_step=0.02", "survey.delay=0.0",
        *overrides,
    )  # fmt: skip
    dataset = write_dataset(
        tmp_path / "data.h5", config, *arrays, wavelet=make_wavelet(config.survey)
    )
    train(config, dataset, tmp_path / "run")
    run = load_run(tmp_path / "run")
    gathers = arrays[1][:3]
    both = run.predict(gathers)
    alone = replace(run, config=with_overrides(run.config, ["evaluation.mirror=false"]))
    # Mirroring is of scaled gathers; the mean gather that scaling removes is not symmetric here.
    scaled = torch.from_numpy(run.normalization.gathers(gathers)).unsqueeze(1)
    with torch.no_grad():
        turned = run.network(scaled.flip(2, 3)).flip(2).numpy()
    expected = (alone.predict(gathers) + run.normalization.velocity.unscale(turned)) / 2
    np.testing.assert_allclose(both, expected, rtol=1e-5)
    assert not np.allclose(both, alone.predict(gathers), rtol=1e-5)
