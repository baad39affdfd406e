"""Raw binary files: nothing but numbers, one model after another."""

from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.model_file import FileOptions, ModelFile, StoredModel, native
from seistomo.errors import InputError


def open_raw(path: Path, options: FileOptions) -> ModelFile:
    """Open a raw file; its size must be a whole number of models."""
    if options.shape is None:
        raise InputError(f"{path}: raw binary does not say its shape; give --shape DEPTHxX")
    dtype, (depth, x) = _dtype(options), options.shape
    size, each = path.stat().st_size, depth * x * dtype.itemsize
    if not size or size % each:
        raise InputError(
            f"{path}: holds {size} bytes, not a multiple of --shape {depth}x{x} values of --dtype"
            f" {options.dtype} = {each}"
        )
    stored = (depth, x) if options.fastest == "x" else (x, depth)
    values = np.memmap(path, dtype, mode="r", shape=(size // each, *stored))
    _require_sense(path, values[0], options)
    stack = values if options.fastest == "x" else values.swapaxes(1, 2)
    return ModelFile(
        path, len(stack), options.shape, lambda number: StoredModel(native(stack[number]))
    )


def _dtype(options: FileOptions) -> np.dtype:
    try:
        dtype = np.dtype(options.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "fiu":
        raise InputError(
            f"--dtype {options.dtype}: must be a type of numbers, such as float32, float64, int16"
        )
    return dtype.newbyteorder("<" if options.byte_order == "little" else ">")


def _require_sense(path: Path, values: np.ndarray, options: FileOptions) -> None:
    """Refuse numbers over many orders of magnitude; say if they do not turned round."""
    found, turned = _decades(values), _decades(values.view(values.dtype.newbyteorder()))
    if values.dtype.itemsize > 1 and found > 3 > 2 > turned:
        other = "big" if options.byte_order == "little" else "little"
        raise InputError(f"{path}: its numbers make no sense; --byte-order {other} fits")
    if found > 20:
        raise InputError(f"{path}: its numbers make no sense as --dtype {options.dtype}")


def _decades(values: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        size = np.abs(values.astype(np.float64))
    size = size[np.isfinite(size) & (size > 0)]
    return float(np.log10(size.max() / size.min())) if len(size) else 0.0
