"""Write data set files: samples appended in order, the completion flag last."""

import json
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
import torch

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.dataset.store.columns import Column
from seistomo.dataset.store.hdf5 import hdf5_for_writing
from seistomo.errors import InputError
from seistomo.interrupts import interrupts_held

# Speeds that rock, soil and water may have, m/s: beyond them a unit or a sign is wrong.
SLOWEST, FASTEST = 50.0, 20_000.0


@dataclass(frozen=True)
class Sample:
    """One pair of model and gathers with everything kept beside it.

    Attributes
    ----------
    velocity
        float32 [depth, x], m/s.
    gathers
        float32 [source, receiver, time].
    salt_mask
        bool [depth, x].
    dead_trace
        bool [source, receiver].
    source_x, source_depth, receiver_x, receiver_depth
        float64 [source] or [receiver], m.
    index, seed
        What the sample was drawn with.
    family, parameters
        Family of the model and what was drawn for it.
    split
        0 train, 1 validation, 2 test.
    """

    velocity: np.ndarray
    gathers: np.ndarray
    salt_mask: np.ndarray
    dead_trace: np.ndarray
    source_x: np.ndarray
    source_depth: np.ndarray
    receiver_x: np.ndarray
    receiver_depth: np.ndarray
    index: int
    seed: int
    split: int
    family: str = "imported"
    parameters: Mapping[str, Any] = field(default_factory=dict)


