"""Arrays of velocity models, whatever their number of axes and their type."""

from pathlib import Path

import numpy as np

from seistomo.errors import InputError


def model_shape(path: Path, shape: tuple[int, ...], fastest: str) -> tuple[int, int, int]:
    """Return (models, depth, x) of an array: one model, several, or several with a channel.

    Parameters
    ----------
    path
        For messages.
    shape
        [depth, x], [model, depth, x] or [model, 1, depth, x]; with ``fastest = "depth"`` the last
        two the other way round.
    fastest
        "x" or "depth", the last axis.

    Raises
    ------
    InputError
        For any other shape, or an empty array.
    """
    if len(shape) == 4 and shape[1] != 1:
        raise InputError(
            f"{path}: has shape {list(shape)}, {shape[1]} channels: these look like gathers;"
            " velocity models are [model, 1, depth, x]"
        )
    if not 2 <= len(shape) <= 4:
        raise InputError(
            f"{path}: has shape {list(shape)}; velocity models are [depth, x], [model, depth, x]"
            " or [model, 1, depth, x]"
        )
    models = shape[0] if len(shape) > 2 else 1
    if 0 in shape:
        raise InputError(f"{path}: has shape {list(shape)}, no models")
    depth, x = shape[-2:] if fastest == "x" else shape[:-3:-1]
    return models, depth, x


def as_models(values: np.ndarray, fastest: str) -> np.ndarray:
    """Return an array that `model_shape` accepts as [model, depth, x], without a copy."""
    values = values.reshape(-1, *values.shape[-2:])
    return values.swapaxes(1, 2) if fastest == "depth" else values


def require_numbers(path: Path, dtype: np.dtype) -> None:
    """Refuse arrays of text, objects or complex numbers.

    Raises
    ------
    InputError
        Naming the type.
    """
    if dtype.kind not in "fiu":
        raise InputError(f"{path}: holds values of type {dtype}, velocity needs real numbers")


def native(values: np.ndarray) -> np.ndarray:
    """Return a copy in this machine's byte order: float32 stays, other types become float64."""
    single = values.dtype.kind == "f" and values.dtype.itemsize == 4
    return np.array(values, np.float32 if single else np.float64)
