import json

import numpy as np
import pytest

from seistomo.dataset.exchange.openfwi import open_models
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

VALUES = np.random.default_rng(0).uniform(1500, 4500, (3, 1, 7, 9)).astype(np.float32)


def saved(tmp_path, values):
    np.save(tmp_path / "model1.npy", values)
    return tmp_path / "model1.npy"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("values", [VALUES, VALUES[:, 0], VALUES[1, 0]])
def test_models_are_read_with_and_without_channel(tmp_path, values, order):
    file = open_models(saved(tmp_path, np.asarray(values, order=order)), FileOptions())
    assert file.shape == (7, 9)
    stack = values.reshape(-1, 7, 9)
    assert file.models == len(stack)
    for number, expected in enumerate(stack):
        np.testing.assert_array_equal(file.read(number).velocity, expected)


def test_spacing_is_openfwis_where_the_layout_is(tmp_path):
    theirs = saved(tmp_path, np.full((2, 1, 70, 70), 2000, np.float32))
    assert open_models(theirs, FileOptions()).spacing == (10, 10)
    assert open_models(theirs, FileOptions(spacing=(5.0, 6.0))).spacing == (5, 6)


@pytest.mark.parametrize("named", [None, "openfwi"])
@pytest.mark.parametrize("shape", [(2, 1, 7, 9), (1, 1, 70, 71), (2, 70, 70), (70, 70)])
def test_spacing_of_other_arrays_is_not_guessed(tmp_path, shape, named):
    file = open_models(saved(tmp_path, np.full(shape, 2000.0)), FileOptions(format=named))
    assert (file.spacing, file.known_from) == (None, "")


def test_spacing_of_an_exported_folder_is_known(tmp_path):
    (tmp_path / "export.json").write_text(json.dumps({"spacing_m": 12.5}))
    file = open_models(saved(tmp_path, VALUES), FileOptions())
    assert file.spacing == (12.5, 12.5)
    assert "export.json" in file.known_from


def save_object(path):
    np.save(path, np.array([{}]), allow_pickle=True)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: path.write_bytes(b"no array"), "not an array file"),
        (lambda path: path.write_bytes(b""), "not an array file"),
        (save_object, "not an array file"),
        (lambda path: np.save(path, np.ones((2, 5, 9, 7))), "look like gathers"),
        (lambda path: np.save(path, np.array(["a", "b"])), "real numbers"),
        (lambda path: path.write_bytes(np.ones(3).tobytes()), "not an array file"),
    ],
)
def test_other_files_are_refused(tmp_path, write, words):
    write(tmp_path / "model1.npy")
    with pytest.raises(InputError, match=words):
        open_models(tmp_path / "model1.npy", FileOptions())


def test_an_archive_under_the_wrong_name_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", velocity=VALUES)
    (tmp_path / "a.npz").rename(tmp_path / "model1.npy")
    with pytest.raises(InputError, match="--format npz"):
        open_models(tmp_path / "model1.npy", FileOptions())


def test_a_cut_file_is_refused(tmp_path):
    path = saved(tmp_path, VALUES)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="not an array file"):
        open_models(path, FileOptions())
