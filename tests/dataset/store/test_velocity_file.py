import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import write_dataset
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.dataset.store.velocity_writer import write_velocity
from seistomo.errors import InputError
from seistomo.velocity import VelocityModel

SHAPE = (11, 14)


def models(count, seed=0):
    rng = np.random.default_rng(seed)
    for number in range(count):
        velocity = rng.uniform(1500, 4700, SHAPE).astype(np.float32)
        yield VelocityModel(velocity, velocity > 4500, f"kind{number % 3}", {"number": number})


def written(tmp_path, count, name="velocity.h5"):
    return write_velocity(tmp_path / name, models(count), 12.5)


# More than one block of rows, and exactly one.
@pytest.mark.parametrize("count", [1, 64, 131])
def test_what_is_written_is_read(tmp_path, count):
    path = written(tmp_path, count)
    expected = list(models(count))
    with open_velocity(path) as reader:
        assert (reader.models, reader.shape, reader.spacing) == (count, SHAPE, 12.5)
        assert reader.minimum == min(model.velocity.min() for model in expected)
        assert reader.maximum == max(model.velocity.max() for model in expected)
        np.testing.assert_allclose(reader.x, np.arange(14) * 12.5)
        for index, model in enumerate(expected):
            found = reader.model(index)
            assert found.velocity.dtype == np.float32
            assert found.salt_mask.dtype == bool
            np.testing.assert_array_equal(found.velocity, model.velocity)
            np.testing.assert_array_equal(found.salt_mask, model.salt_mask)
            assert (found.family, found.parameters) == (model.family, model.parameters)
        last = [count - 1, 0]
        np.testing.assert_array_equal(
            reader.read_velocity(last), np.stack([expected[i].velocity for i in last])
        )
        assert reader.read_salt_mask([]).shape == (0, *SHAPE)
        assert reader.damaged() == []


def test_a_data_set_is_a_velocity_file_with_the_same_identity(tmp_path):
    held = list(models(5))
    velocity = np.stack([model.velocity for model in held])
    settings = ["velocity.shape=[11, 14]", "velocity.spacing=12.5", "survey.time_samples=16"]
    config = load_config("", [*settings, "survey.sources=1", "survey.receivers=2"])
    gathers = np.ones((5, 1, 2, 16), np.float32)
    data = write_dataset(
        tmp_path / "data.h5",
        config,
        velocity,
        gathers,
        salt_mask=velocity > 4500,
        family=[model.family for model in held],
        parameters=[model.parameters for model in held],
    )
    with open_velocity(data) as ours, open_velocity(written(tmp_path, 5)) as theirs:
        assert ours.identity == theirs.identity
        for name in ("models", "shape", "spacing", "minimum", "maximum"):
            assert getattr(ours, name) == getattr(theirs, name)
        np.testing.assert_array_equal(ours.read_velocity([3, 1]), velocity[[3, 1]])
        assert ours.model(2).parameters == {"number": 2}
        assert ours.families([0, 4]) == ["kind0", "kind1"]


def identity_with(tmp_path, spacing=12.5, **change):
    (model,) = models(1)
    model = VelocityModel(**{**vars(model), **change})
    path = write_velocity(tmp_path / "one.h5", [model], spacing, overwrite=True)
    with open_velocity(path) as reader:
        return reader.identity


def test_identity_tells_content_apart(tmp_path):
    (model,) = models(1)
    faster = model.velocity.copy()
    faster[3, 4] += 1
    changes = [
        {},
        {"spacing": 12.0},
        {"velocity": faster},
        {"salt_mask": ~model.salt_mask},
        {"family": "other"},
        {"parameters": {"number": 1}},
    ]
    found = [identity_with(tmp_path, **change) for change in changes]
    assert len(set(found)) == len(changes)
    assert identity_with(tmp_path) == found[0]


def test_reader_survives_a_fork_and_a_pickle(tmp_path):
    path = written(tmp_path, 3)
    reader = open_velocity(path)
    expected = reader.model(2).velocity
    handle = reader._file
    child = os.fork()
    if not child:
        same = np.array_equal(reader.model(2).velocity, expected)
        os._exit(0 if same and reader._file is not handle else 1)
    assert os.waitpid(child, 0)[1] == 0
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.model(2).velocity, expected)


def test_many_threads_read_at_once(tmp_path):
    expected = [model.velocity for model in models(64)]
    with open_velocity(written(tmp_path, 64)) as reader, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda index: reader.model(index).velocity, range(64)))
    np.testing.assert_array_equal(found, expected)


def test_opens_in_xarray_with_named_dimensions(tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(written(tmp_path, 3), engine="h5netcdf") as opened:
        assert opened.velocity.dims == ("model", "depth", "x")
        assert opened.velocity.attrs["units"] == "m/s"
        np.testing.assert_allclose(opened.x.values, np.arange(14) * 12.5)


def test_checksum_finds_a_changed_cell(tmp_path):
    path = written(tmp_path, 4)
    with h5py.File(path, "r+") as file:
        file["velocity"][2, 0, 0] += 1
    with open_velocity(path) as reader:
        assert reader.damaged() == [2]


def spoil_flag(path):
    with h5py.File(path, "r+") as file:
        file.attrs["complete"] = False


def spoil_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 9


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_flag, "unfinished"),
        (spoil_version, "version 9 is newer"),
        (cut_short, "neither a velocity file|truncated|damaged"),
        (lambda path: path.write_bytes(b"SEG-Y?"), "neither a velocity file nor a data set"),
        (lambda path: path.unlink(), "no such file"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, spoil, words):
    path = written(tmp_path, 3)
    spoil(path)
    with pytest.raises(InputError, match=words):
        open_velocity(path)


def test_a_model_that_is_not_there(tmp_path):
    with open_velocity(written(tmp_path, 3)) as reader:
        with pytest.raises(InputError, match=r"model 3: .*models 0 to 2"):
            reader.model(3)
        with pytest.raises(InputError, match="model -1"):
            reader.read_velocity([-1])
