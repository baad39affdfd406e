"""The formats of velocity models that are read: how files of each are found and opened."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from seistomo.dataset import open_velocity
from seistomo.dataset.exchange.folder import exported_samples
from seistomo.dataset.exchange.model_file import FileOptions, ModelFile, StoredModel
from seistomo.dataset.exchange.npz import open_npz
from seistomo.dataset.exchange.openfwi import open_openfwi
from seistomo.dataset.exchange.raw import open_raw
from seistomo.dataset.exchange.segy import open_section
from seistomo.dataset.models import StoredModels
from seistomo.errors import InputError
from seistomo.files import reading


@dataclass(frozen=True)
class _Format:
    """How files of one format are known and opened."""

    open: Callable[[Path, FileOptions], ModelFile]
    endings: tuple[str, ...]
    in_folders: tuple[str, ...] = ()  # names; the first that any file has counts
    options: frozenset[str] = frozenset()  # of FileOptions, besides format, units and spacing


def _open_own(path: Path, options: FileOptions) -> ModelFile:
    with open_velocity(path) as models:
        grid, count, step = models.velocity_shape, models.samples, models.spacing

    def read(number: int) -> StoredModel:
        with models:
            model = StoredModels(models).model(number)
        return StoredModel(model.velocity, model.salt_mask, model.family, model.parameters)

    return ModelFile(path, count, grid, read, (step, step), "the file")


FORMATS = {
    "openfwi": _Format(
        open_openfwi,
        (".npy",),
        ("model*.npy", "vel*.npy", "model/model*.npy", "model/vel*.npy"),
        frozenset({"fastest"}),
    ),
    "segy": _Format(
        open_section,
        (".segy", ".sgy", ".seg"),
        ("velocity*.segy", "velocity*.sgy", "*.segy", "*.sgy"),
        frozenset({"inline"}),
    ),
    "npz": _Format(open_npz, (".npz",), ("*.npz",), frozenset({"fastest", "key"})),
    "raw": _Format(
        open_raw,
        (".bin", ".raw", ".dat", ".f32", ".vp"),
        options=frozenset({"shape", "dtype", "byte_order", "fastest"}),
    ),
    "hdf5": _Format(_open_own, (".h5", ".hdf5"), ("*.h5", "*.hdf5")),
}
"""The formats of velocity models that are read."""


def open_files(paths: Sequence[str | Path], options: FileOptions) -> list[ModelFile]:
    """Open all files, those of a folder in the order of the numbers in their names.

    Models of exported folders know the rows they had in the data set.
    """
    if not paths:
        raise InputError("import: name a file of velocity models")
    files, told = [], {}
    for path in map(Path, paths):
        kind = _format(path, options.format)
        _refuse_options_of_others(kind, options)
        for found in _files(path, kind):
            folder = found.parent
            if folder not in told:
                with reading(folder / "samples.csv"):
                    told[folder] = exported_samples(folder)
            with reading(found):
                file = FORMATS[kind].open(found, options)
            rows = told[folder].get(found.name, {})
            if sorted(rows) == list(range(file.models)):
                file = replace(file, told=tuple(rows[place] for place in range(file.models)))
            files.append(_with_stated_spacing(file, options))
    return files


def _format(path: Path, wanted: str | None) -> str:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{path}: is neither a file nor a folder")
    if wanted is not None:
        if wanted not in FORMATS:
            raise InputError(f"--format {wanted}: must be one of {', '.join(FORMATS)}")
        return wanted
    ask = f"give --format, one of {', '.join(FORMATS)}"
    if path.is_dir():
        kinds = [kind for kind in FORMATS if _in_folder(path, kind)]
        if len(kinds) == 1:
            return kinds[0]
        found = f"holds {' and '.join(kinds)} files" if kinds else "holds no known files"
        raise InputError(f"{path}: {found}; {ask}")
    ending = path.suffix.lower()
    if ending == ".mat":
        with path.open("rb") as file:
            new = file.read(10) == b"MATLAB 7.3"
        load = "h5py.File({0!r})['NAME'][...].T" if new else "scipy.io.loadmat({0!r})['NAME']"
        raise InputError(
            f"{path}: convert it in Python: import numpy, {'h5py' if new else 'scipy.io'};"
            f" numpy.save('{path.stem}.npy', {load.format(path.name)})"
        )
    for kind, known in FORMATS.items():
        if ending in known.endings:
            return kind
    raise InputError(f"{path}: the ending {path.suffix or 'of its name'} says no format; {ask}")


def _files(path: Path, kind: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = _in_folder(path, kind)
    if not found:
        names = ", ".join(FORMATS[kind].in_folders) or "give the files themselves"
        raise InputError(f"{path}: holds no {kind} files of velocity models ({names})")
    return found


def _in_folder(path: Path, kind: str) -> list[Path]:
    """Return the files of the first pattern that any file fits, in capitals or not."""
    for pattern in FORMATS[kind].in_folders:
        folder, _, name = f"./{pattern}".rpartition("/")
        inside = (path / folder).iterdir() if (path / folder).is_dir() else ()
        found = [file for file in inside if fnmatch(file.name.lower(), name)]
        if found:
            return sorted(found, key=lambda file: _natural(file.name.lower()))
    return []


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which model2 stands before model10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _refuse_options_of_others(kind: str, options: FileOptions) -> None:
    plain = FileOptions()
    for name in sorted(set().union(*(known.options for known in FORMATS.values()))):
        if name not in FORMATS[kind].options and getattr(options, name) != getattr(plain, name):
            takers = [other for other, known in FORMATS.items() if name in known.options]
            raise InputError(
                f"--{name.replace('_', '-')}: is for {' and '.join(takers)} files, not {kind}"
            )


def _with_stated_spacing(file: ModelFile, options: FileOptions) -> ModelFile:
    """Return a file with the spacing that the user states, where it says none or is overruled."""
    given = options.spacing
    if file.feet and options.units is None:
        raise InputError(f"{file.path}: its headers are in feet; give --units ft/s, or m/s")
    if given is None:
        return file
    if not isinstance(given, tuple):
        known = [step for step in file.spacing if step is not None]
        if len(known) == 1:
            spacing = tuple(given if step is None else step for step in file.spacing)
            return replace(file, spacing=spacing, known_from=f"{file.known_from}; --file-spacing")
        given = (given, given)
    return replace(file, spacing=given, known_from="--file-spacing")
