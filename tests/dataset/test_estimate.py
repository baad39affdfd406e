"""What making a data set will take."""

import re

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset.estimate import (
    Rehearsal,
    estimate_lines,
    rehearse,
)
from seistomo.dataset.generate import simulate
from seistomo.dataset.models import DrawnModels
from seistomo.simulation import Simulator

SMALL = (
    *("velocity.shape=[24, 26]", "velocity.spacing=20", "velocity.layer_thickness=[80.0, 200.0]"),
    *("survey.sources=4", "survey.receivers=64", "survey.frequency=6", "survey.time_step=0.02"),
    *("survey.time_samples=160", "dataset.samples=24", "dataset.split=[4, 1, 1]"),
)


@pytest.fixture
def config():
    return load_config("", SMALL)


def rehearsal(**changes):
    values = {
        "gathers": np.zeros((4, 64, 160), np.float32),
        "models": 8,
        "seconds": 0.5,
        "memory": 10**9,
        "gpu_memory": None,
        "device": "cpu",
    }
    return Rehearsal(**{**values, **changes})


def test_the_rehearsal_shoots_the_first_model_and_makes_some(config):
    models = DrawnModels(config)
    found = rehearse(config, models, range(8, 24), "cpu")
    expected = Simulator(config, "cpu")(models.model(8).velocity[None], [8])[0]
    np.testing.assert_array_equal(found.gathers, expected)
    assert found.models >= 1
    assert found.seconds > 0
    assert found.memory > 10**7
    assert (found.gpu_memory, found.device) == (None, "cpu")


def test_the_disk_space_is_that_of_the_file(config, tmp_path):
    line = estimate_lines(config, tmp_path / "data.h5", range(24), rehearsal())[-1]
    simulate(config, tmp_path / "data.h5", device="cpu")
    said = float(re.match(r"disk: (\S+) GB in float16", line)[1])
    assert said * 1e9 == pytest.approx((tmp_path / "data.h5").stat().st_size, rel=0.15)


def test_the_lines_count_what_is_wanted(config, tmp_path):
    lines = estimate_lines(config, tmp_path / "data.h5", range(24), rehearsal())
    assert lines[0] == "samples: 24 (16 train, 4 validation, 4 test)"
    assert lines[1].startswith("time: about 12 s on cpu in one process (0.5 s a model")
    part = estimate_lines(config, tmp_path / "data.h5", range(6, 12), rehearsal())
    assert part[0] == "samples: 6 to 11 of 24, 6 (4 train, 1 validation, 1 test)"
    assert part[1].startswith("time: about 3 s")
