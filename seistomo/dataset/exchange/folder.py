"""A folder of exported files that appears whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seistomo.errors import DiskFullError, InputError
from seistomo.files import is_disk_full

MARKER = "export.json"
"""What tells an exported folder from any other; it says where the content comes from."""


@contextmanager
def folder_written_whole(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; move it there if the block ends well.

    On any failure the temporary folder is removed and ``path`` is as it was before; what a
    killed process left is removed by the next one.

    Raises
    ------
    InputError
        If something is there and may not be replaced (`check_output`).
    DiskFullError
        If the disk fills up while the block writes.
    """
    check_folder(path, overwrite)
    # Absolute: "." has no name to put another beside.
    path = path.absolute()
    partial = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        _move_into_place(partial, path)
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"--out {path}: the disk is full; free some space (nothing was changed) and run"
                " again"
            ) from None
        if isinstance(error, PermissionError | NotADirectoryError | FileExistsError):
            raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_folder(path: Path, overwrite: bool) -> None:
    """Refuse a place where a folder may not be written.

    Raises
    ------
    InputError
        If something is there and ``overwrite`` was not asked for, or it is no exported folder:
        another folder is never replaced.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise InputError(
            f"--out {path}: exists already; use --overwrite to replace it, or another name"
        )
    if not (path / MARKER).is_file():
        raise InputError(
            f"--out {path}: is not an exported folder, so it is not replaced; give another name"
        )


def write_marker(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what the folder holds and where it comes from, as JSON."""
    text = json.dumps(content, indent=2) + "\n"
    (folder / MARKER).write_text(text, encoding="utf-8")


def _move_into_place(partial: Path, path: Path) -> None:
    if not path.exists():
        partial.rename(path)
        return
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    path.rename(old)
    try:
        partial.rename(path)
    except BaseException:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
