"""OpenFWI's ``model*.npy``: [model, 1, depth, x] in m/s; any other .npy array of models too."""

import json
from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.arrays import as_models, model_shape, native, require_numbers
from seistomo.dataset.exchange.folder import MARKER
from seistomo.dataset.exchange.source import FileOptions, ModelFile, StoredModel
from seistomo.errors import InputError

OPTIONS = frozenset({"fastest"})
ENDINGS = (".npy",)
FOLDER_PATTERNS = ("model*.npy", "vel*.npy", "model/model*.npy", "model/vel*.npy")
# Axes after the first and spacing (m) of OpenFWI's model*.npy: families Vel, Fault and Style.
LAYOUT, SPACING = (1, 70, 70), 10.0


def open_models(path: Path, options: FileOptions) -> ModelFile:
    """Open an array file without reading it.

    The spacing is OpenFWI's 10 m where the array has the shape of OpenFWI's, or what
    `write_openfwi` noted beside its own files.

    Raises
    ------
    InputError
        If it is no array of velocity models.
    """
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path}: not an array file (.npy): {error}") from None
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: holds several arrays; give --format npz")
    require_numbers(path, values.dtype)
    models, *shape = model_shape(path, values.shape, options.fastest)
    spacing, known_from = _spacing(path, options, values.shape)
    stack = as_models(values, options.fastest)
    return ModelFile(
        path,
        models,
        (shape[0], shape[1]),
        spacing,
        known_from,
        lambda number: StoredModel(native(stack[number])),
    )


def _spacing(
    path: Path, options: FileOptions, shape: tuple[int, ...]
) -> tuple[tuple[float, float] | None, str]:
    if options.spacing is not None:
        return options.spacing, "--file-spacing"
    try:
        noted = json.loads((path.parent / MARKER).read_text(encoding="utf-8"))["spacing_m"]
        return (float(noted), float(noted)), MARKER
    except (OSError, ValueError, KeyError, TypeError):
        pass
    if shape[1:] == LAYOUT:
        return (SPACING, SPACING), "OpenFWI's; --file-spacing says otherwise"
    return None, ""
