"""A data set in words."""

import numpy as np

from seistomo.config import load_config
from seistomo.dataset import write_dataset
from seistomo.dataset.describe import describe_dataset


def test_the_wavelet_is_named_as_it_is(tmp_path):
    ormsby = ['survey.wavelet="ormsby"', "survey.corner_frequencies=[2, 4, 8, 12]"]
    config = load_config("quickstart", ["dataset.samples=2", *ormsby])
    survey = config.survey
    gathers = np.zeros((2, survey.sources, survey.receivers, survey.time_samples), np.float32)
    velocity = np.full((2, *config.velocity.shape), 2000, np.float32)
    path = tmp_path / "data.h5"
    write_dataset(path, config, velocity, gathers)
    name = "Ormsby wavelet, 2-4-8-12 Hz"
    assert f"every 20 ms; {name}\n" in describe_dataset(path)
