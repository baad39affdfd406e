"""Data sets and velocity files for other programs: samples chosen, written as asked for."""

from pathlib import Path

from seistomo.dataset import DatasetReader, VelocityReader, open_velocity, write_velocity
from seistomo.dataset.exchange.folder import MARKER
from seistomo.dataset.exchange.npz import write_npz
from seistomo.dataset.exchange.openfwi import write_openfwi
from seistomo.dataset.exchange.segy import write_segy_folder
from seistomo.dataset.models import StoredModels
from seistomo.dataset.selection import Selection, select
from seistomo.dataset.store.parts import write_subset
from seistomo.errors import InputError
from seistomo.files import HDF5, link_target, require_file, require_replaceable
from seistomo.progress import bar, counted

FORMATS = ("openfwi", "segy", "npz", "hdf5")
"""What a data set can be written as; the first two are folders."""


def export_dataset(
    data: str | Path,
    out: str | Path,
    kind: str,
    *,
    split: str = "all",
    indices: Selection = None,
    file_samples: int | None = None,
    numbers: str | None = None,
    overwrite: bool = False,
) -> str:
    """Write a data set, or some of its samples, in another format.

    Memory stays bounded by a few samples. What is written appears whole or not at all.

    Parameters
    ----------
    data
        A data set, a folder of its parts, a velocity file or predictions.
    out
        A folder (openfwi, segy) or file (npz, hdf5).
    kind
        One of `FORMATS`.
    split
        "train", "validation", "test" or "all".
    indices
        Which samples of the split, in this order: numbers, or text such as "0,3,7" or "0:36"; None:
        all.
    file_samples
        Samples a file, for openfwi; None: 500, or as many as the smallest split has.
    numbers
        "ieee" or "ibm" floating point numbers, for segy; None: IEEE.
    overwrite
        Whether an existing output may be replaced.

    Returns
    -------
    str
        What was written, in one line.

    Raises
    ------
    InputError
        If an argument is not allowed, an option is for another format, or ``out`` exists.
    """
    out = Path(out)
    if kind not in FORMATS:
        raise InputError(f"--format {kind}: must be one of {', '.join(FORMATS)}")
    for option, value, taker in (
        ("--file-samples", file_samples, "openfwi"),
        ("--numbers", numbers, "segy"),
    ):
        if value is not None and kind != taker:
            raise InputError(f"{option}: is for --format {taker}, not {kind}")
    if kind in ("npz", "hdf5"):
        require_file(out, overwrite, HDF5 if kind == "hdf5" else (".npz",))
    else:
        require_replaceable(out, overwrite, [MARKER], "an exported folder")
    if link_target(data).is_relative_to(link_target(out)):
        raise InputError(f"--out {out}: holds the data set itself; give another name")
    with open_velocity(data) as reader:
        rows = _rows(reader, split, indices)
        if out.resolve() in [file.resolve() for file in reader.files]:
            raise InputError(f"--out {out}: is a part of the data set itself; give another name")
        gathers = isinstance(reader, DatasetReader)
        if kind == "openfwi":
            files = write_openfwi(reader, rows, out, file_samples)
            pair = ("pair of files", "pairs of files") if gathers else ("file", "files")
            written = counted(files, *pair)
        elif kind == "segy":
            written = counted(write_segy_folder(reader, rows, out, numbers or "ieee"), "file")
        else:
            written = "one file"
            if kind == "npz":
                write_npz(reader, rows, out)
            elif gathers:
                write_subset(reader, rows, out)
            else:
                models = map(StoredModels(reader).model, rows)
                shown = bar(models, total=len(rows), description="export", unit="model")
                write_velocity(out, shown, reader.spacing, overwrite=overwrite)
    what = counted(len(rows), "sample" if gathers else "model")
    return f"{out}: {what} as {kind}, {written}"


def _rows(data: VelocityReader, split: str, indices: Selection) -> list[int]:
    if isinstance(data, DatasetReader):
        of_split = data.indices(split).tolist()
    elif split != "all":
        raise InputError(f"--split {split}: {data.path} holds models alone, without splits")
    else:
        of_split = list(range(data.samples))
    if not of_split:
        raise InputError(f"--split {split}: {data.path} has no such samples")
    if indices is None:
        return of_split
    chosen = select(indices, len(of_split), "--indices")
    if len(set(chosen)) < len(chosen):
        raise InputError(f"--indices {indices}: must name no sample twice")
    return [of_split[index] for index in chosen]
