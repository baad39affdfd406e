"""Write velocity files, model after model; `velocity_file` has the layout and the reader."""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from seistomo.dataset.store import schema
from seistomo.dataset.store.hdf5 import hdf5_for_writing, interrupts_held
from seistomo.dataset.store.writer import FASTEST, SLOWEST
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.velocity import VelocityModel

VELOCITY_FORMAT = "seistomo-velocity"
# How many rows the file grows by at a time.
BLOCK = 64


class VelocityWriter:
    """Writes one velocity file, model after model; use it as a context manager.

    Parameters
    ----------
    path
        The file, written in place: pass the temporary path of `seistomo.files.written_whole`.
    shape
        Nodes (depth, x) of every model.
    spacing
        Distance between nodes, m, both ways.
    """

    def __init__(self, path: Path, shape: tuple[int, int], spacing: float) -> None:
        self._path, self._shape, self._spacing = path, tuple(shape), float(spacing)
        self._summary = ModelsSummary(self._shape, self._spacing)
        self._texts: dict[str, list[str]] = {"family": [], "parameters": []}

    def __enter__(self) -> Self:
        self._open = hdf5_for_writing(self._path)
        self._file, self._raw = self._open.__enter__()
        with interrupts_held():
            for name, kind in (("velocity", "f4"), ("salt_mask", "bool")):
                self._file.create_dataset(
                    name,
                    (0, *self._shape),
                    np.dtype(kind),
                    maxshape=(None, *self._shape),
                    chunks=(1, *self._shape),
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with interrupts_held():
                    self._finish()
        finally:
            self._open.__exit__(kind, error, trace)

    @property
    def models(self) -> int:
        """How many models have been written."""
        return len(self._summary.checksums)

    def append(self, model: VelocityModel) -> None:
        """Write the next model.

        Raises
        ------
        InputError
            If its shape is not the file's, a speed is not finite or no speed in m/s.
        """
        index = self.models
        _check_model(index, model, self._shape)
        with interrupts_held():
            for name in ("velocity", "salt_mask"):
                variable = self._file[name]
                if index == len(variable):
                    variable.resize(index + BLOCK, axis=0)
                variable[index] = getattr(model, name)
        self._texts["family"].append(model.family)
        self._texts["parameters"].append(_text(model.parameters))
        self._summary.add(model)
        if self._raw.failure is not None:
            raise self._raw.failure

    def _finish(self) -> None:
        if not self.models:
            raise InputError("velocity: holds no models; give at least one")
        coordinates = {
            "model": (np.arange(self.models), "1"),
            "depth": (np.arange(self._shape[0]) * self._spacing, "m"),
            "x": (np.arange(self._shape[1]) * self._spacing, "m"),
        }
        for name, (values, units) in coordinates.items():
            scale = self._file.create_dataset(name, data=values)
            scale.make_scale(name)
            scale.attrs["units"] = units
        for name, lines in self._texts.items():
            self._file.create_dataset(name, data=lines, dtype=h5py.string_dtype())
        self._file.create_dataset("crc32", data=np.array(self._summary.checksums, np.uint32))
        for name in ("velocity", "salt_mask"):
            self._file[name].resize(self.models, axis=0)
        for name in ("velocity", "salt_mask", "family", "parameters"):
            spec = schema.SAMPLE_VARIABLES[name]
            self._describe(name, ("model", *spec.dimensions[1:]), spec.units, spec.long_name)
        self._describe("crc32", ("model",), "1", "checksum of the model")
        attributes = {
            "format": VELOCITY_FORMAT,
            "version": schema.VERSION,
            "spacing": self._spacing,
            "minimum": self._summary.minimum,
            "maximum": self._summary.maximum,
            "identity": self._summary.identity,
            "software": schema.software_versions(),
        }
        for name, value in attributes.items():
            self._file.attrs[name] = value
        self._file.flush()
        self._file.attrs["complete"] = True

    def _describe(self, name: str, dimensions: tuple[str, ...], units: str, long_name: str) -> None:
        variable = self._file[name]
        for axis, dimension in enumerate(dimensions):
            variable.dims[axis].attach_scale(self._file[dimension])
        variable.attrs["units"], variable.attrs["long_name"] = units, long_name


def write_velocity(
    path: str | Path,
    models: Iterable[VelocityModel],
    spacing: float,
    *,
    overwrite: bool = False,
) -> Path:
    """Write velocity models, your own arrays for example; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    models
        The models, all of one shape; they may come from a generator.
    spacing
        Distance between nodes, m, both ways.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the file exists, there is no model, or one does not fit (`VelocityWriter.append`).
    """
    path, models = Path(path), iter(models)
    if os.path.lexists(path) and not overwrite:
        raise InputError(f"{path}: exists already; use --overwrite or another name")
    first = next(models, None)
    if first is None:
        raise InputError(f"{path}: no velocity models to write")
    with (
        written_whole(path) as temporary,
        VelocityWriter(temporary, first.velocity.shape, spacing) as writer,
    ):
        writer.append(first)
        for model in models:
            writer.append(model)
    return path


class ModelsSummary:
    """What a file tells of all its models together, gathered one by one.

    Attributes
    ----------
    minimum, maximum
        Lowest and highest speed, m/s.
    checksums
        CRC-32 of each model.
    """

    def __init__(self, shape: tuple[int, int], spacing: float) -> None:
        self._grid = {"shape": [int(nodes) for nodes in shape], "spacing": float(spacing)}
        self.minimum, self.maximum = np.inf, -np.inf
        self.checksums: list[int] = []

    def add(self, model: VelocityModel) -> None:
        """Take in the next model."""
        self.minimum = min(self.minimum, float(model.velocity.min()))
        self.maximum = max(self.maximum, float(model.velocity.max()))
        self.checksums.append(model_checksum(model))

    @property
    def identity(self) -> str:
        """Short hash of the grid and of every model's content."""
        digest = hashlib.sha256(_text(self._grid).encode())
        digest.update(np.array(self.checksums, dtype="<u4").tobytes())
        return digest.hexdigest()[:16]


def model_checksum(model: VelocityModel) -> int:
    """Return the CRC-32 of a model's speeds, salt mask, family and parameters."""
    parts = (
        np.ascontiguousarray(model.velocity, "<f4").tobytes(),
        np.ascontiguousarray(model.salt_mask, np.uint8).tobytes(),
        model.family.encode(),
        _text(model.parameters).encode(),
    )
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return total


def _text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _check_model(index: int, model: VelocityModel, shape: tuple[int, int]) -> None:
    for name in ("velocity", "salt_mask"):
        found = np.shape(getattr(model, name))
        if found != shape:
            raise InputError(
                f"model {index}: {name} has shape {list(found)}, the first model's is"
                f" {list(shape)} (depth, x)"
            )
    if not np.isfinite(model.velocity).all():
        raise InputError(f"model {index}: velocity must be finite numbers")
    low, high = float(model.velocity.min()), float(model.velocity.max())
    if low < SLOWEST or high > FASTEST:
        raise InputError(
            f"model {index}: velocity = {low:g} to {high:g}: must be in m/s, between {SLOWEST:g}"
            f" and {FASTEST:g}"
        )
