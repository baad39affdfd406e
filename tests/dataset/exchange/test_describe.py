import h5py
import numpy as np
import pytest

from seistomo.dataset import write_velocity
from seistomo.dataset.exchange.describe import describe_velocity
from seistomo.errors import InputError
from seistomo.velocity import VelocityModel


@pytest.fixture
def path(tmp_path):
    models = []
    for number in range(10):
        velocity = np.full((11, 21), 2000 + 100 * number, np.float32)
        mask = np.zeros((11, 21), bool)
        if number == 3:
            mask.ravel()[:23] = True
        models.append(VelocityModel(velocity, mask, "ab"[number % 2], {"file": "m.segy"}))
    return write_velocity(tmp_path / "v.h5", models, 15)


def test_what_the_file_holds(path):
    text = describe_velocity(path)
    for words in (
        "velocity file",
        "10, 11 x 21 nodes (depth, x), 150 m x 300 m, spacing 15 m",
        "2000 to 2900 m/s; 10% hold salt, 10.0% to 10.0% of the area",
        "a 5, b 5",
        "from        m.segy",
        "made with   seistomo",
    ):
        assert words in text
    assert "all 10 models as written" in describe_velocity(path, check=True)


def test_a_damaged_model_is_named(path):
    with h5py.File(path, "r+") as file:
        file["velocity"][4, 0, 0] = 2001
    with pytest.raises(InputError, match="checksums differ in 1 model: 4"):
        describe_velocity(path, check=True)
