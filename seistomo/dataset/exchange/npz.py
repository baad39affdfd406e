"""NumPy's archives: one array a variable, named as in a data set."""

import json
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from seistomo.dataset import DatasetReader, VelocityReader
from seistomo.dataset.exchange.model_file import (
    FileOptions,
    ModelFile,
    StoredModel,
    as_stack,
    model_stack,
    native,
)
from seistomo.dataset.exchange.openfwi import write_header
from seistomo.dataset.store import schema
from seistomo.errors import InputError
from seistomo.files import require_space, written_whole
from seistomo.progress import bar, counted, warn


def open_npz(path: Path, options: FileOptions) -> ModelFile:
    """Open an archive; ``salt_mask``, ``family``, ``parameters`` and ``spacing`` are taken too."""
    with np.load(path, allow_pickle=False) as arrays:
        key = _velocity_key(path, arrays.files, options.key)
        taken = (key, "salt_mask", "family", "parameters", "spacing")
        held = {name: arrays[name] for name in taken if name in arrays.files}
    velocity = held.pop(key)
    stack = model_stack(path, velocity, options.fastest)
    spacing, known_from = (None, None), ""
    if "spacing" in held:
        step, known_from = held.pop("spacing"), "its array spacing"
        if step.size not in (1, 2) or step.dtype.kind not in "fiu":
            raise InputError(f"{path}: its array spacing must be one number, or two (depth, x), m")
        spacing = tuple(np.broadcast_to(step.ravel(), 2).astype(float).tolist())
    beside = {}
    for name, values in held.items():
        if name == "salt_mask":
            fits = values.shape == velocity.shape
            fits = fits and (values.dtype == bool or np.isin(values, (0, 1)).all())
            values = as_stack(values, options.fastest) if fits else values
        else:
            fits = values.shape == (len(stack),) and values.dtype.kind in "SU"
        if fits:
            beside[name] = values
        else:
            warn(
                f"{path}: its array {name}, {values.dtype} {list(values.shape)}, does not fit"
                f" {counted(len(stack), 'model')} and is left out"
            )
    grid = stack.shape[1:]
    return ModelFile(
        path, len(stack), grid, lambda number: _model(stack, beside, number), spacing, known_from
    )


def _model(stack: np.ndarray, beside: Mapping[str, np.ndarray], number: int) -> StoredModel:
    mask, family = beside.get("salt_mask"), beside.get("family")
    parameters = json.loads(beside["parameters"][number].item()) if "parameters" in beside else {}
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters must be JSON objects, not {str(parameters)[:40]}")
    family = None if family is None else family[number]
    if isinstance(family, bytes):
        family = family.decode()
    return StoredModel(
        native(stack[number]),
        None if mask is None else np.array(mask[number], bool),
        # Text that UTF-8 cannot hold could not be kept.
        None if family is None else str(family).encode().decode(),
        parameters,
    )


def _velocity_key(path: Path, names: list[str], wanted: str | None) -> str:
    key = wanted or ("velocity" if "velocity" in names else names[0] if len(names) == 1 else None)
    if key is None or key not in names:
        start = f"no array {key!r}" if key else "which array is the velocity is not clear"
        shown = ", ".join(names)[:150] or "none, it holds no arrays"
        raise InputError(f"{path}: {start}; give --key, one of {shown}")
    return key


def write_npz(data: VelocityReader, rows: Sequence[int], out: Path) -> None:
    """Write one file, uncompressed, as ``numpy.savez`` would; it appears whole or not at all."""
    once = {
        "depth": data.depth,
        "x": data.x,
        "spacing": data.spacing,
        "row": rows,
        "family": data.families(rows),
    }
    if isinstance(data, DatasetReader):
        once |= {"time": data.time, "wavelet": data.wavelet, "config": data.config.to_toml()}
    lengths = {name: len(values) for name, (values, _) in data.axes.items()}
    by_sample = {}
    for name, variable in data.variables.items():
        if name not in (*schema.INNER, *once):
            kind = "f4" if name == "gathers" else variable.dtype
            kind = np.dtype(f"S{data.widths[name]}" if kind == "str" else kind)
            by_sample[name] = kind, tuple(lengths[axis] for axis in variable.dimensions[1:])
    each = sum(math.prod(shape) * kind.itemsize for kind, shape in by_sample.values())
    require_space(out, len(rows) * (each + 4096))
    with written_whole(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in once.items():
            values = np.asarray(values)
            _put(archive, name, values.dtype, values.shape, [values])
        for name, (kind, shape) in by_sample.items():
            shown = bar(rows, description=name, unit="sample", leave=False)
            blocks = (data.column(name, [row]) for row in shown)
            _put(archive, name, kind, (len(rows), *shape), blocks)


def _put(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype,
    shape: tuple[int, ...],
    blocks: Iterable[np.ndarray],
) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        write_header(file, dtype, shape)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype).tobytes())
