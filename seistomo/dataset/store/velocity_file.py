"""Velocity files: models without gathers, to be shot over; data sets open as the same.

Layout (HDF5, opens in xarray): ``velocity`` and ``salt_mask`` [model, depth, x], ``family``,
``parameters`` (JSON) and ``crc32`` [model], coordinates ``model``, ``depth`` and ``x`` in m; root
attributes format, version, spacing, minimum, maximum, identity, software and, last, complete.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from seistomo.dataset.store import schema
from seistomo.dataset.store.parts import open_dataset
from seistomo.dataset.store.reader import file_format, naming_damage, open_checked
from seistomo.dataset.store.velocity_writer import (
    VELOCITY_FORMAT,
    ModelsSummary,
    model_checksum,
)
from seistomo.errors import InputError
from seistomo.velocity import VelocityModel


class VelocityReader(ABC):
    """Velocity models of one grid, opened for reading; use it as a context manager.

    Attributes
    ----------
    path
        The velocity file, data set or folder of its parts.
    models
        Number of models.
    shape
        Nodes (depth, x) of each.
    spacing
        Distance between nodes, m, both ways.
    software
        Versions of the programs that made the file.
    """

    path: Path
    models: int
    shape: tuple[int, int]
    spacing: float
    software: dict[str, str]

    @property
    @abstractmethod
    def minimum(self) -> float:
        """Lowest speed of all models, m/s."""

    @property
    @abstractmethod
    def maximum(self) -> float:
        """Highest speed of all models, m/s."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Short hash of the content: grid, speeds, salt, families and parameters.

        The same models have the same identity in a velocity file and in a data set.
        """

    @abstractmethod
    def model(self, index: int) -> VelocityModel:
        """Return one model, as `seistomo.velocity.draw_model` does.

        Raises
        ------
        InputError
            If there is no such model, or the file is damaged.
        """

    @abstractmethod
    def read_velocity(self, indices: Iterable[int]) -> np.ndarray:
        """Return velocity models, float32 [model, depth, x], m/s."""

    @abstractmethod
    def read_salt_mask(self, indices: Iterable[int]) -> np.ndarray:
        """Return salt masks, bool [model, depth, x]."""

    @abstractmethod
    def families(self, indices: Iterable[int]) -> list[str]:
        """Return the family of each model."""

    @abstractmethod
    def damaged(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> list[int]:
        """Return the models whose checksum does not match their content."""

    @abstractmethod
    def close(self) -> None:
        """Close the files; reading afterwards opens them again."""

    @property
    def depth(self) -> np.ndarray:
        """Depth of the nodes, float64 [depth], m."""
        return np.arange(self.shape[0]) * self.spacing

    @property
    def x(self) -> np.ndarray:
        """Position of the nodes, float64 [x], m."""
        return np.arange(self.shape[1]) * self.spacing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.models:
            raise InputError(f"model {index}: {self.path} has models 0 to {self.models - 1}")


def open_velocity(path: str | Path) -> VelocityReader:
    """Open the velocity models of a velocity file, a data set or a folder of its parts.

    Raises
    ------
    InputError
        If it is none of these, or damaged.
    """
    path = Path(path)
    held = file_format(path)
    if held == VELOCITY_FORMAT:
        return _VelocityFile(path)
    if path.is_file() and held != schema.FORMAT:
        raise InputError(
            f"{path}: neither a velocity file nor a data set; make one of it with `seistomo import`"
        )
    return _ModelsOfDataset(path)


class _VelocityFile(VelocityReader):
    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._variables: dict[str, h5py.Dataset] = {}
        self._process = os.getpid()
        with naming_damage(self.path):
            variable, attributes = self._variable("velocity"), self._file.attrs
            self.models, *shape = variable.shape
            self.shape = (shape[0], shape[1])
            self.spacing = float(attributes["spacing"])
            self._minimum, self._maximum = (float(attributes[k]) for k in ("minimum", "maximum"))
            self._identity = str(attributes["identity"])
            self.software = json.loads(attributes["software"])

    @property
    def minimum(self) -> float:
        return self._minimum

    @property
    def maximum(self) -> float:
        return self._maximum

    @property
    def identity(self) -> str:
        return self._identity

    def model(self, index: int) -> VelocityModel:
        return VelocityModel(
            velocity=self._one("velocity", index),
            salt_mask=self._one("salt_mask", index),
            family=self._one("family", index).decode(),
            parameters=json.loads(self._one("parameters", index)),
        )

    def read_velocity(self, indices: Iterable[int]) -> np.ndarray:
        return self._read("velocity", indices, np.float32)

    def read_salt_mask(self, indices: Iterable[int]) -> np.ndarray:
        return self._read("salt_mask", indices, np.bool_)

    def families(self, indices: Iterable[int]) -> list[str]:
        return [self._one("family", index).decode() for index in indices]

    def damaged(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> list[int]:
        bad = []
        for index in progress(range(self.models)):
            try:
                good = model_checksum(self.model(index)) == self._one("crc32", index)
            except (InputError, ValueError):
                good = False
            if not good:
                bad.append(index)
        return bad

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._variables = None, {}

    def _read(self, name: str, indices: Iterable[int], kind: type) -> np.ndarray:
        rows = [self._one(name, index) for index in indices]
        return np.stack(rows) if rows else np.empty((0, *self.shape), kind)

    def _one(self, name: str, index: int) -> Any:
        self._check_index(index)
        with naming_damage(self.path):
            return self._variable(name)[index]

    def _variable(self, name: str) -> h5py.Dataset:
        if self._process != os.getpid():
            # HDF5 handles do not survive a fork.
            self._file, self._variables, self._process = None, {}, os.getpid()
        if self._file is None:
            self._file = open_checked(self.path, VELOCITY_FORMAT)
        if name not in self._variables:
            self._variables[name] = self._file[name]
        return self._variables[name]


class _ModelsOfDataset(VelocityReader):
    def __init__(self, path: str | Path) -> None:
        self._data = open_dataset(path)
        self.path = self._data.path
        self.models, self.shape = self._data.samples, self._data.velocity_shape
        self.spacing = self._data.config.velocity.spacing
        self.software = self._data.software

    @property
    def minimum(self) -> float:
        return self._scan[0]

    @property
    def maximum(self) -> float:
        return self._scan[1]

    @property
    def identity(self) -> str:
        return self._scan[2]

    def model(self, index: int) -> VelocityModel:
        self._check_index(index)
        return VelocityModel(
            velocity=self._data.read_velocity([index])[0],
            salt_mask=self._data.read_salt_mask([index])[0],
            family=self._data.families([index])[0],
            parameters=self._data.parameters(index),
        )

    def read_velocity(self, indices: Iterable[int]) -> np.ndarray:
        return self._data.read_velocity(indices)

    def read_salt_mask(self, indices: Iterable[int]) -> np.ndarray:
        return self._data.read_salt_mask(indices)

    def families(self, indices: Iterable[int]) -> list[str]:
        return self._data.families(indices)

    def damaged(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> list[int]:
        return self._data.damaged(progress)

    def close(self) -> None:
        self._data.close()

    @cached_property
    def _scan(self) -> tuple[float, float, str]:
        """Lowest and highest speed and the identity; a data set does not keep them apart."""
        summary = ModelsSummary(self.shape, self.spacing)
        for index in range(self.models):
            summary.add(self.model(index))
        return summary.minimum, summary.maximum, summary.identity
