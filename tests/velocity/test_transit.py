"""The slowest transit time that the configuration promises, against drawn models."""

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity import draw_model


def test_drawn_models_are_hardly_slower_than_the_slowest_trend():
    config = VelocityConfig(shape=(60, 40), spacing=25.0)
    times = [
        (config.spacing / draw_model(config, 0, index).velocity[:-1]).sum(axis=0).max()
        for index in range(150)
    ]
    # Slow layers may stack up (jitter), but by a few percent of the whole way only.
    assert max(times) < 1.06 * config.slowest_transit
    assert max(times) > 0.8 * config.slowest_transit
    assert np.median(times) < 0.8 * config.slowest_transit
