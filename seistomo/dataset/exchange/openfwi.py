"""OpenFWI's layout: ``model*.npy`` [model, 1, depth, x], ``data*.npy`` and lists of them.

``data1.npy`` is float32 [sample, source, time, receiver]. The lists that the public InversionNet
and VelocityGAN code reads have two paths with a tab between on a line. That code takes every
listed file to hold ``file_size`` samples, so files are written equally large; what is left over of
a split goes into a file that no list names.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from seistomo.dataset.exchange.folder import (
    MARKER,
    describe_export,
    exported_spacing,
    folder_written_whole,
)
from seistomo.dataset.exchange.model_file import (
    FileOptions,
    ModelFile,
    StoredModel,
    model_stack,
    native,
)
from seistomo.dataset.store import DatasetReader
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.files import require_space
from seistomo.progress import bar, warn

# Axes after the first and spacing (m) of OpenFWI's model*.npy: families Vel, Fault and Style.
LAYOUT, SPACING = (1, 70, 70), 10.0
FILE_SAMPLES = 500
LISTS = ("train.txt", "val.txt", "test.txt")


def open_openfwi(path: Path, options: FileOptions) -> ModelFile:
    """Open an array file without reading it.

    The spacing is OpenFWI's 10 m where the array has the shape of OpenFWI's, or what an export
    noted beside its own files.
    """
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: holds several arrays; give --format npz")
    stack = model_stack(path, values, options.fastest)
    spacing, known_from = exported_spacing(path.parent), MARKER
    if spacing is None and values.shape[1:] == LAYOUT:
        spacing, known_from = SPACING, "OpenFWI's; --file-spacing says otherwise"
    return ModelFile(
        path,
        len(stack),
        stack.shape[1:],
        lambda number: StoredModel(native(stack[number])),
        (spacing, spacing),
        known_from if spacing is not None else "",
    )


def write_header(file: IO[bytes], dtype: Any, shape: tuple[int, ...]) -> None:
    """Begin a .npy file of ``shape``; its values follow in C order.

    Plain writing, not a memory map: on a full disk a map ends the process without a word.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_1_0(file, header)


@dataclass(frozen=True)
class _Pair:
    """One pair of files: its number, its rows of the data set, and its split's number."""

    number: int
    rows: Sequence[int]
    split: int


def write_openfwi(
    data: DatasetReader,
    rows: Sequence[int],
    out: Path,
    *,
    file_samples: int | None = None,
    overwrite: bool = False,
) -> int:
    """Write the folder; it appears whole or not at all; return the number of pairs of files."""
    place = out.resolve()
    if any(sign in str(place) for sign in "\t\n\r"):
        raise InputError(f"--out {out}: the lists of files cannot hold a path with tabs or breaks")
    counts = np.bincount(data.splits[rows], minlength=len(SPLITS))
    size = file_samples
    if size is None:
        size = int(min(FILE_SAMPLES, counts[counts > 0].min()))
    if size < 1:
        raise InputError(f"--file-samples {size}: must be at least 1")
    pairs = _divide(data, rows, size)
    _warn_of_the_rest(counts, size)
    _warn_of_moving_positions(data, rows)
    sources, receivers, samples = data.gather_shape
    depth, x = data.velocity_shape
    require_space(out, 4 * len(rows) * (sources * receivers * samples + depth * x))
    with (
        folder_written_whole(out, overwrite) as folder,
        bar(total=len(rows), description="export", unit="sample") as progress,
    ):
        low, high = math.inf, -math.inf
        for pair in pairs:
            for extremes in _write_pair(data, pair, folder):
                low, high = min(low, extremes[0]), max(high, extremes[1])
                progress.update()
        _write_lists(pairs, size, folder, place)
        entry = {out.name: _settings(data, size, low, high)}
        text = json.dumps(entry, indent=4) + "\n"
        (folder / "dataset_config.json").write_text(text, encoding="utf-8")
        ordered = [row for pair in pairs for row in pair.rows]
        places = [
            (f"data{pair.number}.npy", f"model{pair.number}.npy", place)
            for pair in pairs
            for place in range(len(pair.rows))
        ]
        describe_export(folder, data, ordered, places, {"format": "openfwi", "file_samples": size})
    return len(pairs)


