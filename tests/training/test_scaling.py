"""Scalings: learnt from the training split alone, as documented, invertible; the mute before."""

import numpy as np
import pytest
import torch

from seistomo.config import load_config
from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.simulation import Simulator, make_wavelet
from seistomo.training import train
from seistomo.training.mute import Mute, mute_of
from seistomo.training.scaling import VelocityScaling, learn_normalization

KINDS = ("none", "standard", "asinh", "trace", "gain")


def learn(path, config):
    with open_dataset(path) as data:
        return learn_normalization(data, config.training), data.read_gathers(data.indices("train"))


def expected_transform(gathers, kind):
    if kind == "asinh":
        return np.arcsinh(gathers / (0.2 * gathers.std()))
    if kind == "trace":
        return gathers / np.sqrt((gathers**2).mean(axis=-1, keepdims=True))
    if kind == "gain":
        return gathers * (np.arange(1, 21) / 20) ** 1.5
    return gathers


@pytest.mark.parametrize("kind", KINDS)
def test_scaled_training_gathers_are_as_documented(dataset, make_config, kind):
    config = make_config(f"training.gather_scaling={kind}", "training.gain_power=1.5")
    normalization, gathers = learn(dataset, config)
    scaled = normalization.gathers(gathers)
    assert scaled.dtype == torch.float32
    # Each sample by itself.
    assert torch.equal(normalization.gathers(gathers[3:4])[0], scaled[3])
    scaled = scaled.numpy()
    if kind == "none":
        assert np.array_equal(scaled, gathers)
        return
    transformed = expected_transform(gathers.astype(np.float64), kind)
    expected = (transformed - transformed.mean(axis=0)) / (
        transformed - transformed.mean(axis=0)
    ).std()
    np.testing.assert_allclose(scaled, expected, atol=2e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)
    assert np.abs(scaled.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize(("kind", "samples"), [*((kind, 30) for kind in KINDS), ("asinh", 9)])
def test_only_what_is_trained_with_is_read(make_dataset, arrays, make_config, kind, samples):
    velocity, gathers = (a.copy() for a in arrays)
    with open_dataset(make_dataset()) as data:
        held_out = np.setdiff1d(data.indices(), data.indices("train")[:samples])
    velocity[held_out], gathers[held_out] = 4499, 1e6
    config = make_config(
        f"training.gather_scaling={kind}",
        "training.velocity_scaling=extremes",
        f"training.samples={samples}",
    )
    clean, _ = learn(make_dataset(), config)
    poisoned, _ = learn(make_dataset(velocity=velocity, gathers=gathers), config)
    assert poisoned.velocity == clean.velocity
    assert poisoned.gathers.deviation == clean.gathers.deviation
    assert poisoned.gathers.softness == clean.gathers.softness
    assert torch.equal(poisoned.gathers.mean, clean.gathers.mean)
    assert np.array_equal(poisoned.mean_velocity, clean.mean_velocity)


def test_velocity_scaling_is_positive_affine_and_invertible(arrays):
    velocity, _ = arrays
    scaling = VelocityScaling(1450.0, 4650.0)
    scaled = scaling.scale(velocity)
    assert scaled.min() > 0
    np.testing.assert_allclose(scaling.scale(np.array([1450.0, 4650.0])), [0.1, 1.1], rtol=1e-6)
    np.testing.assert_allclose(scaling.unscale(torch.from_numpy(scaled)), velocity, atol=2e-3)
    # Squared errors in scaled units times span² are in (m/s)².
    error = (scaled[0].astype(float) - scaled[1]) ** 2 * scaling.span**2
    np.testing.assert_allclose(
        error, (velocity[0].astype(float) - velocity[1]) ** 2, rtol=1e-2, atol=1
    )


def test_bounds_or_training_extremes(dataset, make_config, arrays):
    bounds, _ = learn(dataset, make_config())
    assert bounds.velocity == VelocityScaling(1450.0, 4650.0)
    extremes, _ = learn(dataset, make_config("training.velocity_scaling=extremes"))
    with open_dataset(dataset) as data:
        train = arrays[0][data.indices("train")]
    assert extremes.velocity == VelocityScaling(float(train.min()), float(train.max()))
    np.testing.assert_allclose(extremes.mean_velocity, train.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "trace"])
def test_gathers_without_information_are_refused(make_dataset, arrays, make_config, kind):
    gathers = arrays[1]
    for useless in (np.broadcast_to(gathers[:1], gathers.shape), np.zeros_like(gathers)):
        with pytest.raises(InputError, match="do not differ"):
            learn(make_dataset(gathers=useless), make_config(f"training.gather_scaling={kind}"))


def test_data_that_cannot_be_scaled_are_refused(make_dataset, arrays, make_config):
    velocity = arrays[0]
    flat = make_dataset(velocity=np.full_like(velocity, 2000))
    with pytest.raises(InputError, match="2000 m/s everywhere"):
        learn(flat, make_config("training.velocity_scaling=extremes"))
    # The scaled minimum of 0.1 leaves a tenth of 3200 m/s below the lower bound of 1450.
    with pytest.raises(InputError, match=r"velocity\.minimum = 1450.*extremes"):
        learn(make_dataset(velocity=velocity.clip(1125, 1125)), make_config())
    learn(make_dataset(velocity=velocity.clip(1135, 1135)), make_config())
    half = "training.gather_scaling=none", "training.gather_type=float16"
    with pytest.raises(InputError, match="gather_type"):
        learn(flat, make_config(*half))


