"""A file of velocity models as every reader gives it, and what is plausible in one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.dataset.models import CLIPPED
from seistomo.errors import InputError

FOOT = 0.3048
UNITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "m/s": lambda values: values,
    "km/s": lambda values: values * 1000,
    "ft/s": lambda values: values * FOOT,
    "s/m": lambda values: 1 / values,
    "s2/m2": lambda values: 1 / np.sqrt(values),
}
"""How numbers of each unit become m/s."""
# What is believed, of every format: spacing (m), speeds (m/s), nodes each way.
SPACINGS, SPEEDS, FEWEST_NODES = (0.1, 10_000.0), (300.0, 9_000.0), 4


@dataclass(frozen=True)
class FileOptions:
    """What a file of velocity models does not say itself.

    Attributes
    ----------
    format
        openfwi, segy, npz, raw or hdf5; None: by the ending of the name.
    units
        Unit of the numbers, one of `UNITS`; None: m/s, unless the file speaks of feet.
    spacing
        Distance between nodes (depth, x), m; one number: of the axes that the file says nothing
        of, or of both; None: what the file says.
    shape
        Nodes (depth, x) of a raw file's models.
    dtype, byte_order
        Type of a raw file's values, a name that numpy knows, and "little" or "big".
    fastest
        Axis whose neighbours stand side by side in the file, "x" or "depth"; arrays are
        [depth, x] or [x, depth].
    key
        Name of the array in an NPZ file; None: ``velocity``, or the only one.
    inline
        Number of the inline that is taken from a SEG-Y cube.
    """

    format: str | None = None
    units: str | None = None
    spacing: float | tuple[float, float] | None = None
    shape: tuple[int, int] | None = None
    dtype: str = "float32"
    byte_order: str = "little"
    fastest: str = "x"
    key: str | None = None
    inline: int | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("units", (None, *UNITS)),
            ("byte_order", ("little", "big")),
            ("fastest", ("x", "depth")),
        ):
            value = getattr(self, name)
            if value not in choices:
                allowed = ", ".join(choice for choice in choices if choice)
                raise InputError(f"--{name.replace('_', '-')} {value}: must be one of {allowed}")


@dataclass(frozen=True)
class StoredModel:
    """One model as it stands in a file."""

    velocity: np.ndarray  # [depth, x], in the file's unit
    salt_mask: np.ndarray | None = None  # bool [depth, x]
    family: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelFile:
    """A file of velocity models, opened."""

    path: Path
    models: int
    shape: tuple[int, int]  # nodes (depth, x) of each model
    read: Callable[[int], StoredModel]  # one model by its number
    spacing: tuple[float | None, float | None] = (None, None)  # (depth, x), m; None: not said
    known_from: str = ""  # what says the spacing; "" for arrays, which cannot
    top: float = 0.0  # depth of the first node, m
    feet: bool = False  # its lengths are in feet
    told: tuple[tuple[int, str], ...] | None = None  # (row, family) that an export's list says


def model_stack(path: Path, values: np.ndarray, fastest: str) -> np.ndarray:
    """Return an array of one model, several, or several with a channel, as [model, depth, x]."""
    shape = list(values.shape)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds values of type {values.dtype}, not real numbers")
    if len(shape) == 4 and shape[1] != 1:
        raise InputError(
            f"{path}: has shape {shape}, {shape[1]} channels: these look like gathers; velocity"
            " models are [model, 1, depth, x]"
        )
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise InputError(
            f"{path}: has shape {shape}; velocity models are [depth, x], [model, depth, x] or"
            " [model, 1, depth, x], and not empty"
        )
    return as_stack(values, fastest)


def as_stack(values: np.ndarray, fastest: str) -> np.ndarray:
    """Return [..., depth, x], or x first, as [model, depth, x] without a copy."""
    values = values.reshape(-1, *values.shape[-2:])
    return values.swapaxes(1, 2) if fastest == "depth" else values


def native(values: np.ndarray) -> np.ndarray:
    """Return a copy in this machine's byte order: float32 stays, other types become float64."""
    single = values.dtype.kind == "f" and values.dtype.itemsize == 4
    return np.array(values, np.float32 if single else np.float64)


def in_metres(values: np.ndarray, units: str) -> np.ndarray:
    """Return numbers of a file as m/s; float32 in m/s keeps its bits."""
    with np.errstate(all="ignore"):
        return values if units == "m/s" else UNITS[units](values.astype(np.float64))


def require_spacing(spacing: float, said: str) -> None:
    """Refuse a spacing that no velocity model has; ``said`` begins the message."""
    if not SPACINGS[0] <= spacing <= SPACINGS[1]:
        raise InputError(f"{said} {spacing:g} m: must be {SPACINGS[0]:g} m to 10 km")


def require_units(values: np.ndarray, units: str, name: str) -> None:
    """Refuse numbers that are plausible in another unit than the one given, or are gathers."""
    seen = values[np.isfinite(values)]
    negative = seen[seen < 0]
    # Fill values below zero are all the same.
    if len(negative) > CLIPPED * len(seen) and negative.min() < negative.max():
        raise InputError(
            f"{name}: {len(negative) / len(seen):.0%} of its values are below zero ({seen.min():g}"
            f" to {seen.max():g}): these look like gathers; velocity models hold speeds"
        )
    seen = seen[seen > 0]
    if not len(seen):
        return
    ends = np.quantile(seen, (CLIPPED / 2, 1 - CLIPPED / 2))
    fitting = [each for each in UNITS if _plausible(in_metres(ends, each)).all()]
    if fitting and units not in fitting:
        raise InputError(
            f"{name}: {seen.min():g} to {seen.max():g} {units} are no speeds of rock"
            f" ({SPEEDS[0]:g} to {SPEEDS[1]:g} m/s); these seem to be {fitting[0]}: use --units"
            f" {fitting[0]}"
        )


def require_speeds(velocity: np.ndarray, name: str) -> None:
    """Refuse a piece with implausible speeds; propose a clip only where it touches few nodes."""
    bad = ~_plausible(velocity)
    if not bad.any():
        return
    count, share, finite = int(bad.sum()), bad.mean(), np.isfinite(velocity)
    start = f"{name}: {count} of {bad.size} nodes ({share:.2g} of all)"
    if not finite.all():
        raise InputError(
            f"{start} hold no speed (NaN, infinite, 0 or less); cut them off with --depth-range,"
            " --x-range or --crop"
        )
    low, high = velocity.min(), velocity.max()
    remedy = "and no unit of --units fits: not a velocity model, or filled up; cut with --x-range"
    if share <= CLIPPED:
        ends = (
            f"{end:g}" if beyond else ""
            for end, beyond in zip(SPEEDS, (low < SPEEDS[0], high > SPEEDS[1]), strict=True)
        )
        remedy = f"if the rest is right, --clip {':'.join(ends)} limits them"
    raise InputError(
        f"{start} lie outside {SPEEDS[0]:g} to {SPEEDS[1]:g} m/s ({low:g} to {high:g}); {remedy}"
    )


def _plausible(velocity: np.ndarray) -> np.ndarray:
    return (velocity >= SPEEDS[0]) & (velocity <= SPEEDS[1])