class DatasetWriter:
    """Writes one file of ``samples`` samples; use it as a context manager.

    Parameters
    ----------
    path
        The file, written in place: pass the temporary path of `written_whole`.
    config
        Stored, without the settings that concern speed alone.
    samples
        Number of samples that will be appended, exactly.
    wavelet
        float64 [time], the source wavelet.
    links
        Other files, (path, samples) in order, that hold the large variables: the new file then
        refers to them (an HDF5 virtual data set) and only the small ones are written here.
    shard
        (i, n) where the file is part i of n of a data set.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        samples: int,
        wavelet: np.ndarray,
        links: Sequence[tuple[str, int]] = (),
        shard: tuple[int, int] | None = None,
    ) -> None:
        self._links, self._shard = links, shard
        self._config = schema.stored_config(config)
        self._samples = samples
        self._next = 0
        self._variables = schema.sample_variables(config.dataset.storage)
        self._checksums = np.zeros(samples, dtype=np.uint32)
        self._path = path
        self._wavelet = np.asarray(wavelet, dtype=np.float64)
        self._open = ExitStack()

    def __enter__(self) -> "DatasetWriter":
        self._file, self._raw = self._open.enter_context(hdf5_for_writing(self._path))
        try:
            with interrupts_held():
                self._create()
        except BaseException:
            self._open.close()
            raise
        self._columns = {
            name: Column(self._file[name])
            for name in self._variables
            if not (self._links and name in schema.LARGE)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._open:
            if kind is None:
                with interrupts_held():
                    self._finish()

    def append(self, sample: Sample) -> None:
        """Write the next sample.

        Raises
        ------
        InputError
            If an array's shape is not the config's, a value is not finite, or a speed absurd.
        """
        self.append_stored(pack_sample(self._config, sample))

    def append_stored(self, values: Mapping[str, Any]) -> None:
        """Write the next sample from values as they are stored: see `pack_sample`."""
        with interrupts_held():
            # In the order given: HDF5 places chunks in the order in which they are written.
            for name, value in values.items():
                if name in self._columns:
                    self._columns[name].write(self._next, value)
        self._checksums[self._next] = values["crc32"]
        self._next += 1
        if self._raw.failure is not None:
            raise self._raw.failure

    def _create(self) -> None:
        coordinates = _coordinates(self._config, self._samples)
        for name, (values, units) in coordinates.items():
            variable = self._file.create_dataset(name, data=values)
            variable.make_scale(name)
            variable.attrs["units"] = units
        for name, spec in self._variables.items():
            shape = tuple(len(coordinates[dimension][0]) for dimension in spec.dimensions)
            self._describe(self._variable(name, shape, spec.dtype), spec)
        self._describe(self._file.create_dataset("wavelet", data=self._wavelet), schema.WAVELET)
        self._file.attrs["format"] = schema.FORMAT
        self._file.attrs["version"] = schema.VERSION
        self._file.attrs["config"] = schema.config_text(self._config)
        self._file.attrs["software"] = schema.software_versions()
        if self._shard is not None:
            self._file.attrs["shard"] = self._shard
        self._file.attrs["complete"] = False

    def _variable(self, name: str, shape: tuple[int, ...], kind: str) -> h5py.Dataset:
        dtype = h5py.string_dtype() if kind == "str" else np.dtype(kind)
        if self._links and name in schema.LARGE:
            layout, start = h5py.VirtualLayout(shape, dtype), 0
            for path, count in self._links:
                layout[start : start + count] = h5py.VirtualSource(path, name, (count, *shape[1:]))
                start += count
            return self._file.create_virtual_dataset(name, layout)
        chunks = (1, *shape[1:]) if len(shape) > 1 else None
        return self._file.create_dataset(name, shape, dtype, chunks=chunks)

    def _describe(self, variable: h5py.Dataset, spec: schema.Variable) -> None:
        for axis, dimension in enumerate(spec.dimensions):
            variable.dims[axis].attach_scale(self._file[dimension])
        variable.attrs["units"] = spec.units
        variable.attrs["long_name"] = spec.long_name

    def _finish(self) -> None:
        if self._next != self._samples:
            raise RuntimeError(f"{self._next} of {self._samples} samples were written")
        self._file.attrs["identity"] = schema.identity_of(self._config, self._checksums)
        self._file.flush()
        self._file.attrs["complete"] = True


def pack_sample(config: Config, sample: Sample) -> dict[str, Any]:
    """Return a sample as it is stored: one value a variable, checked and compressed.

    It depends on its arguments alone, so that several threads may pack samples while one writes.

    Raises
    ------
    InputError
        If an array's shape is not the config's, a value is not finite, or a speed absurd.
    """
    velocity = np.ascontiguousarray(sample.velocity, dtype=np.float32)
    gathers = np.ascontiguousarray(sample.gathers, dtype=np.float32)
    low, high = _extremes(velocity)
    weakest, strongest = _extremes(gathers)
    if not np.isfinite([low, high, weakest, strongest]).all():
        raise InputError(f"sample {sample.index}: velocity and gathers must be finite numbers")
    if low < SLOWEST or high > FASTEST:
        raise InputError(
            f"sample {sample.index}: velocity = {low:g} to {high:g}: must be in m/s, between"
            f" {SLOWEST:g} and {FASTEST:g}"
        )
    values: dict[str, Any] = {"velocity": velocity, "gathers": gathers}
    if config.dataset.storage == "float16":
        values["gathers"], values["gathers_scale"] = compress(gathers, max(-weakest, strongest))
    names = ("salt_mask", "dead_trace", "index", "seed", "split", "family")
    positions = ("source_x", "source_depth", "receiver_x", "receiver_depth")
    values |= {name: getattr(sample, name) for name in names + positions}
    values["parameters"] = json.dumps(sample.parameters, sort_keys=True)
    values["crc32"] = checksum(velocity, values["gathers"])
    _check_shapes(config, values)
    return values


def compress(gathers: np.ndarray, peak: float | None = None) -> tuple[np.ndarray, np.float32]:
    """Return gathers as float16 and the factor that restores them.

    The factor is a power of two that brings the peak to between 16,384 and 32,768, so scaling is
    exact and values down to 4e-9 of the peak keep float16's 11 bits.

    Parameters
    ----------
    gathers
        float32 of any shape.
    peak
        Their largest absolute value, if it is known.
    """
    if peak is None:
        peak = float(np.max(np.abs(gathers), initial=0.0))
    exponent = int(np.frexp(peak)[1]) - 15 if peak > 0 else 0
    exponent = max(exponent, -126)
    # Torch rounds as numpy does, many times faster, and needs no array in between.
    scaled = torch.empty(gathers.shape, dtype=torch.float16)
    torch.mul(torch.from_numpy(gathers), 2.0**-exponent, out=scaled)
    return scaled.numpy(), np.float32(2.0**exponent)


def checksum(velocity: np.ndarray, gathers: np.ndarray) -> int:
    """Return the CRC-32 of a sample's velocity and gathers as they are stored."""
    first = zlib.crc32(np.ascontiguousarray(velocity))
    return zlib.crc32(np.ascontiguousarray(gathers), first)


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value, NaN where one is NaN."""
    return float(np.min(values)), float(np.max(values))


def _check_shapes(config: Config, values: Mapping[str, Any]) -> None:
    lengths = {name: len(axis) for name, (axis, _) in _coordinates(config, 1).items()}
    variables = schema.sample_variables(config.dataset.storage)
    for name, value in values.items():
        dimensions = variables[name].dimensions[1:]
        expected = tuple(lengths[dimension] for dimension in dimensions)
        if np.shape(value) != expected:
            raise InputError(
                f"{name}: has shape {list(np.shape(value))}, but the config says"
                f" [{', '.join(dimensions)}] = {list(expected)}"
            )


def _coordinates(config: Config, samples: int) -> dict[str, tuple[np.ndarray, str]]:
    grid, survey = config.velocity, config.survey
    return {
        "sample": (np.arange(samples), "1"),
        "depth": (np.arange(grid.shape[0]) * grid.spacing, "m"),
        "x": (np.arange(grid.shape[1]) * grid.spacing, "m"),
        "source": (np.arange(survey.sources), "1"),
        "receiver": (np.arange(survey.receivers), "1"),
        "time": (np.arange(survey.time_samples) * survey.time_step, "s"),
    }
