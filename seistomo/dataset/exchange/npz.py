"""NumPy's archives: one array a variable, named as in a data set."""

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.dataset.exchange.arrays import as_models, model_shape, native, require_numbers
from seistomo.dataset.exchange.source import FileOptions, ModelFile, StoredModel
from seistomo.errors import InputError

OPTIONS = frozenset({"fastest", "key"})
ENDINGS = (".npz",)
FOLDER_PATTERNS = ("*.npz",)
# Length of the fixed part before each entry of a ZIP file.
_ENTRY_HEADER = 30


def open_models(path: Path, options: FileOptions) -> ModelFile:
    """Open an archive; ``salt_mask``, ``family``, ``parameters`` and ``spacing`` are taken too.

    Raises
    ------
    InputError
        If it is no archive, or it is not clear which array holds the velocity.
    """
    names = _names(path)
    key = _velocity_key(path, names, options.key)
    velocity = _array(path, key)
    require_numbers(path, velocity.dtype)
    models, *shape = model_shape(path, velocity.shape, options.fastest)
    stack = as_models(velocity, options.fastest)
    beside = {name: _array(path, name) for name in ("family", "parameters") if name in names}
    if "salt_mask" in names and (mask := _array(path, "salt_mask")).shape == velocity.shape:
        beside["salt_mask"] = as_models(mask, options.fastest)
    beside = {name: values for name, values in beside.items() if values.shape[:1] == (models,)}
    spacing, known_from = options.spacing, "--file-spacing" if options.spacing else ""
    if spacing is None and "spacing" in names:
        step = np.broadcast_to(_array(path, "spacing"), 2)
        spacing, known_from = (float(step[0]), float(step[1])), "its array spacing"
    return ModelFile(
        path,
        models,
        (shape[0], shape[1]),
        spacing,
        known_from,
        lambda number: _model(stack, beside, number),
    )


def _model(stack: np.ndarray, beside: Mapping[str, np.ndarray], number: int) -> StoredModel:
    mask, family = beside.get("salt_mask"), beside.get("family")
    parameters: dict[str, Any] = {}
    if "parameters" in beside:
        parameters = json.loads(beside["parameters"][number].item())
    return StoredModel(
        native(stack[number]),
        None if mask is None else np.array(mask[number], bool),
        None if family is None else str(family[number]),
        parameters,
    )


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise InputError(f"{path}: not an NPZ file, or damaged") from None
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _velocity_key(path: Path, names: list[str], wanted: str | None) -> str:
    key = wanted or ("velocity" if "velocity" in names else names[0] if len(names) == 1 else None)
    if key is None or key not in names:
        start = f"no array {key!r}" if key else "which array is the velocity is not clear"
        raise InputError(f"{path}: {start}; give --key, one of {', '.join(names)}")
    return key


def _array(path: Path, name: str) -> np.ndarray:
    """Return one array of an archive: mapped where it is stored plainly, else read."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
        if info.compress_type == zipfile.ZIP_STORED:
            return _mapped(path, info.header_offset)
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[name]
    except (ValueError, OSError, zipfile.BadZipFile, struct.error) as error:
        raise InputError(f"{path}: array {name} cannot be read: {error}") from None


def _mapped(path: Path, place: int) -> np.ndarray:
    """Map the array whose entry starts ``place`` bytes into the archive."""
    with path.open("rb") as file:
        file.seek(place)
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(_ENTRY_HEADER)[-4:])
        file.seek(name_bytes + extra_bytes, 1)
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            header = np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        if not np.prod(shape):
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")
