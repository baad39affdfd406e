from pathlib import Path

import numpy as np
import pytest

from seistomo.dataset.exchange.arrays import as_models, model_shape, native, require_numbers
from seistomo.errors import InputError

FILE = Path("file")


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (3, 4, 5), (3, 1, 4, 5)])
def test_axes_of_models(shape):
    values = np.arange(np.prod(shape)).reshape(shape)
    models = shape[0] if len(shape) > 2 else 1
    assert model_shape(FILE, shape, "x") == (models, 4, 5)
    assert model_shape(FILE, shape, "depth") == (models, 5, 4)
    stack = as_models(values, "x")
    np.testing.assert_array_equal(stack, values.reshape(models, 4, 5))
    np.testing.assert_array_equal(as_models(values, "depth"), stack.transpose(0, 2, 1))
    assert np.shares_memory(stack, values)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((7,), r"has shape \[7\]"),
        ((), "has shape"),
        ((1, 1, 2, 3, 4), "velocity models are"),
        ((500, 5, 1000, 70), "5 channels: these look like gathers"),
        ((0, 4, 5), "no models"),
    ],
)
def test_other_axes_are_refused(shape, words):
    with pytest.raises(InputError, match=words):
        model_shape(FILE, shape, "x")


@pytest.mark.parametrize("dtype", ["U3", "complex64", "bool", "S4", "M8[s]"])
def test_what_is_no_number_is_refused(dtype):
    with pytest.raises(InputError, match="real numbers"):
        require_numbers(FILE, np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_single_precision_stays_as_it_is(dtype):
    values = np.random.default_rng(0).normal(size=9).astype(dtype)
    found = native(values)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)
    assert native(np.arange(3, dtype=">i8")).dtype == np.float64
