"""NumPy's archives: one array a variable, named as in a data set."""

import json
import struct
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from seistomo.errors import InputError
from seistomo.files import require_space, written_whole
from seistomo.progress import bar, counted, warn

# Length of the fixed part before each entry of a ZIP file.
ENTRY_HEADER = 30


def open_npz(path: Path, options: FileOptions) -> ModelFile:
    """Open an archive; ``salt_mask``, ``family``, ``parameters`` and ``spacing`` are taken too."""
    with zipfile.ZipFile(path) as archive:
        stored = [name for name in archive.namelist() if name.endswith(".npy")]
    names = [name.removesuffix(".npy") for name in stored]
    key = _velocity_key(path, names, options.key)
    velocity = _array(path, key)
    stack = model_stack(path, velocity, options.fastest)
    beside = {}
    for name in [name for name in ("salt_mask", "family", "parameters") if name in names]:
        values = _array(path, name)
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
    spacing = (None, None)
    if "spacing" in names:
        step = _array(path, "spacing")
        if step.size not in (1, 2) or step.dtype.kind not in "fiu":
            raise InputError(f"{path}: its array spacing must be one number, or two (depth, x), m")
        spacing = tuple(np.broadcast_to(step.ravel(), 2).astype(float).tolist())
    known_from = "its array spacing" if "spacing" in names else ""
    return ModelFile(
        path,
        len(stack),
        stack.shape[1:],
        lambda number: _model(stack, beside, number),
        spacing,
        known_from,
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


def _array(path: Path, name: str) -> np.ndarray:
    """Return one array of an archive: mapped where it is stored plainly, else read."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
    if info.compress_type == zipfile.ZIP_STORED:
        return _mapped(path, info.header_offset)
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def _mapped(path: Path, place: int) -> np.ndarray:
    """Map the array whose entry starts ``place`` bytes into the archive."""
    with path.open("rb") as file:
        file.seek(place)
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(ENTRY_HEADER)[-4:])
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


def write_npz(data: VelocityReader, rows: Sequence[int], out: Path) -> None:
    """Write one file, uncompressed, as ``numpy.savez`` would; it appears whole or not at all."""
    by_sample = _by_sample(data, rows)
    each = sum(
        int(np.prod(shape)) * np.dtype(kind).itemsize for _, kind, shape in by_sample.values()
    )
    require_space(out, len(rows) * (each + 4096))
    with written_whole(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in _small(data, rows).items():
            _put(archive, name, values.dtype, values.shape, [values])
        for name, (read, kind, shape) in by_sample.items():
            shown = bar(rows, description=name, unit="sample", leave=False)
            _put(archive, name, np.dtype(kind), (len(rows), *shape), map(read, shown))


def _small(data: VelocityReader, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """Return what is told once, or in a word or number a sample."""
    values = {
        "depth": data.depth,
        "x": data.x,
        "spacing": data.spacing,
        "row": rows,
        "family": data.families(rows),
    }
    if isinstance(data, DatasetReader):
        seeds = data.seeds(rows)
        values |= {
            "time": data.time,
            "wavelet": data.wavelet,
            "config": data.config.to_toml(),
            "split": data.splits[rows],
            "seed": seeds[:, 0],
            "index": seeds[:, 1],
        }
    return {name: np.asarray(value) for name, value in values.items()}


def _by_sample(
    data: VelocityReader, rows: Sequence[int]
) -> dict[str, tuple[Callable[[int], np.ndarray], str, tuple[int, ...]]]:
    """Return how larger variables are read, row by row, with their type and shape."""
    longest = max(len(_parameters(data, row)) for row in rows)
    grid = data.velocity_shape
    variables = {
        "velocity": (lambda row: data.read_velocity([row]), "f4", grid),
        "salt_mask": (lambda row: data.read_salt_mask([row]), "bool", grid),
        "parameters": (lambda row: np.array(_parameters(data, row)), f"S{longest}", ()),
    }
    if not isinstance(data, DatasetReader):
        return variables
    sources, receivers, _ = data.gather_shape
    variables["gathers"] = (lambda row: data.read_gathers([row]), "f4", data.gather_shape)
    variables["dead_trace"] = (
        lambda row: data.read_dead_traces([row]),
        "bool",
        (sources, receivers),
    )
    for name, count in (("source", sources), ("receiver", receivers)):
        for key in (f"{name}_x", f"{name}_depth"):
            variables[key] = (lambda row, key=key: data.read_survey(row)[key], "f8", (count,))
    return variables


def _parameters(data: VelocityReader, row: int) -> bytes:
    return json.dumps(data.parameters(row), sort_keys=True).encode("ascii")


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