# The mute.

# Of the small data set: a record that is longer than the wavelet.
LONGER = ["survey.time_step=0.02", "survey.delay=0.0"]
POSITIONS = {
    "source_x": [0.0, 400.0],
    "source_depth": [0.0, 30.0],
    "receiver_x": [0.0, 800.0, 1200.0],
    "receiver_depth": [0.0, 0.0, 0.0],
}


def a_mute(kind, **changes):
    return Mute(
        **({"kind": kind, "speed": 2000.0, "start": 0.1, "end": 0.3, "time_step": 0.01,
            "time_samples": 120, "positions": POSITIONS} | changes)
    )  # fmt: skip


def test_window_lies_around_the_direct_wave():
    direct, top = a_mute("direct").weights(), a_mute("top").weights()
    assert direct.shape == top.shape == (2, 3, 120)
    assert direct.dtype == np.float32
    time = np.arange(120) * 0.01
    for source in range(2):
        for receiver in range(3):
            x = POSITIONS["source_x"][source] - POSITIONS["receiver_x"][receiver]
            arrival = np.hypot(x, POSITIONS["source_depth"][source]) / 2000
            inside = (time >= arrival + 0.1 - 1e-9) & (time <= arrival + 0.3 + 1e-9)
            # Tapers of a quarter of the wavelet.
            before = time <= arrival + 0.1 - 0.05 - 1e-9
            after = time >= arrival + 0.3 + 0.05 + 1e-9
            assert not direct[source, receiver, inside].any()
            assert not top[source, receiver, inside | before].any()
            assert (direct[source, receiver, before | after] == 1).all()
            assert (top[source, receiver, after] == 1).all()
    tapers = a_mute("direct", time_step=0.001, time_samples=1200).weights()
    assert np.abs(np.diff(tapers, axis=-1)).max() < 0.05


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory):
    """Return a data set: a reflector under a constant layer of 2000 m/s, and the layer alone."""
    config = load_config(
        "",
        ["velocity.shape=[60, 80]", "velocity.spacing=10.0", "survey.sources=1",
         "survey.receivers=17", "survey.source_x=[400.0, 400.0]", "survey.time_samples=200",
         "survey.time_step=0.004", "survey.frequency=12.0", "dataset.storage=float32"],
    )  # fmt: skip
    layered = np.full((60, 80), 2000, dtype=np.float32)
    layered[40:] = 3500
    models = np.stack([layered, np.full_like(layered, 2000)])
    gathers, path = Simulator(config, "cpu")(models, [0, 0]), tmp_path_factory.mktemp("mute")
    wavelet = make_wavelet(config.survey)
    return write_dataset(path / "data.h5", config, models, gathers, wavelet=wavelet)


@pytest.mark.parametrize("kind", ["direct", "top"])
def test_wave_along_the_surface_goes_and_the_reflection_stays(two_layers, kind):
    config = load_config("", [f"training.mute={kind}", "training.mute_speed=2000.0"])
    with open_dataset(two_layers) as data:
        mute = mute_of(data, config.training)
        layered, constant = data.read_gathers([0, 1])
    weights = mute.weights()
    # In two dimensions waves have a tail.
    assert np.abs(constant * weights).max() < 0.03 * np.abs(constant).max()
    # At the source, where the reflection is apart from the direct wave.
    near, reflection = 8, (layered - constant)
    kept = (reflection * weights)[0, near]
    np.testing.assert_allclose(kept, reflection[0, near], atol=0.02 * np.abs(kept).max())
    assert np.abs(kept).max() > 0


def test_what_needs_a_wavelet_is_refused_without(dataset, make_config, arrays, tmp_path):
    bare = write_dataset(tmp_path / "data.h5", make_config(), *arrays)
    for setting in ("training.mute=top", "training.wavelet_jitter=0.2"):
        words = setting.replace("=", " = .?")
        with pytest.raises(InputError, match=f"{words}.* holds no wavelet"):
            train(make_config(setting), bare, tmp_path / "run")
    # A record that ends before the wavelet does.
    with pytest.raises(InputError, match=r"training.mute_speed = 1480: .* leaves nothing"):
        train(make_config("training.mute=top"), dataset, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_scaling_learns_from_muted_gathers(make_config, arrays, tmp_path):
    survey = make_config(*LONGER)
    wavelet = make_wavelet(survey.survey)
    path = write_dataset(tmp_path / "data.h5", survey, *arrays, wavelet=wavelet)
    for scaling in ("asinh", "trace", "none"):
        overrides = ["training.mute=top", f"training.gather_scaling={scaling}"]
        config = make_config(*LONGER, *overrides)
        with open_dataset(path) as data:
            normalization = learn_normalization(data, config.training)
            gathers = data.read_gathers(data.indices("train"))
        scaled = normalization.gathers(gathers).numpy()
        weights = normalization.gathers.mute.weights()
        assert (weights == 0).any()
        assert (weights == 1).any()
        if scaling == "none":
            np.testing.assert_allclose(scaled, gathers * weights)
            continue
        assert scaled.std() == pytest.approx(1, abs=1e-4)
        # What is muted is the same in every sample.
        assert np.ptp(scaled[:, weights == 0], axis=0).max() < 1e-5
