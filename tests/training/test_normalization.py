"""Scalings: learnt from the training split alone, as documented, invertible."""

import numpy as np
import pytest
import torch

from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.training.normalization import Normalization, VelocityScaling, learn_normalization

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
    assert scaled.dtype == np.float32
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


def test_transforms_keep_apart_what_differs(dataset, make_config):
    scaled = {}
    for kind in KINDS:
        normalization, gathers = learn(dataset, make_config(f"training.gather_scaling={kind}"))
        scaled[kind] = normalization.gathers(gathers)
    for i, one in enumerate(KINDS):
        for other in KINDS[:i]:
            assert np.abs(scaled[one] - scaled[other]).max() > 0.1, (one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_training_split_is_read(make_dataset, arrays, make_config, kind):
    velocity, gathers = (a.copy() for a in arrays)
    with open_dataset(make_dataset()) as data:
        held_out = np.setdiff1d(data.indices(), data.indices("train"))
    velocity[held_out], gathers[held_out] = 4499, 1e6
    config = make_config(f"training.gather_scaling={kind}", "training.velocity_scaling=extremes")
    clean, _ = learn(make_dataset(), config)
    poisoned, _ = learn(make_dataset(velocity=velocity, gathers=gathers), config)
    assert poisoned.velocity == clean.velocity
    assert poisoned.gathers.deviation == clean.gathers.deviation
    assert poisoned.gathers.softness == clean.gathers.softness
    assert np.array_equal(poisoned.gathers.mean, clean.gathers.mean)
    assert np.array_equal(poisoned.mean_velocity, clean.mean_velocity)


def test_each_sample_is_scaled_by_itself(dataset, make_config):
    normalization, gathers = learn(dataset, make_config())
    together = normalization.gathers(gathers[:5])
    for row in range(5):
        assert np.array_equal(normalization.gathers(gathers[row : row + 1])[0], together[row])


def test_dead_traces_stay_silent_with_trace_scaling(dataset, make_config):
    normalization, gathers = learn(dataset, make_config("training.gather_scaling=trace"))
    silent = gathers[:1].copy()
    silent[0, 1, 2] = 0
    scaling = normalization.gathers
    expected = -scaling.mean[1, 2] / np.float32(scaling.deviation)
    np.testing.assert_allclose(scaling(silent)[0, 1, 2], expected, rtol=1e-5)


def test_velocity_scaling_is_positive_affine_and_invertible(arrays):
    velocity, _ = arrays
    scaling = VelocityScaling(1450.0, 4650.0)
    scaled = scaling.scale(velocity)
    assert scaled.min() > 0
    np.testing.assert_allclose(scaling.scale(np.array([1450.0, 4650.0])), [0.1, 1.1], rtol=1e-6)
    np.testing.assert_allclose(scaling.unscale(scaled), velocity, atol=2e-3)
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


def test_state_survives_a_checkpoint(dataset, make_config, tmp_path):
    normalization, gathers = learn(dataset, make_config("training.gather_type=float16"))
    torch.save(normalization.state(), tmp_path / "state.pt")
    again = Normalization.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert np.array_equal(again.gathers(gathers), normalization.gathers(gathers))
    assert again.gathers(gathers).dtype == np.float16
    assert again.velocity == normalization.velocity
    assert np.array_equal(again.mean_velocity, normalization.mean_velocity)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_gathers_without_information_are_refused(make_dataset, arrays, make_config, kind):
    gathers = arrays[1]
    for useless in (np.broadcast_to(gathers[:1], gathers.shape), np.zeros_like(gathers)):
        with pytest.raises(InputError, match="do not differ"):
            learn(make_dataset(gathers=useless), make_config(f"training.gather_scaling={kind}"))


def test_one_speed_everywhere_is_refused(make_dataset, arrays, make_config):
    flat = make_dataset(velocity=np.full_like(arrays[0], 2000))
    with pytest.raises(InputError, match="2000 m/s everywhere"):
        learn(flat, make_config("training.velocity_scaling=extremes"))


def test_targets_out_of_reach_are_refused(make_dataset, arrays, make_config):
    # The scaled minimum of 0.1 leaves a tenth of 3200 m/s below the lower bound of 1450.
    slow = make_dataset(velocity=arrays[0].clip(1125, 1125))
    with pytest.raises(InputError, match=r"velocity\.minimum = 1450.*extremes"):
        learn(slow, make_config())
    learn(make_dataset(velocity=arrays[0].clip(1135, 1135)), make_config())


def test_unscaled_gathers_need_float32(dataset, make_config):
    with pytest.raises(InputError, match="gather_type"):
        learn(dataset, make_config("training.gather_scaling=none", "training.gather_type=float16"))
