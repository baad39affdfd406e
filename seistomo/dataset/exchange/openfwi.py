"""OpenFWI's layout: ``model*.npy`` [model, 1, depth, x], ``data*.npy`` and lists of them.

``data1.npy`` is float32 [sample, source, time, receiver]. The lists that the public InversionNet
and VelocityGAN code reads have two paths with a tab between on a line. That code takes every
listed file to hold ``file_size`` samples, so files are written equally large; what is left over of
a split goes into a file that no list names.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from seistomo.dataset import DatasetReader, VelocityReader
from seistomo.dataset.exchange.folder import MARKER, describe_export, exported_spacing
from seistomo.dataset.exchange.model_file import (
    FileOptions,
    ModelFile,
    StoredModel,
    model_stack,
    native,
)
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.files import folder_written_whole, require_space
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


def write_openfwi(
    data: VelocityReader, rows: Sequence[int], out: Path, file_samples: int | None
) -> int:
    """Write the folder, without gathers where there are none; return the number of pairs.

    It appears whole or not at all.
    """
    place = out.resolve()
    if any(sign in str(place) for sign in "\t\n\r"):
        raise InputError(f"--out {out}: the lists of files cannot hold a path with tabs or breaks")
    gathers = isinstance(data, DatasetReader)
    splits = data.splits[rows] if gathers else np.zeros(len(rows), np.uint8)
    counts = np.bincount(splits, minlength=len(SPLITS))
    size = file_samples
    if size is None:
        size = int(min(FILE_SAMPLES, counts[counts > 0].min()))
    if size < 1:
        raise InputError(f"--file-samples {size}: must be at least 1")
    parts = [np.asarray(rows)[splits == split].tolist() for split in range(len(SPLITS))]
    pairs = [
        (split, part[start : start + size])
        for split, part in enumerate(parts)
        for start in range(0, len(part), size)
    ]
    values = np.prod(data.velocity_shape)
    if gathers:
        _warn_of_the_rest(counts, size)
        _warn_of_moving_positions(data, rows)
        values += np.prod(data.gather_shape)
    require_space(out, 4 * len(rows) * int(values))
    with (
        folder_written_whole(out) as folder,
        bar(total=len(rows), description="export", unit="sample") as progress,
    ):
        low, high = math.inf, -math.inf
        for number, (_, of_pair) in enumerate(pairs, 1):
            _write_models(data, of_pair, folder / f"model{number}.npy")
            if not gathers:
                progress.update(len(of_pair))
                continue
            for extremes in _write_gathers(data, of_pair, folder / f"data{number}.npy"):
                low, high = min(low, extremes[0]), max(high, extremes[1])
                progress.update()
        if gathers:
            _write_lists(pairs, size, folder, place)
            entry = {out.name: _settings(data, size, low, high)}
            text = json.dumps(entry, indent=4) + "\n"
            (folder / "dataset_config.json").write_text(text, encoding="utf-8")
        ordered = [row for _, of_pair in pairs for row in of_pair]
        places = [
            (f"data{number}.npy" * gathers, f"model{number}.npy", place)
            for number, (_, of_pair) in enumerate(pairs, 1)
            for place in range(len(of_pair))
        ]
        describe_export(folder, data, ordered, places, {"format": "openfwi", "file_samples": size})
    return len(pairs)


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


def _write_models(data: VelocityReader, rows: Sequence[int], path: Path) -> None:
    with path.open("wb") as file:
        write_header(file, "<f4", (len(rows), 1, *data.velocity_shape))
        for row in rows:
            file.write(data.read_velocity([row])[0].astype("<f4").tobytes())


def _write_gathers(
    data: DatasetReader, rows: Sequence[int], path: Path
) -> Iterator[tuple[float, float]]:
    """Write one file; yield the extremes of each sample."""
    sources, receivers, samples = data.gather_shape
    with path.open("wb") as file:
        write_header(file, "<f4", (len(rows), sources, samples, receivers))
        for row in rows:
            gathers = data.read_gathers([row])[0].swapaxes(1, 2)
            file.write(gathers.astype("<f4").tobytes())
            yield float(gathers.min()), float(gathers.max())


def _write_lists(
    pairs: Sequence[tuple[int, list[int]]], size: int, folder: Path, place: Path
) -> None:
    for split, name in enumerate(LISTS):
        lines = [
            f"{place / f'data{number}.npy'}\t{place / f'model{number}.npy'}\n"
            for number, (of_split, rows) in enumerate(pairs, 1)
            if of_split == split and len(rows) == size
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
