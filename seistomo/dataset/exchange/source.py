"""What every reader of velocity models gives: models by number, their grid and how it is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.errors import InputError

UNITS = {"m/s": 1.0, "km/s": 1000.0, "ft/s": 0.3048}
"""Metres a second in one of each unit."""
_CHOICES = {"units": tuple(UNITS), "byte_order": ("little", "big"), "fastest": ("x", "depth")}


@dataclass(frozen=True)
class FileOptions:
    """What a file of velocity models does not say itself.

    Attributes
    ----------
    format
        openfwi, segy, npz or raw; None: by the ending of the name.
    units
        Unit of the speeds, one of `UNITS`.
    spacing
        Distance between nodes (depth, x), m; None: what the file says.
    shape
        Nodes (depth, x) of a raw file's models.
    dtype, byte_order
        Type of a raw file's values, a name that numpy knows, and "little" or "big".
    fastest
        Axis whose neighbours stand side by side in the file, "x" or "depth"; arrays are
        [depth, x] or [x, depth].
    key
        Name of the array in an NPZ file; None: ``velocity``, or the only one.
    """

    format: str | None = None
    units: str = "m/s"
    spacing: tuple[float, float] | None = None
    shape: tuple[int, int] | None = None
    dtype: str = "float32"
    byte_order: str = "little"
    fastest: str = "x"
    key: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is none of the choices."""
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"{option} {value}: must be one of {', '.join(choices)}")


@dataclass(frozen=True)
class StoredModel:
    """One model as it stands in a file.

    Attributes
    ----------
    velocity
        [depth, x], in the file's unit.
    salt_mask
        bool [depth, x], or None where the file has none.
    family, parameters
        What the file tells of the model.
    """

    velocity: np.ndarray
    salt_mask: np.ndarray | None = None
    family: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFile:
    """A file of velocity models.

    Attributes
    ----------
    path
        The file.
    models
        How many it holds.
    shape
        Nodes (depth, x) of each.
    spacing
        Distance between nodes (depth, x), m; None if neither file nor options say it.
    known_from
        Where the spacing comes from, for people.
    read
        Returns one model by its number.
    told
        What ``samples.csv`` of an exported folder says of each: its row in the data set and its
        family; None for other files.
    """

    path: Path
    models: int
    shape: tuple[int, int]
    spacing: tuple[float, float] | None
    known_from: str
    read: Callable[[int], StoredModel]
    told: tuple[tuple[int, str], ...] | None = None
