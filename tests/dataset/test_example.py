"""The data set that travels with the project."""

from pathlib import Path

import numpy as np

from seistomo.config import load_config
from seistomo.dataset import open_dataset
from seistomo.dataset.describe import describe_dataset
from seistomo.dataset.store.schema import data_settings
from seistomo.simulation import Simulator
from seistomo.velocity import draw_model

PATH = Path(__file__).parents[2] / "data" / "example.h5"


def test_example_is_small_and_whole():
    assert PATH.stat().st_size < 2e6
    text = describe_dataset(PATH, check=True)
    assert "14 (10 train, 2 validation, 2 test)" in text
    assert "all 14 samples as written" in text


def test_example_is_what_the_quickstart_draws_today():
    config = load_config("quickstart")
    with open_dataset(PATH) as data:
        assert data_settings(data.config) == data_settings(config)
        velocity, gathers = data.read_velocity([3]), data.read_gathers([3])
    drawn = draw_model(config.velocity, config.dataset.seed, 3).velocity
    # Another processor may round otherwise; a change of what is drawn is not rounding.
    np.testing.assert_allclose(drawn, velocity[0], atol=0.5)
    again = Simulator(config, "cpu")(velocity, [3])
    assert np.abs(again - gathers).max() < 1e-3 * np.abs(gathers).max()
