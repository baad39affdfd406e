"""One sample of an HDF5 variable at a time, by HDF5's own calls.

`h5py.Dataset`'s brackets take 0.1 ms or more a call, whatever is read or written; a sample has
sixteen variables.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5s, h5t

# Bytes of one variable that `rows_of` reads at once.
BLOCK_BYTES = 2**22


class Column:
    """A variable of an open file whose first axis counts samples.

    Parameters
    ----------
    variable
        The HDF5 variable.

    Attributes
    ----------
    shape
        Of one sample.
    samples
        Number of samples.
    """

    def __init__(self, variable: h5py.Dataset) -> None:
        self.samples, *shape = variable.shape
        self.shape = tuple(shape)
        self._dtype = variable.dtype
        self._type = h5t.py_create(variable.dtype)
        self._id = variable.id
        self._place = variable.id.get_space()

    @property
    def sample_bytes(self) -> int:
        """Memory that one sample takes (text: that of its reference)."""
        return int(np.prod(self.shape, dtype=np.int64)) * self._dtype.itemsize

    def write(self, sample: int, value: Any) -> None:
        """Write one sample; ``value`` has `shape`."""
        memory = np.empty((1, *self.shape), self._dtype) if self._dtype.kind == "O" else None
        if memory is None:
            memory = np.ascontiguousarray(value, dtype=self._dtype)
        else:
            memory[0] = value
        self._id.write(self._select(sample, 1), self._place, memory, self._type)

    def read(self, start: int, count: int, into: np.ndarray | None = None) -> np.ndarray:
        """Return ``count`` samples from ``start`` on, [sample, ...].

        Parameters
        ----------
        start, count
            Which ones.
        into
            Memory of that shape to fill and return: reading to new memory costs as much again.
        """
        if into is None:
            into = np.empty((count, *self.shape), self._dtype)
        self._id.read(self._select(start, count), self._place, into, self._type)
        return into

    def _select(self, start: int, count: int) -> h5s.SpaceID:
        """Select samples of the file; return the space of as much memory."""
        block = (count, *self.shape)
        self._place.select_hyperslab((start, *[0] * len(self.shape)), block)
        return h5s.create_simple(block)


def rows_of(columns: Mapping[str, Column], samples: int) -> Iterator[dict[str, Any]]:
    """Yield all variables of one sample after another, as they are stored.

    Small variables are read many samples at a time, large ones into memory that the next sample
    uses again: copy what is to be kept.
    """
    small, large = [], {}
    for name, column in columns.items():
        if column.sample_bytes * 8 > BLOCK_BYTES:
            large[name] = np.empty((1, *column.shape), column._dtype)
        else:
            small.append(name)
    together = _samples_together([columns[name] for name in small])
    for start in range(0, samples, together):
        count = min(together, samples - start)
        blocks = {name: columns[name].read(start, count) for name in small}
        for row in range(count):
            values = {name: block[row] for name, block in blocks.items()}
            for name, memory in large.items():
                values[name] = columns[name].read(start + row, 1, memory)[0]
            # In the order of the variables: files are written in that order.
            yield {name: values[name] for name in columns}


def _samples_together(columns: Sequence[Column]) -> int:
    most = max((column.sample_bytes for column in columns), default=1)
    return max(1, BLOCK_BYTES // max(1, most))
