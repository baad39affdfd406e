"""Data sets and velocity files as xarray data sets: named axes, physical units, read when used."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray
from xarray.backends import BackendArray
from xarray.core import indexing

from seistomo.dataset.store import schema

if TYPE_CHECKING:
    from seistomo.dataset.store.reader import VelocityReader


class _Samples(BackendArray):
    """An array [sample, ...] of which those samples are read that are asked for."""

    def __init__(
        self, read: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...], dtype: Any
    ):
        self.read, self.shape, self.dtype = read, shape, np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._part)

    def _part(self, key: tuple[int | slice | np.ndarray, ...]) -> np.ndarray:
        rows = np.arange(self.shape[0])[key[0]]
        values = self.read(np.atleast_1d(rows))
        # From the last axis on: a whole number takes its axis away.
        for axis in range(len(key) - 1, 0, -1):
            values = values[(slice(None),) * axis + (key[axis],)]
        return values if rows.ndim else values[0]


def labelled(reader: "VelocityReader") -> xarray.Dataset:
    lengths = {"sample": reader.samples}
    coordinates = {"sample": ("sample", reader.numbers, {"units": "1"})}
    for name, (values, units) in reader.axes.items():
        coordinates[name] = (name, values, {"units": units})
        lengths[name] = len(values)
    content = {}
    for name, variable in reader.variables.items():
        if name in schema.INNER:
            continue
        dtype, meaning = variable.dtype, variable.long_name
        if name == "gathers":
            dtype, meaning = "f4", "recorded pressure"
        elif dtype == "str":
            dtype = object
        shape = tuple(lengths[axis] for axis in variable.dimensions)
        read = partial(reader.column, name)
        values = indexing.LazilyIndexedArray(_Samples(read, shape, dtype))
        about = {"units": variable.units, "long_name": meaning}
        content[name] = xarray.Variable(variable.dimensions, values, about)
    if reader.config:
        about = {"units": schema.WAVELET.units, "long_name": schema.WAVELET.long_name}
        content["wavelet"] = ("time", reader.wavelet, about)
    whole = xarray.Dataset(content, coordinates, reader.attributes)
    whole.set_close(reader.close)
    return whole
