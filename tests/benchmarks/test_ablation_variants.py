"""The ablation's variants: each changes something, each is trainable, none costs more."""

import math

import numpy as np
import pytest

from seistomo.benchmarks.ablation_variants import (
    SMALL_UNET,
    VARIANTS,
    network_cost,
    variants_for,
)
from seistomo.benchmarks.tomography.sizes import size_config
from seistomo.config import load_config, with_overrides
from seistomo.dataset import write_dataset
from seistomo.errors import InputError
from seistomo.networks import build_network, parameter_count
from seistomo.simulation import make_wavelet
from seistomo.training import train

TINY = [
    "velocity.shape=[12, 14]", "velocity.spacing=20.0", "survey.sources=3", "survey.receivers=8",
    "survey.time_samples=24", "survey.time_step=0.02", "survey.delay=0.0", "network.channels=[3]",
    "network.kernels=[[3, 4, 4]]", "network.pools=[[1, 2, 2]]", "dataset.split=[1, 1, 0]",
    "training.epochs=1", "training.batch_size=4", "training.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Return a configuration and a data set of its size, of noise."""
    config = load_config("", TINY)
    random = np.random.default_rng(0)
    velocity = random.uniform(1600, 4000, (16, 12, 14)).astype(np.float32)
    gathers = random.standard_normal((16, 3, 8, 24)).astype(np.float32)
    path = tmp_path_factory.mktemp("data") / "data.h5"
    write_dataset(path, config, velocity, gathers, wavelet=make_wavelet(config.survey))
    return config, path


def test_variants_change_the_configuration_each_in_its_own_way():
    config = load_config("tomography")
    texts = {name: variant.applied(config).to_toml() for name, variant in VARIANTS.items()}
    texts["baseline again"] = config.to_toml()
    assert texts.pop("baseline again") == texts["baseline"]
    assert len(set(texts.values())) == len(VARIANTS)
    assert VARIANTS["baseline"].settings(config) == ()


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "baseline"])
def test_every_variant_trains(small, tmp_path, name):
    config, path = small
    result = train(VARIANTS[name].applied(config), path, tmp_path / "run")
    assert math.isfinite(result.last.validation_loss)


def test_only_a_convex_loss_is_left_to_curvature():
    for optimizer in ("sqgn", "sgn"):
        found = variants_for(optimizer)
        assert all("mse+ssim" not in text for v in found.values() for text in v.overrides)
        assert "unet" in found
    assert "ssim" not in variants_for("seistomo.optim.SGN")
    assert list(variants_for("adam")) == list(VARIANTS)
    assert list(variants_for("sgn", ["ema", "ssim"])) == ["ema"]
    with pytest.raises(InputError, match="--variants emma: must be of baseline, "):
        variants_for("adam", ["emma"])


def test_encoder_decoder_has_fewer_weights_than_a_small_cnn():
    config = load_config("quickstart")
    survey, velocity = config.survey, config.velocity
    size = (survey.sources, survey.receivers, survey.time_samples), velocity.shape
    unet = with_overrides(config, SMALL_UNET)
    counts = [parameter_count(build_network(c.network, *size)) for c in (config, unet)]
    assert counts[1] < counts[0]


@pytest.mark.parametrize("size", ["small", "paper"])
def test_encoder_decoder_costs_no_more_than_the_benchmarks_network(size):
    config = size_config(size)
    cost, most = network_cost(VARIANTS["unet"].applied(config)), network_cost(config)
    assert cost.weights <= most.weights
    assert cost.gigaflops <= most.gigaflops
    # As much of it as there may be.
    assert cost.weights > 0.5 * most.weights


def test_the_mute_follows_the_speed_at_the_surface():
    land = ["velocity.water_probability=0.0", "velocity.surface_velocity=[1800.0, 2200.0]"]
    speeds = {
        "water": load_config("tomography"),
        "land": load_config("tomography", land),
        "rising": load_config(
            "tomography",
            [*land, 'velocity.layer_speeds="rising"', "velocity.velocity_cap=3600.0"],
        ),
        "given": with_overrides(load_config("tomography", land), ["training.mute_speed=1700.0"]),
    }
    found = {
        name: VARIANTS["gain-mute-top"].applied(config).training.mute_speed
        for name, config in speeds.items()
    }
    # Of 5 to 12 layers the uppermost is the slowest: 1800 + 1800 / 9.5 on the mean.
    assert found == {"water": 1480.0, "land": 2000.0, "rising": 1989.0, "given": 1700.0}


def test_the_tail_is_a_fifth_of_the_epochs():
    for epochs, tail in ((2, 1), (50, 10), (200, 40)):
        config = load_config("tomography", [f"training.epochs={epochs}"])
        assert VARIANTS["tail"].applied(config).training.averaging_epochs == tail
