"""The slowest transit time that the configuration promises, against drawn models."""

import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.config.velocity import OPENFWI_FAMILIES
from seistomo.velocity import draw_model


def transit_times(config, count):
    """Slowest way straight down in each model, s [model]."""
    models = (draw_model(config, 0, index) for index in range(count))
    times = [(config.spacing / model.velocity[:-1]).sum(axis=0).max() for model in models]
    return np.array(times)


def grid(shape=(60, 40), spacing=25.0, **values):
    return VelocityConfig(shape=shape, spacing=spacing, **values)


def test_drawn_models_are_hardly_slower_than_the_slowest_trend():
    config = grid()
    times = transit_times(config, 150)
    # Slow layers may stack up (jitter), but by a few percent of the whole way only.
    assert max(times) < 1.06 * config.slowest_transit
    assert max(times) > 0.8 * config.slowest_transit
    assert np.median(times) < 0.8 * config.slowest_transit


RISING = {"families": "layers", "water_probability": 0, "layer_speeds": "rising"}


@pytest.mark.parametrize(
    "config",
    [*(grid((70, 70), 10.0, families=family) for family in OPENFWI_FAMILIES), grid(**RISING)],
    ids=[*OPENFWI_FAMILIES, "rising"],
)
def test_other_families_are_hardly_slower_than_promised(config):
    times = transit_times(config, 60)
    assert np.mean(times > config.slowest_transit) <= 1 / 60
    assert max(times) > 0.7 * config.slowest_transit


def test_one_speed_imported_models_and_several_families():
    config = VelocityConfig(families="flatvel_a", openfwi_velocity=(2000, 2000))
    assert config.slowest_transit == pytest.approx(99 * 15 / 2000)
    config = VelocityConfig(imported="0123", minimum=1500)
    assert config.slowest_transit == pytest.approx(99 * 15 / 1500)
    slow = VelocityConfig(families="flatfault_a").slowest_transit
    fast = VelocityConfig(families="style_b").slowest_transit
    assert VelocityConfig(families=["flatfault_a", "style_b"]).slowest_transit == slow > fast
