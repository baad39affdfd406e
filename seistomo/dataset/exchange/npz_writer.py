"""A data set as one NPZ file, an array a variable under its name in the data set."""

import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.npy import write_header
from seistomo.dataset.store import DatasetReader
from seistomo.files import require_space, written_whole
from seistomo.progress import bar


def write_npz(data: DatasetReader, rows: Sequence[int], out: Path) -> int:
    """Write the file, uncompressed, as ``numpy.savez`` would; it appears whole or not at all.

    Parameters
    ----------
    data, rows
        The data set, and which of its rows.
    out
        The file.

    Returns
    -------
    int
        Number of files: 1.
    """
    sources, receivers, samples = data.gather_shape
    depth, x = data.velocity_shape
    require_space(out, len(rows) * (4 * sources * receivers * samples + 5 * depth * x + 4096))
    with written_whole(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in _small(data, rows).items():
            _put(archive, name, values.dtype, values.shape, [values])
        for name, (read, kind, shape) in _by_sample(data, rows).items():
            shown = bar(rows, description=name, unit="sample", leave=False)
            _put(archive, name, np.dtype(kind), (len(rows), *shape), map(read, shown))
    return 1


def _small(data: DatasetReader, rows: Sequence[int]) -> dict[str, np.ndarray]:
    """Return what is told once, or in a word or number a sample."""
    seeds = data.seeds(rows)
    values = {
        "depth": data.depth,
        "x": data.x,
        "time": data.time,
        "wavelet": data.wavelet,
        "spacing": data.config.velocity.spacing,
        "config": data.config.to_toml(),
        "row": rows,
        "split": data.splits[rows],
        "seed": seeds[:, 0],
        "index": seeds[:, 1],
        "family": data.families(rows),
    }
    return {name: np.asarray(value) for name, value in values.items()}


def _by_sample(
    data: DatasetReader, rows: Sequence[int]
) -> dict[str, tuple[Callable[[int], np.ndarray], str, tuple[int, ...]]]:
    """Return how larger variables are read, row by row, with their type and shape."""
    grid, (sources, receivers, _) = data.velocity_shape, data.gather_shape
    longest = max(len(_parameters(data, row)) for row in rows)
    variables = {
        "velocity": (lambda row: data.read_velocity([row]), "f4", grid),
        "gathers": (lambda row: data.read_gathers([row]), "f4", data.gather_shape),
        "salt_mask": (lambda row: data.read_salt_mask([row]), "bool", grid),
        "dead_trace": (lambda row: data.read_dead_traces([row]), "bool", (sources, receivers)),
        "parameters": (lambda row: np.array(_parameters(data, row)), f"S{longest}", ()),
    }
    for name, count in (("source", sources), ("receiver", receivers)):
        for key in (f"{name}_x", f"{name}_depth"):
            variables[key] = (lambda row, key=key: data.read_survey(row)[key], "f8", (count,))
    return variables


def _parameters(data: DatasetReader, row: int) -> bytes:
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
