import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seistomo.config import VelocityConfig
from seistomo.config.velocity import FAMILIES
from seistomo.velocity import draw_model

COUNT = 120
CONFIG = VelocityConfig()


@pytest.fixture(scope="module")
def models():
    return [draw_model(CONFIG, 11, index) for index in range(COUNT)]


def digest(model):
    parts = (model.velocity.tobytes(), model.salt_mask.tobytes(), model.family.encode())
    return hashlib.sha256(b"".join(parts) + json.dumps(model.parameters).encode()).hexdigest()


def test_types_and_bounds(models):
    for model in models:
        assert model.velocity.dtype == np.float32
        assert model.salt_mask.dtype == bool
        assert model.velocity.shape == model.salt_mask.shape == CONFIG.shape
        assert np.isfinite(model.velocity).all()
        assert model.velocity.min() >= CONFIG.minimum
        assert model.velocity.max() <= CONFIG.maximum
        assert json.loads(json.dumps(model.parameters, allow_nan=False)) == model.parameters


def test_a_model_depends_on_seed_and_index_alone_and_no_two_are_alike(models):
    for index in reversed(range(0, COUNT, 17)):
        assert digest(draw_model(CONFIG, 11, index)) == digest(models[index])
    others = [draw_model(CONFIG, seed, 0) for seed in (0, 12, 2**62, 2**62 + 1)]
    assert len({digest(model) for model in models + others}) == COUNT + 4


def test_extreme_ranges_work():
    config = VelocityConfig(
        families={"mixture": 1},
        salt_in_mixture=1,
        salt_cover=(0, 0),
        salt_rugosity=(300, 300),
        salt_drag=(1000, 1000),
        fold_amplitude=(400, 400),
        fault_throw=(600, 600),
        faults=(6, 6),
        water_depth=(0.9, 0.9),
        layer_waviness=(0.8, 0.8),
        layer_dip=(30, 30),
    )
    for index in range(10):
        model = draw_model(config, 0, index)
        assert np.isfinite(model.velocity).all()
        assert model.velocity.min() >= config.minimum


def test_salt_mask_is_what_the_salt_threshold_finds(models):
    for model in models:
        assert np.array_equal(model.velocity > 4225, model.salt_mask)


def test_salt_has_no_specks(models):
    for model in models:
        for cells in (model.salt_mask, ~model.salt_mask):
            labels, count = ndimage.label(cells)
            assert count == 0 or np.bincount(labels.ravel())[1:].min() >= 6


def neighbours(values, fill):
    padded = np.pad(values, 1, constant_values=fill)
    rows, columns = values.shape
    windows = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return np.stack([padded[i : i + rows, j : j + columns] for i, j in windows])


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_no_cell_stands_out_from_all_its_neighbours(models):
    for model in models:
        sediment = ~model.salt_mask
        velocity = np.where(sediment, model.velocity, np.nan)
        most = np.nanmax(neighbours(velocity, np.nan), axis=0)
        least = np.nanmin(neighbours(velocity, np.nan), axis=0)
        assert (velocity - most)[sediment].max() <= 1
        assert (least - velocity)[sediment].max() <= 1


def test_speed_rises_with_depth_up_to_the_jitter(models):
    """No sediment is slower than any above it by more than the jitter, but under thrusts."""
    for model in models:
        sediment = np.where(model.salt_mask, -np.inf, model.velocity)
        fall = (np.maximum.accumulate(sediment, axis=0) - sediment)[~model.salt_mask].max()
        layers, faults = model.parameters["layers"], model.parameters["faults"]
        allowed = layers["largest_jitter_m_s"] + 60
        if len(faults) > 1 or any(fault["kind"] == "reverse" for fault in faults):
            # Older, faster beds lie on younger ones.
            repeated = sum(fault["throw_m"] for fault in faults)
            allowed += layers["largest_jitter_m_s"]
            allowed += layers["velocity_gradient_per_s"] * repeated
        assert fall <= allowed


def test_contacts_have_no_staircase():
    """A gently dipping contact moves through intermediate speeds, not in whole cells."""
    config = VelocityConfig(
        families={"layers": 1},
        layers=(5, 5),
        layer_waviness=(0, 0),
        layer_dip=(4, 4),
        layer_gradient=(0, 0),
        velocity_jitter=(100, 100),
        water_probability=0,
    )
    model = draw_model(config, 0, 0)
    values = np.unique(model.velocity.round(1))
    assert len(values) >= 5 + 5 * 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    depth=st.integers(11, 70),
    width=st.integers(11, 90),
    spacing=st.sampled_from([0.5, 2.0, 7.5, 10.0, 15.0, 20.0, 50.0, 200.0]),
    family=st.sampled_from(FAMILIES),
    index=st.integers(0, 10_000),
)
def test_any_grid_works(depth, width, spacing, family, index):
    config = VelocityConfig(shape=(depth, width), spacing=spacing, families={family: 1})
    model = draw_model(config, 1, index)
    assert model.velocity.shape == (depth, width)
    assert np.isfinite(model.velocity).all()
    assert model.velocity.min() >= config.minimum
    assert model.velocity.max() <= config.maximum
    if depth * width >= 1500 and model.salt_mask.any():
        outline = 4 / np.sqrt(depth * width)
        assert 0.04 - outline / 4 <= model.salt_mask.mean() <= 0.20 + outline / 4
