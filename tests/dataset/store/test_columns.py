"""Variables read and written a sample at a time."""

import h5py
import numpy as np
import pytest

from seistomo.dataset.store import columns as module
from seistomo.dataset.store.columns import Column, rows_of


def test_rows_come_as_they_were_written(tmp_path, monkeypatch):
    # One variable a sample at a time, two in blocks of several.
    monkeypatch.setattr(module, "BLOCK_BYTES", 3000)
    large = np.random.default_rng(0).normal(size=(7, 20, 50)).astype(np.float16)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        variables = {
            "large": file.create_dataset("large", large.shape, "f2", chunks=(1, 20, 50)),
            "small": file.create_dataset("small", (7, 5), "f8", chunks=(1, 5)),
            "text": file.create_dataset("text", (7,), h5py.string_dtype()),
        }
        written = {name: Column(variable) for name, variable in variables.items()}
        for index in range(7):
            written["large"].write(index, large[index])
            written["small"].write(index, np.full(5, index))
            written["text"].write(index, "é" * index)
    with h5py.File(tmp_path / "data.h5") as file:
        names = ("small", "large", "text")
        seen = 0
        # Large samples lie in memory that is used again: look at each when it comes.
        for index, row in enumerate(rows_of({name: Column(file[name]) for name in names}, 7)):
            assert tuple(row) == names
            np.testing.assert_array_equal(row["large"], large[index])
            np.testing.assert_array_equal(row["small"], np.full(5, index))
            assert row["text"].decode() == "é" * index
            seen += 1
    assert seen == 7


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (h5py.string_dtype(), ["", "é", "a long text" * 50]),
        (np.dtype(bool), [True, False, True]),
        (np.dtype("u8"), [0, 2**63, 7]),
    ],
)
def test_columns_hold_text_and_numbers(tmp_path, dtype, values):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        column = Column(file.create_dataset("values", (3,), dtype))
        for index in (2, 0, 1):
            column.write(index, values[index])
        found = list(column.read(0, 3))
    assert [v.decode() if isinstance(v, bytes) else v for v in found] == values
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["values"].dtype == dtype
