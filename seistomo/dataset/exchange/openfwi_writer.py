"""A data set in OpenFWI's layout, for the public InversionNet and VelocityGAN code.

``data1.npy`` float32 [sample, source, time, receiver] and ``model1.npy`` float32
[sample, 1, depth, x] with their numbers, and lists of them a split: lines of two paths with a tab
between. That code takes every listed file to hold ``file_size`` samples, so the files of a data set
are equally large; what is left over of a split goes into a file that no list names.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.folder import folder_written_whole, write_marker
from seistomo.dataset.exchange.listing import provenance, write_samples
from seistomo.dataset.exchange.npy import write_header
from seistomo.dataset.store import DatasetReader
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.files import require_space
from seistomo.progress import bar, warn

FILE_SAMPLES = 500
LISTS = ("train.txt", "val.txt", "test.txt")


@dataclass(frozen=True)
class _File:
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
    """Write the folder; it appears whole or not at all.

    Parameters
    ----------
    data, rows
        The data set, and which of its rows.
    out
        The folder.
    file_samples
        Samples a file; None: 500, or as many as the smallest split has.
    overwrite
        Whether an exported folder may be replaced.

    Returns
    -------
    int
        Number of pairs of files.

    Raises
    ------
    InputError
        If ``out`` may not be written, or its path does not go into a list.
    """
    place = out.resolve()
    if any(sign in str(place) for sign in "\t\n\r"):
        raise InputError(f"--out {out}: the lists of files cannot hold a path with tabs or breaks")
    counts = np.bincount(data.splits[rows], minlength=len(SPLITS))
    size = file_samples
    if size is None:
        size = int(min(FILE_SAMPLES, counts[counts > 0].min()))
    if size < 1:
        raise InputError(f"--file-samples {size}: must be at least 1")
    files = _divide(data, rows, size)
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
        for file in files:
            for extremes in _write_pair(data, file, folder):
                low, high = min(low, extremes[0]), max(high, extremes[1])
                progress.update()
        _write_lists(files, size, folder, place)
        _write_settings(data, size, (low, high), folder / "dataset_config.json", out.name)
        ordered = [row for file in files for row in file.rows]
        places = [
            (f"data{file.number}.npy", f"model{file.number}.npy", place)
            for file in files
            for place in range(len(file.rows))
        ]
        write_samples(folder, data, ordered, places)
        write_marker(folder, {**provenance(data, ordered, "openfwi"), "file_samples": size})
    return len(files)


def _divide(data: DatasetReader, rows: Sequence[int], size: int) -> list[_File]:
    rows, splits, files = np.asarray(rows), data.splits[rows], []
    for split in range(len(SPLITS)):
        of_split = rows[splits == split].tolist()
        for start in range(0, len(of_split), size):
            files.append(_File(len(files) + 1, of_split[start : start + size], split))
    return files


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


def _write_pair(data: DatasetReader, file: _File, folder: Path):
    """Write one pair of files; yield the extremes of each sample's gathers."""
    sources, receivers, samples = data.gather_shape
    count = len(file.rows)
    with (
        (folder / f"data{file.number}.npy").open("wb") as gathers_file,
        (folder / f"model{file.number}.npy").open("wb") as models_file,
    ):
        write_header(gathers_file, "<f4", (count, sources, samples, receivers))
        write_header(models_file, "<f4", (count, 1, *data.velocity_shape))
        for row in file.rows:
            gathers = data.read_gathers([row])[0].swapaxes(1, 2)
            gathers_file.write(gathers.astype("<f4").tobytes())
            models_file.write(data.read_velocity([row])[0].astype("<f4").tobytes())
            yield float(gathers.min()), float(gathers.max())


def _write_lists(files: Sequence[_File], size: int, folder: Path, place: Path) -> None:
    for split, name in enumerate(LISTS):
        lines = [
            f"{place / f'data{file.number}.npy'}\t{place / f'model{file.number}.npy'}\n"
            for file in files
            if file.split == split and len(file.rows) == size
        ]
        if lines:
            (folder / name).write_text("".join(lines), encoding="utf-8")


def _write_settings(
    data: DatasetReader, size: int, extremes: tuple[float, float], path: Path, name: str
) -> None:
    """Write the entry of ``dataset_config.json`` by which that code knows a data set."""
    config, survey = data.config, data.read_survey(0)
    entry = {
        "data_min": extremes[0],
        "data_max": extremes[1],
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
    path.write_text(json.dumps({name: entry}, indent=4) + "\n", encoding="utf-8")


def _peak_frequency(data: DatasetReader) -> float:
    survey = data.config.survey
    if survey.wavelet == "ricker":
        return survey.frequency
    # Padded: short wavelets leave few frequencies.
    count = 16 * len(data.wavelet)
    spectrum = np.abs(np.fft.rfft(data.wavelet, count))
    return float(np.fft.rfftfreq(count, survey.time_step)[spectrum.argmax()])
