"""From paths that the user named to files of velocity models: formats, folders, order."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from seistomo.dataset.exchange import npz, openfwi, raw, segy
from seistomo.dataset.exchange.listing import read_samples
from seistomo.dataset.exchange.source import FileOptions, ModelFile
from seistomo.errors import InputError
from seistomo.progress import counted, say

READERS: dict[str, ModuleType] = {"openfwi": openfwi, "segy": segy, "npz": npz, "raw": raw}
"""The formats of velocity models that are read."""


def open_files(paths: Sequence[str | Path], options: FileOptions) -> list[ModelFile]:
    """Open all files, those of a folder in the order of the numbers in their names.

    Models of exported folders know the rows they had in the data set.

    Raises
    ------
    InputError
        If a path does not exist, its format is unknown, an option does not go with it or it
        cannot be read.
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
                told[folder] = read_samples(folder)
            file = READERS[kind].open_models(found, options)
            files.append(_with_told(file, told[folder].get(found.name, {})))
    return files


def _with_told(file: ModelFile, told: Mapping[int, tuple[int, str]]) -> ModelFile:
    """Add what ``samples.csv`` says of the models of a file of an exported folder."""
    if sorted(told) != list(range(file.models)):
        return file
    return replace(file, told=tuple(told[place] for place in range(file.models)))


def _format(path: Path, wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in READERS:
            raise InputError(f"--format {wanted}: must be one of {', '.join(READERS)}")
        return wanted
    if path.is_dir():
        kinds = [kind for kind in READERS if _in_folder(path, kind)]
        if len(kinds) == 1:
            return kinds[0]
        found = f"holds {' and '.join(kinds)} files" if kinds else "holds no known files"
        raise InputError(f"{path}: {found}; give --format, one of {', '.join(READERS)}")
    for kind, reader in READERS.items():
        if path.suffix.lower() in reader.ENDINGS:
            return kind
    raise InputError(
        f"{path}: the ending {path.suffix or 'of its name'} says no format; give --format, one of"
        f" {', '.join(READERS)}"
    )


def _files(path: Path, kind: str) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_dir():
        return [path]
    found = _in_folder(path, kind)
    if not found:
        patterns = ", ".join(READERS[kind].FOLDER_PATTERNS) or "give the files themselves"
        raise InputError(f"{path}: holds no {kind} files of velocity models ({patterns})")
    return found


def _in_folder(path: Path, kind: str) -> list[Path]:
    """Return the files of the first pattern that any file fits."""
    for pattern in READERS[kind].FOLDER_PATTERNS:
        if found := list(path.glob(pattern)):
            return sorted(found, key=lambda file: _natural(file.name))
    return []


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key by which model2 stands before model10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _refuse_options_of_others(kind: str, options: FileOptions) -> None:
    plain = FileOptions()
    every = {name for reader in READERS.values() for name in reader.OPTIONS}
    for name in sorted(every - READERS[kind].OPTIONS):
        if getattr(options, name) != getattr(plain, name):
            takers = [other for other, reader in READERS.items() if name in reader.OPTIONS]
            raise InputError(
                f"--{name.replace('_', '-')}: is for {' and '.join(takers)} files, not {kind}"
            )


def tell(files: Sequence[ModelFile], spacing: float | None) -> None:
    """Say what was found, alike files together.

    Parameters
    ----------
    files
        As `open_files` returns them.
    spacing
        The spacing wanted, m, which files that say none are taken to have.
    """
    alike = Counter(replace(file, path=file.path.parent, read=tell, told=None) for file in files)
    for file, count in alike.items():
        first = next(each.path for each in files if each.shape == file.shape)
        name = str(first) if count == 1 else f"{first} and {count - 1} more"
        if file.spacing is not None:
            grid = f"{file.spacing[0]:g} m x {file.spacing[1]:g} m ({file.known_from})"
        else:
            grid = f"no spacing stated, taken as {spacing:g} m"
        models = counted(file.models * count, "model")
        say(f"{name}: {models} of {file.shape[0]} x {file.shape[1]} nodes, {grid}")