def _divide(data: DatasetReader, rows: Sequence[int], size: int) -> list[_Pair]:
    rows, splits, pairs = np.asarray(rows), data.splits[rows], []
    for split in range(len(SPLITS)):
        of_split = rows[splits == split].tolist()
        for start in range(0, len(of_split), size):
            pairs.append(_Pair(len(pairs) + 1, of_split[start : start + size], split))
    return pairs


def _warn_of_the_rest(counts: np.ndarray, size: int) -> None:
    rest = {name: count % size for name, count in zip(SPLITS, counts, strict=True) if count % size}
    if rest:
        shown = ", ".join(f"{count} {name}" for name, count in rest.items())
        common = math.gcd(*(int(count) for count in counts))
        warn(
            f"files of {size} samples: {shown} left over, in shorter files that the lists do not"
            f" name, because readers of the lists need equal ones; --file-samples {common} lists"
            " all"
        )


def _warn_of_moving_positions(data: DatasetReader, rows: Sequence[int]) -> None:
    first = data.read_survey(rows[0])
    for row in rows:
        survey = data.read_survey(row)
        if any(not np.array_equal(survey[name], first[name]) for name in first):
            warn(
                f"sample {row}: its sources or receivers are not where those of sample {rows[0]}"
                " are; this layout holds no positions (segy, npz and hdf5 do)"
            )
            return


def _write_pair(data: DatasetReader, pair: _Pair, folder: Path) -> Iterator[tuple[float, float]]:
    """Write one pair of files; yield the extremes of each sample's gathers."""
    sources, receivers, samples = data.gather_shape
    count = len(pair.rows)
    with (
        (folder / f"data{pair.number}.npy").open("wb") as gathers_file,
        (folder / f"model{pair.number}.npy").open("wb") as models_file,
    ):
        write_header(gathers_file, "<f4", (count, sources, samples, receivers))
        write_header(models_file, "<f4", (count, 1, *data.velocity_shape))
        for row in pair.rows:
            gathers = data.read_gathers([row])[0].swapaxes(1, 2)
            gathers_file.write(gathers.astype("<f4").tobytes())
            models_file.write(data.read_velocity([row])[0].astype("<f4").tobytes())
            yield float(gathers.min()), float(gathers.max())


def _write_lists(pairs: Sequence[_Pair], size: int, folder: Path, place: Path) -> None:
    for split, name in enumerate(LISTS):
        lines = [
            f"{place / f'data{pair.number}.npy'}\t{place / f'model{pair.number}.npy'}\n"
            for pair in pairs
            if pair.split == split and len(pair.rows) == size
        ]
        if lines:
            (folder / name).write_text("".join(lines), encoding="utf-8")


def _settings(data: DatasetReader, size: int, low: float, high: float) -> dict[str, Any]:
    """Return the entry of ``dataset_config.json`` by which that code knows a data set."""
    config, survey = data.config, data.read_survey(0)
    return {
        "data_min": low,
        "data_max": high,
        "label_min": config.velocity.minimum,
        "label_max": config.velocity.maximum,
        "file_size": size,
        "nbc": config.simulation.pml_width,
        "dx": config.velocity.spacing,
        "nt": config.survey.time_samples,
        "dt": config.survey.time_step,
        "f": _peak_frequency(data),
        "n_grid": data.velocity_shape[1],
        "ns": config.survey.sources,
        "ng": config.survey.receivers,
        "sz": float(survey["source_depth"][0]),
        "gz": float(survey["receiver_depth"][0]),
    }


def _peak_frequency(data: DatasetReader) -> float:
    survey = data.config.survey
    if survey.wavelet == "ricker":
        return survey.frequency
    # Padded: short wavelets leave few frequencies.
    count = 16 * len(data.wavelet)
    spectrum = np.abs(np.fft.rfft(data.wavelet, count))
    return float(np.fft.rfftfreq(count, survey.time_step)[spectrum.argmax()])
