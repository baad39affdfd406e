"""Files: what is written is read, and whatever is wrong with a file is one line."""

import os
import pickle
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import h5py
import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import (
    open_dataset,
    open_velocity,
    write_dataset,
    write_predictions,
    write_velocity,
)
from seistomo.dataset.describe import describe_dataset
from seistomo.dataset.models import StoredModels
from seistomo.dataset.store.schema import split_of
from seistomo.dataset.store.writer import compress, file_checksum
from seistomo.errors import DiskFullError, InputError
from seistomo.velocity import VelocityModel

SETTINGS = [
    "velocity.shape=[11, 12]",
    "survey.sources=2",
    "survey.receivers=5",
    "survey.time_samples=16",
]
COUNT = 7


def config(*more):
    return load_config("", [*SETTINGS, *more])


def arrays(count=COUNT, seed=0):
    rng = np.random.default_rng(seed)
    velocity = rng.uniform(1500, 4600, (count, 11, 12)).astype(np.float32)
    return velocity, rng.normal(size=(count, 2, 5, 16)).astype(np.float32)


def models(count, seed=0):
    for number, velocity in enumerate(arrays(count, seed)[0]):
        yield VelocityModel(velocity, velocity > 4225, f"kind{number % 3}", {"number": number})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a data set that nobody may change."""
    path = tmp_path_factory.mktemp("whole") / "data.h5"
    drawn = [{"number": number} for number in range(COUNT)]
    return write_dataset(path, config(), *arrays(), parameters=drawn)


@pytest.fixture
def copy(whole, tmp_path):
    """Return a data set to be damaged."""
    return shutil.copy(whole, tmp_path / "data.h5")


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path, storage):
    velocity, gathers = arrays(9)
    dead = np.random.default_rng(1).random((9, 2, 5)) < 0.3
    path = write_dataset(
        tmp_path / "data.h5",
        config(f"dataset.storage={storage}"),
        velocity,
        gathers,
        dead_trace=dead,
        family=[f"famille é{i}" for i in range(9)],
        parameters=[{"number": i, "name": "é" * i} for i in range(9)],
    )
    rows = [8, 0, 1, 2, 7]
    with open_dataset(path) as data:
        assert (data.samples, data.gather_shape, data.velocity_shape) == (9, (2, 5, 16), (11, 12))
        np.testing.assert_array_equal(data.read_velocity(rows), velocity[rows])
        tolerance = 0 if storage == "float32" else 2**-11
        np.testing.assert_allclose(data.read_gathers(rows), gathers[rows], rtol=tolerance)
        np.testing.assert_array_equal(data.read_salt_mask([3]), velocity[[3]] > 4225)
        np.testing.assert_array_equal(data.read_dead_traces(rows), dead[rows])
        assert data.families([1, 5]) == ["famille é1", "famille é5"]
        assert data.parameters(4) == {"number": 4, "name": "éééé"}
        np.testing.assert_allclose(data.depth, np.arange(11) * 15.0)
        np.testing.assert_allclose(data.time, np.arange(16) * 0.006)
        np.testing.assert_allclose(data.read_survey(0)["source_x"], [0, 165])
        assert data.seeds([2]).tolist() == [[0, 2]]
        assert data.config.dataset.samples == 9
        assert data.read_gathers([]).shape == (0, 2, 5, 16)
        assert data.damaged() == []


def test_float16_keeps_eleven_bits_at_any_amplitude():
    gathers = (10.0 ** np.random.default_rng(0).uniform(-5, 3, 10000)).astype(np.float32)
    stored, scale = compress(gathers, float(gathers.max()))
    np.testing.assert_allclose(stored.astype(np.float32) * scale, gathers, rtol=2**-11)
    for peak in (0.0, 1e-42, 1e-20, 1e30):
        stored, scale = compress(np.array([peak, -peak / 2], np.float32), peak)
        np.testing.assert_allclose(stored.astype(np.float32) * scale, [peak, -peak / 2], rtol=1e-2)


def test_files_open_in_xarray_with_named_dimensions(whole, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(whole, engine="h5netcdf") as opened:
        assert opened.gathers.dims == ("sample", "source", "receiver", "time")
        assert opened.velocity.dims == ("sample", "depth", "x")
        assert opened.velocity.attrs["units"] == "m/s"
        np.testing.assert_array_equal(opened.velocity.values, arrays()[0])
        assert opened.family.values[0] == "imported"
    path = write_velocity(tmp_path / "velocity.h5", models(3), 12.5)
    with xarray.open_dataset(path, engine="h5netcdf") as opened:
        assert opened.velocity.dims == ("sample", "depth", "x")
        np.testing.assert_allclose(opened.x, np.arange(12) * 12.5)
        assert isinstance(opened.family.values[0], str)


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_data_set_in_xarray_is_in_physical_units_and_read_when_used(tmp_path, storage):
    pytest.importorskip("xarray")
    settings = config(f"dataset.storage={storage}")
    path = write_dataset(tmp_path / "data.h5", settings, *arrays(), family=list("abcdefg"))
    with open_dataset(path) as data, data.to_xarray() as labelled:
        gathers = data.read_gathers(range(COUNT))
        assert labelled.gathers.dtype == np.float32
        assert labelled.gathers.dims == ("sample", "source", "receiver", "time")
        np.testing.assert_array_equal(labelled.gathers, gathers)
        part = labelled.gathers.isel(sample=[4, 1], receiver=-1, time=slice(2, None, 3))
        np.testing.assert_array_equal(part, gathers[[4, 1], :, -1, 2::3])
        np.testing.assert_array_equal(labelled.velocity[2].sel(x=30), arrays()[0][2, :, 2])
        np.testing.assert_allclose(labelled.time, np.arange(16) * 0.006)
        assert [labelled[name].attrs["units"] for name in ("velocity", "x", "time")] == (
            ["m/s", "m", "s"]
        )
        assert labelled.family.values.tolist() == list("abcdefg")
        assert labelled.attrs["identity"] == data.identity


def test_predictions_in_xarray_have_the_numbers_of_their_samples(tmp_path):
    pytest.importorskip("xarray")
    path, axes = tmp_path / "p.h5", (np.arange(11) * 10.0, np.arange(12) * 10.0)
    write_predictions(path, arrays()[0][:2], np.array([5, 3]), *axes, {"run": "mine"})
    with open_velocity(path) as file, file.to_xarray() as labelled:
        np.testing.assert_array_equal(labelled.velocity.sel(sample=3), arrays()[0][1])
        assert labelled.attrs["run"] == "mine"


def test_splits_hold_their_shares_and_never_change():
    first = split_of(np.arange(1120), (5, 1, 1))
    assert np.bincount(first).tolist() == [800, 160, 160]
    np.testing.assert_array_equal(split_of(np.arange(5000), (5, 1, 1))[:1120], first)
    assert np.bincount(split_of(np.arange(100), (8, 0, 2)), minlength=3).tolist() == [80, 0, 20]
    # Evenly spread: every stretch of 7 has one of each.
    assert np.bincount(first[14:21]).tolist() == [5, 1, 1]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda data: data.indices("tset"), r"'tset'.*train, validation"),
        (lambda data: data.read_gathers([COUNT]), f"sample {COUNT}: .* has samples 0 to 6"),
        (lambda data: data.read_gathers(np.ones(COUNT, bool)), "whole numbers, not bool"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(whole, ask, words):
    with open_dataset(whole) as data, pytest.raises(InputError, match=words):
        ask(data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v, g: (v[:, :9], g), r"velocity: has shape \[9, 12\].*\[11, 12\]"),
        (lambda v, g: (v, np.where(g > 2, np.nan, g)), "must be finite"),
        (lambda v, g: (v, g[:2]), f"2 samples, but velocity has {COUNT}"),
        (lambda v, g: (-v, g), r"sample 0: velocity = -4\d+.* to -1\d+.*: must be in m/s"),
        (lambda v, g: (v, g * 1j), "gathers: must be real numbers, not complex"),
    ],
)
def test_arrays_that_do_not_fit_leave_nothing_behind(tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        write_dataset(tmp_path / "data.h5", config(), *change(*arrays()))
    assert list(tmp_path.iterdir()) == []


def seal(file):
    file.attrs.modify("checksum", np.array(file_checksum(file), "S16"))


def attribute(name, value):
    def change(file):
        file.attrs.pop(name, None)
        if value is not None:
            file.attrs[name] = value

    return change


def replaced(name, value):
    def change(file):
        old = file.pop(name)[...]
        file[name] = value(old)

    return change


def linked(file):
    del file["velocity"]
    file["velocity"] = h5py.ExternalLink("other.h5", "velocity")


def stored_outside(file):
    shape = file["velocity"].shape
    del file["velocity"]
    file.create_dataset("velocity", shape, "f4", external=[("raw", 0, h5py.h5f.UNLIMITED)])


@pytest.mark.parametrize(
    "change",
    [
        *(attribute(name, None) for name in ("format", "config", "software", "complete")),
        attribute("version", 99),
        attribute("config", "[velocity]\nshape = [11, 12]"),
        lambda file: file.pop("crc32"),
        replaced("depth", lambda old: old + np.nan),
        replaced("velocity", lambda old: old.astype("f8")),
        replaced("family", lambda old: np.arange(len(old))),
        linked,
        stored_outside,
    ],
)
def test_a_file_of_another_structure_is_refused_in_one_line(copy, change):
    with h5py.File(copy, "a") as file:
        change(file)
        # Who writes such a file knows the checksum, where there can be one.
        with suppress(KeyError, AttributeError):
            seal(file)
    with pytest.raises(InputError) as caught:
        open_dataset(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(copy))


def test_other_files_are_refused(whole, tmp_path):
    cut, text = tmp_path / "cut.h5", tmp_path / "text.h5"
    cut.write_bytes(whole.read_bytes()[:5000])
    text.write_text("no data set")
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone.h5.unfinished").touch()
    velocity = write_velocity(tmp_path / "velocity.h5", models(1), 12.5)
    expected = {
        cut: "truncated",
        text: "not an HDF5 file",
        tmp_path / "missing.h5": "no such file",
        tmp_path / "gone.h5": "gone.h5.unfinished is, finish it with",
        tmp_path / "empty": "holds no parts",
        velocity: "not a seistomo file",
    }
    for path, words in expected.items():
        with pytest.raises(InputError, match=words) as caught:
            open_dataset(path)
        assert "\n" not in str(caught.value)


def test_no_damage_escapes_as_another_error(whole, tmp_path):
    """Wherever a disk has lost a block, the reader says so."""
    content, broken = whole.read_bytes(), tmp_path / "broken.h5"
    # Header, object headers, names: places that h5py answers with different exceptions.
    marks = (b"OHDR", b"TREE", b"HEAP", b"SNOD", b"GCOL")
    for place in [content.index(mark) for mark in marks if mark in content]:
        broken.write_bytes(content[:place] + bytes(64) + content[place + 64 :])
        with pytest.raises(InputError):
            open_dataset(broken).damaged()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("gathers", lambda old: -old),
        ("gathers_scale", lambda old: old * 2**20),
        ("split", lambda old: 2 - old),
        ("source_x", lambda old: old + 1),
        ("family", lambda old: b"other"),
        ("parameters", lambda old: b'{"a": 1}'),
    ],
)
def test_whatever_belongs_to_a_sample_is_in_its_checksum(copy, name, change):
    with h5py.File(copy, "a") as file:
        file[name][3] = change(file[name][3])
        seal(file)
    with open_dataset(copy) as data:
        assert data.damaged() == [3]
        assert len(data.read_gathers([2, 4])) == 2
        with pytest.raises(InputError, match="sample 3 is damaged, its checksum differs"):
            data.read_gathers([2, 3])
    with pytest.raises(InputError, match="damaged, checksums differ in 1 sample: 3"):
        describe_dataset(copy, check=True)


def add_one(name):
    def change(file):
        file[name][1] += 1

    return change


def unit(file):
    file["velocity"].attrs["units"] = "km/s"


@pytest.mark.parametrize(
    "change",
    [
        *map(add_one, ("depth", "split", "crc32")),
        attribute("shard", [1, 2]),
        attribute("config", f"{config().to_toml()} "),
        unit,
        lambda file: file["gathers"].attrs.pop("DIMENSION_LIST"),
    ],
)
def test_axes_columns_and_attributes_that_changed_are_seen_at_the_door(copy, change):
    with h5py.File(copy, "a") as file:
        change(file)
    with pytest.raises(InputError, match="checksum of its attributes, axes and columns differs"):
        open_dataset(copy)


@pytest.mark.parametrize("kept", [None, np.bytes_("7403e33412f9f0e9")])
def test_a_file_of_an_earlier_version_is_told_as_such(copy, kept):
    with h5py.File(copy, "a") as file:
        attribute("checksum", kept)(file)
    with pytest.raises(InputError, match="an earlier version of seistomo, with other checksums"):
        open_dataset(copy)


def full_disk(code, path, limit=100_000):
    """Run code in a process whose files may not be longer than ``limit``; return what it says."""
    names = {"path": path, "arrays": arrays, "config": config, "models": models}

    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            exec(code, {**globals(), **names})
        except DiskFullError as error:
            os.write(write, str(error).encode())
        except BaseException as error:
            os.write(write, repr(error).encode())
        os._exit(0)

    read, write = os.pipe()
    if not os.fork():
        run()
    os.wait()
    return os.read(read, 10000).decode()


@pytest.mark.parametrize(
    "code",
    [
        "write_dataset(path, config(), *arrays(400), overwrite=True)",
        "write_velocity(path, models(100), 10.0, overwrite=True)",
    ],
)
def test_full_disk_leaves_the_old_file(copy, tmp_path, code):
    before = copy.read_bytes()
    assert "the disk is full" in full_disk(code, copy)
    assert copy.read_bytes() == before
    assert list(tmp_path.iterdir()) == [copy]


def test_models_come_back_from_a_velocity_file(tmp_path):
    path, expected = tmp_path / "velocity.h5", list(models(20))
    write_velocity(path, models(20), 12.5)
    with open_velocity(path) as reader, ThreadPoolExecutor(4) as pool:
        assert (reader.samples, reader.velocity_shape, reader.spacing) == (20, (11, 12), 12.5)
        assert reader.minimum == min(model.velocity.min() for model in expected)
        assert reader.maximum == max(model.velocity.max() for model in expected)
        assert reader.damaged() == []
        # Many threads ask at once.
        for found, model in zip(
            pool.map(StoredModels(reader).model, range(20)), expected, strict=1
        ):
            np.testing.assert_array_equal(found.velocity, model.velocity)
            np.testing.assert_array_equal(found.salt_mask, model.salt_mask)
            assert (found.family, found.parameters) == (model.family, model.parameters)


def identity(tmp_path, spacing=12.5, **change):
    (model,) = models(1)
    model = VelocityModel(**{**vars(model), **change})
    path = write_velocity(tmp_path / "one.h5", [model], spacing, overwrite=True)
    with open_velocity(path) as reader:
        return reader.models_identity


def test_the_identity_of_models_follows_their_content_and_not_the_kind_of_file(whole, tmp_path):
    (model,) = models(1)
    changes = [
        {},
        {"spacing": 12.0},
        {"velocity": model.velocity + 1},
        {"salt_mask": ~model.salt_mask},
        {"family": "other"},
        {"parameters": {"number": 1}},
    ]
    found = [identity(tmp_path, **change) for change in changes]
    assert len(set(found)) == len(changes)
    assert identity(tmp_path) == found[0]
    velocity, _ = arrays()
    same = [VelocityModel(v, v > 4225, "imported", {"number": i}) for i, v in enumerate(velocity)]
    path = write_velocity(tmp_path / "velocity.h5", same, 15.0)
    with open_velocity(whole) as data, open_velocity(path) as file:
        assert data.models_identity == file.models_identity
        assert (data.minimum, data.maximum) == (file.minimum, file.maximum)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v[:9], r"model 1: velocity has shape \[9, 12\], the first model's is"),
        (lambda v: v / 1000, "model 1: velocity = 1.* must be in m/s"),
    ],
)
def test_models_that_do_not_fit_leave_nothing_behind(tmp_path, change, words):
    one, other = models(2)
    other = VelocityModel(change(other.velocity), other.salt_mask, "", {})
    with pytest.raises(InputError, match=words):
        write_velocity(tmp_path / "velocity.h5", [one, other], 10.0)
    with pytest.raises(InputError, match="no velocity models"):
        write_velocity(tmp_path / "velocity.h5", [], 10.0)
    assert list(tmp_path.iterdir()) == []


def test_damaged_models_are_told(tmp_path):
    path = write_velocity(tmp_path / "velocity.h5", models(5), 12.5)
    with h5py.File(path, "a") as file:
        file["velocity"][2, 0, 0] += 1
    with open_velocity(path) as reader:
        assert reader.damaged() == [2]
    with h5py.File(path, "a") as file:
        file["parameters"][1] = b"[1, 2]"
    with open_velocity(path) as reader, pytest.raises(InputError, match="no JSON object"):
        reader.parameters(1)
    with pytest.raises(InputError, match="neither a velocity file nor a data set"):
        open_velocity(__file__)


@pytest.mark.parametrize("opened", [open_dataset, open_velocity])
def test_a_reader_survives_a_fork_and_a_pickle(whole, opened):
    with opened(whole) as reader:
        expected = reader.read_velocity([2])
        child = os.fork()
        if not child:
            os._exit(0 if np.array_equal(reader.read_velocity([2]), expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
        with pickle.loads(pickle.dumps(reader)) as copied:
            np.testing.assert_array_equal(copied.read_velocity([2]), expected)
