"""Raw binary files: nothing but the speeds, one model after another."""

from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.arrays import as_models, native
from seistomo.dataset.exchange.source import FileOptions, ModelFile, StoredModel
from seistomo.errors import InputError

OPTIONS = frozenset({"shape", "dtype", "byte_order", "fastest"})
ENDINGS = (".bin", ".raw", ".dat", ".f32", ".vp")
FOLDER_PATTERNS = ()


def open_models(path: Path, options: FileOptions) -> ModelFile:
    """Open a raw file; its size must be a whole number of models.

    Raises
    ------
    InputError
        If no shape is given, the type is none of numbers, or the size does not fit.
    """
    if options.shape is None:
        raise InputError(f"{path}: raw binary does not say its shape; give --shape DEPTHxX")
    values = np.memmap(path, _dtype(options), mode="r") if path.stat().st_size else np.empty(0)
    depth, x = options.shape
    models, rest = divmod(len(values), depth * x)
    if rest or not models:
        raise InputError(
            f"{path}: holds {len(values)} values of type {options.dtype}, not a multiple of"
            f" --shape {depth}x{x} = {depth * x}"
        )
    stored = (depth, x) if options.fastest == "x" else (x, depth)
    values = as_models(values.reshape(models, *stored), options.fastest)
    return ModelFile(
        path,
        models,
        options.shape,
        options.spacing,
        "--file-spacing" if options.spacing else "",
        lambda number: StoredModel(native(values[number])),
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
