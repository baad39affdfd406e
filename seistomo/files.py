"""Files and folders that appear whole or not at all; one-line errors when the disk is full."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from seistomo.errors import DiskFullError, InputError, shortened

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Endings of what is written as HDF5.
HDF5 = (".h5", ".hdf5")
# Where in a scratch folder the folder waits that is being replaced.
_OLD = ".old"
# Bytes of text that are read at most: some files, as /dev/zero, have no end.
LONGEST_TEXT = 10**8


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; its file becomes ``path`` if the block ends well.

    On any failure, a full disk too, ``path`` is as it was before. Several processes may write the
    same path: each has a scratch folder of its own beside it, and the last to end wins. What a
    killed process left is removed by the next one that writes ``path``. A link is written where it
    points.
    """
    with _scratch_beside(path) as (scratch, place):
        yield scratch / place.name
        _flush_to_disk(scratch / place.name)
        with _refusals_named(path):
            os.replace(scratch / place.name, place)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``path`` if the block ends well: see `written_whole`.

    A folder that is there is replaced: `require_replaceable` asks first whether it may be.
    """
    with _scratch_beside(path) as (scratch, place):
        folder, old = scratch / place.name, scratch / _OLD
        folder.mkdir()
        yield folder
        with _refusals_named(path):
            if place.exists():
                place.rename(old)
            try:
                folder.rename(place)
            except BaseException:
                _put_back(old, place)
                raise


@contextmanager
def reading(path: str | Path, remedy: str = "") -> Iterator[None]:
    """Turn whatever escapes from reading a user's file into one line with its name."""
    try:
        yield
    except Exception as error:  # Whatever the readers make of the bytes in it.
        if isinstance(error, InputError):
            raise
        words = shortened(error, 120) or type(error).__name__
        words = f"{path}: damaged, or of another format ({words})"
        if isinstance(error, FileNotFoundError):
            words = f"{path}: no such file"
        raise InputError(f"{words}{remedy and f'; {remedy}'}") from None


def read_text(path: Path, name: str = "") -> str:
    """Return what a text file holds; what is none is one line, with ``name`` or the path."""
    with reading(name or path), path.open("rb") as file:
        content = file.read(LONGEST_TEXT + 1)
        if len(content) > LONGEST_TEXT:
            raise ValueError("it has no end, or more than 100 MB")
        return content.decode()


def link_target(path: str | Path) -> Path:
    """Return where a path leads once links are followed; refuse a link to itself."""
    try:
        place = Path(path).resolve()
    except (OSError, RuntimeError):
        place = None
    if place is None or place.is_symlink():
        raise InputError(f"{path}: is a link to itself; remove it or give another name")
    return place


def require_file(path: str | Path, overwrite: bool, endings: Sequence[str] = HDF5) -> None:
    """Refuse a file that may not be written.

    That is one whose name ends otherwise than its format's, a folder, and without ``overwrite``
    what is there. What a link leads to counts.
    """
    place = link_target(path)
    if place.is_dir():
        raise InputError(f"--out {path}: is a folder; give the name of a file")
    if place.suffix.lower() not in endings and Path(path).suffix.lower() not in endings:
        raise InputError(f"--out {path}: must end in {' or '.join(endings)}")
    if place.exists() and not overwrite:
        raise InputError(f"--out {path}: exists already; use --overwrite or another name")


def require_replaceable(path: Path, overwrite: bool, marks: Sequence[str], what: str) -> None:
    """Refuse a place where a folder of some kind, ``what`` in words, may not be written.

    Nothing, or an empty folder, may always be replaced; with ``overwrite`` one of the same kind
    too, which is told by the files ``marks``.
    """
    place = link_target(path)
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not overwrite:
        raise InputError(
            f"--out {path}: exists already; use --overwrite to replace it, or another name"
        )
    if not all((path / name).is_file() for name in marks):
        raise InputError(f"--out {path}: is not {what}, so it is not replaced; give another name")


def require_space(path: str | Path, needed: int) -> None:
    """Refuse to start when the disk that will hold ``path`` has less than ``needed`` bytes."""
    free = free_bytes(path)
    if free < needed:
        raise DiskFullError(
            f"{path}: needs about {needed / 1e9:.2f} GB, but its disk has {free / 1e9:.2f} GB free"
        )


def free_bytes(path: str | Path) -> int:
    """Return the bytes that are free on the disk that will hold ``path``."""
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def remove_leftovers(place: Path) -> None:
    """Remove what killed processes left beside ``place``; a folder moved aside is put back."""
    for leftover in place.parent.glob(f".{escape(place.name)}.*.part"):
        with suppress(OSError):
            handle = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _put_back(leftover / _OLD, place)
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(handle)


def remove_quietly(path: Path) -> None:
    """Remove a file or a folder if it is there, whatever happens."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_disk_full(error: BaseException | None) -> bool:
    """Tell whether ``error``, or what it was raised from, means a full disk."""
    while error is not None:
        if isinstance(error, DiskFullError) or getattr(error, "errno", None) in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def _scratch_beside(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder of this process alone on the disk of ``path``, and where ``path`` leads."""
    place = link_target(path)
    try:
        with _refusals_named(path):
            place.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(place)
            scratch, lock = _locked_folder(place)
        try:
            yield scratch, place
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(lock)
    except Exception as error:
        if is_disk_full(error):
            raise DiskFullError(
                f"{path}: the disk is full; free some space (nothing was changed) and run again"
            ) from None
        raise


@contextmanager
def _refusals_named(path: str | Path) -> Iterator[None]:
    """Say in one line where a file system refuses."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _locked_folder(place: Path) -> tuple[Path, int]:
    """Make a folder beside ``place``; the lock on its handle tells others that it is in use."""
    while True:
        scratch = Path(tempfile.mkdtemp(".part", f".{place.name}.", place.parent))
        handle = os.open(scratch, os.O_RDONLY)
        # Where a file system knows no locks, others cannot lock it either, and leave it.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if scratch.exists():
            return scratch, handle
        # Another process has taken it for a leftover before it was locked.
        os.close(handle)


def _put_back(old: Path, place: Path) -> None:
    if old.exists() and not os.path.lexists(place):
        old.rename(place)


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
