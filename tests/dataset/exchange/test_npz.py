import json

import numpy as np
import pytest

from seistomo.dataset.exchange.npz import open_models
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

RNG = np.random.default_rng(0)
VALUES = RNG.uniform(1500, 4500, (3, 7, 9)).astype(np.float32)
MASK = RNG.random((3, 7, 9)) < 0.5


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_models_with_all_that_is_told_of_them(tmp_path, save, order):
    save(
        tmp_path / "v.npz",
        other=np.ones(3),
        velocity=np.asarray(VALUES, order=order),
        salt_mask=MASK,
        family=np.array(["a", "b", "c"]),
        parameters=np.array([json.dumps({"n": n}) for n in range(3)]),
        spacing=12.5,
    )
    file = open_models(tmp_path / "v.npz", FileOptions())
    assert (file.models, file.shape, file.spacing) == (3, (7, 9), (12.5, 12.5))
    for number in (2, 0):
        found = file.read(number)
        np.testing.assert_array_equal(found.velocity, VALUES[number])
        np.testing.assert_array_equal(found.salt_mask, MASK[number])
        assert (found.family, found.parameters) == ("abc"[number], {"n": number})


def test_big_endian_and_doubles(tmp_path):
    np.savez(tmp_path / "v.npz", vp=VALUES.astype(">f8"))
    found = open_models(tmp_path / "v.npz", FileOptions()).read(1).velocity
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, VALUES[1])


def test_the_only_array_or_the_one_named(tmp_path):
    np.savez(tmp_path / "one.npz", vp=VALUES)
    assert open_models(tmp_path / "one.npz", FileOptions()).spacing is None
    np.savez(tmp_path / "two.npz", vp=VALUES, vs=VALUES / 2)
    with pytest.raises(InputError, match="not clear; give --key, one of vp, vs"):
        open_models(tmp_path / "two.npz", FileOptions())
    file = open_models(tmp_path / "two.npz", FileOptions(key="vs"))
    np.testing.assert_array_equal(file.read(0).velocity, VALUES[0] / 2)
    with pytest.raises(InputError, match="no array 'v'; give --key, one of vp, vs"):
        open_models(tmp_path / "two.npz", FileOptions(key="v"))


def test_depth_as_the_last_axis(tmp_path):
    np.savez(tmp_path / "v.npz", velocity=VALUES, salt_mask=MASK)
    file = open_models(tmp_path / "v.npz", FileOptions(fastest="depth", spacing=(5.0, 6.0)))
    assert (file.shape, file.spacing) == ((9, 7), (5, 6))
    np.testing.assert_array_equal(file.read(2).velocity, VALUES[2].T)
    np.testing.assert_array_equal(file.read(2).salt_mask, MASK[2].T)


def test_a_mask_of_another_shape_is_not_one_of_these_models(tmp_path):
    np.savez(tmp_path / "v.npz", velocity=VALUES, salt_mask=MASK[:, :5])
    assert open_models(tmp_path / "v.npz", FileOptions()).read(0).salt_mask is None


def test_plain_archives_are_mapped_not_read(tmp_path):
    np.savez(tmp_path / "v.npz", velocity=VALUES)
    from seistomo.dataset.exchange.npz import _array

    assert isinstance(_array(tmp_path / "v.npz", "velocity"), np.memmap)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"velocity": np.array([{}], object)}, "velocity cannot be read"),
        ({"velocity": np.array("text")}, "real numbers"),
        ({"velocity": np.ones((2, 0, 3))}, "no models"),
        ({}, "not clear"),
    ],
)
def test_other_content_is_refused(tmp_path, content, words):
    np.savez(tmp_path / "v.npz", **content)
    with pytest.raises(InputError, match=words):
        open_models(tmp_path / "v.npz", FileOptions())


def test_other_files_are_refused(tmp_path):
    (tmp_path / "v.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="not an NPZ file"):
        open_models(tmp_path / "v.npz", FileOptions())
