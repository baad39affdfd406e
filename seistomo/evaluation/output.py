"""A folder of results that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seistomo.errors import DiskFullError, InputError
from seistomo.files import is_disk_full

CONTENT = ("metrics.json", "samples.csv", "report.html")
"""What tells an evaluation from any other folder."""


def check_output_folder(path: str | Path, overwrite: bool) -> Path:
    """Return ``path`` if an evaluation may be written there.

    Raises
    ------
    InputError
        If something is there and ``overwrite`` was not asked for, or it is not an evaluation:
        another folder is never replaced.
    """
    path = Path(path)
    if not (path.exists() or path.is_symlink()) or _is_empty_folder(path):
        return path
    if not overwrite:
        raise InputError(
            f"--out {path}: exists already; use --overwrite to replace it, or another name"
        )
    if not all((path / name).is_file() for name in CONTENT):
        raise InputError(
            f"--out {path}: is not an evaluation, so it is not replaced; give another name"
        )
    return path


@contextmanager
def folder_written_whole(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; move it there if the block ends well.

    On any failure the temporary folder is removed and ``path`` is as it was before; what a
    killed process left is removed by the next one.

    Raises
    ------
    InputError
        If ``path`` may not be written (`check_output_folder`).
    DiskFullError
        If the disk fills up while the block writes.
    """
    # Absolute: "." has no name to put another beside.
    path = check_output_folder(path, overwrite).absolute()
    partial = path.with_name(f".{path.name}.part")
    try:
        _make_folder(partial, path)
        yield partial
        _move_into_place(partial, path)
    except (OSError, DiskFullError) as error:
        if isinstance(error, DiskFullError) or is_disk_full(error):
            raise DiskFullError(
                f"--out {path}: the disk is full; free some space (nothing was changed) and run"
                " again"
            ) from None
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not any(path.iterdir())


def _make_folder(partial: Path, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(f"--out {path}: cannot be written: {error.strerror}") from None


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
