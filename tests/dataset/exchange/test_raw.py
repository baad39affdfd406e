import numpy as np
import pytest

from seistomo.dataset.exchange.raw import open_models
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

VALUES = np.random.default_rng(0).integers(1500, 4500, (3, 4, 5))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint16", "int32", "float16"])
@pytest.mark.parametrize("byte_order", ["little", "big"])
@pytest.mark.parametrize("fastest", ["x", "depth"])
def test_every_layout_is_read(tmp_path, dtype, byte_order, fastest):
    stored = VALUES if fastest == "x" else VALUES.swapaxes(1, 2)
    stored = np.ascontiguousarray(stored).astype(dtype)
    sign = {"little": "<", "big": ">"}[byte_order]
    (tmp_path / "v.bin").write_bytes(stored.astype(stored.dtype.newbyteorder(sign)).tobytes())
    options = FileOptions(shape=(4, 5), dtype=dtype, byte_order=byte_order, fastest=fastest)
    file = open_models(tmp_path / "v.bin", options)
    assert (file.models, file.shape, file.spacing) == (3, (4, 5), None)
    expected = VALUES.astype(dtype)
    for number in range(3):
        found = file.read(number).velocity
        assert found.dtype == (np.float32 if dtype == "float32" else np.float64)
        np.testing.assert_array_equal(found, expected[number])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give --shape"),
        ({"shape": (4, 6)}, r"holds 60 values of type float32, not a multiple of --shape 4x6 = 24"),
        ({"shape": (40, 50)}, "not a multiple"),
        ({"shape": (4, 5), "dtype": "flaot32"}, "--dtype flaot32: must be a type of numbers"),
        ({"shape": (4, 5), "dtype": "U4"}, "--dtype U4"),
        ({"shape": (4, 5), "dtype": "complex64"}, "--dtype complex64"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, words):
    VALUES.astype("f4").tofile(tmp_path / "v.bin")
    with pytest.raises(InputError, match=words):
        open_models(tmp_path / "v.bin", FileOptions(**options))


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "v.bin").touch()
    with pytest.raises(InputError, match="holds 0 values"):
        open_models(tmp_path / "v.bin", FileOptions(shape=(4, 5)))
