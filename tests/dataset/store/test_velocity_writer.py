import errno

import numpy as np
import pytest

from seistomo.dataset.store.velocity_writer import VelocityWriter, write_velocity
from seistomo.errors import DiskFullError, InputError
from seistomo.velocity import VelocityModel

SHAPE = (12, 11)


def model(velocity, mask=None):
    velocity = np.asarray(velocity, np.float32)
    return VelocityModel(velocity, velocity > 4500 if mask is None else mask, "own", {})


GOOD = np.full(SHAPE, 2000.0)
HOLE = np.where(np.arange(11) == 3, np.nan, GOOD)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (model(GOOD / 1000), r"model 1: velocity = 2 to 2: must be in m/s"),
        (model(-GOOD), "must be in m/s"),
        (model(GOOD * 1000), "must be in m/s"),
        (model(HOLE), "finite"),
        (model(GOOD[:5]), r"velocity has shape \[5, 11\], the first model's is \[12, 11\]"),
        (model(GOOD, np.zeros((3, 3), bool)), r"salt_mask has shape \[3, 3\]"),
    ],
)
def test_a_bad_model_leaves_nothing(tmp_path, bad, words):
    with pytest.raises(InputError, match=words):
        write_velocity(tmp_path / "v.h5", [model(GOOD), bad], 10)
    assert list(tmp_path.iterdir()) == []


def test_no_models_are_refused(tmp_path):
    with pytest.raises(InputError, match="no velocity models"):
        write_velocity(tmp_path / "v.h5", [], 10)


def test_an_existing_file_stays(tmp_path):
    path = write_velocity(tmp_path / "v.h5", [model(GOOD)], 10)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_velocity(path, [model(GOOD + 1)], 10)
    assert path.read_bytes() == before
    write_velocity(path, [model(GOOD + 1)], 10, overwrite=True)
    assert path.read_bytes() != before


def test_an_error_while_models_are_made_leaves_the_old_file(tmp_path):
    path = write_velocity(tmp_path / "v.h5", [model(GOOD)], 10)
    before = path.read_bytes()

    def models():
        yield model(GOOD)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_velocity(path, models(), 10, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    failure = OSError(errno.ENOSPC, "No space left on device")

    def fail(writer, given):
        writer._raw.failure = failure
        raise failure

    monkeypatch.setattr(VelocityWriter, "append", fail)
    with pytest.raises(DiskFullError, match="disk is full"):
        write_velocity(tmp_path / "v.h5", [model(GOOD)], 10)
    assert list(tmp_path.iterdir()) == []
