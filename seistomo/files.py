"""Files and folders that appear whole or not at all; one-line errors when the disk is full."""

import errno
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from seistomo.errors import DiskFullError, InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it there if the block ends well.

    On any failure the temporary file is removed and ``path`` is as it was before. What a killed
    process left is removed by the next one that writes ``path``.

    Raises
    ------
    DiskFullError
        If the disk fills up while the block writes.
    InputError
        If the folder cannot be made or written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{_owner()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(path):
            remove_quietly(leftover)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        remove_quietly(temporary)
        if is_disk_full(error):
            raise _full(path) from None
        if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError):
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
        raise


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; move it there if the block ends well.

    A folder that is there is replaced: `require_replaceable` asks first whether it may be. On any
    failure the temporary folder is removed and ``path`` is as it was before. What a killed process
    left is removed by the next one that writes ``path``; an old folder that it had moved aside and
    not replaced is put back first.

    Raises
    ------
    DiskFullError
        If the disk fills up while the block writes.
    InputError
        If the folder cannot be made.
    """
    # "." has no name to put another beside, and a link may lead to another disk.
    place = Path(path).resolve()
    partial = place.with_name(f".{place.name}.{_owner()}.part")
    try:
        _make_folder(partial, place, path)
        yield partial
        _move_into_place(partial, place)
    except (OSError, DiskFullError) as error:
        if isinstance(error, DiskFullError) or is_disk_full(error):
            raise _full(path) from None
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_replaceable(path: Path, overwrite: bool, marks: Sequence[str], what: str) -> None:
    """Refuse a place where a folder of some kind may not be written.

    Parameters
    ----------
    path
        The folder to be; nothing, or an empty folder, may always be replaced.
    overwrite
        Whether a folder of the same kind may be, too. Others never are.
    marks
        Files that tell the kind from any other folder.
    what
        Its name in messages: "an evaluation".

    Raises
    ------
    InputError
        If something is there that may not be replaced.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise InputError(
            f"--out {path}: exists already; use --overwrite to replace it, or another name"
        )
    if not all((path / name).is_file() for name in marks):
        raise InputError(f"--out {path}: is not {what}, so it is not replaced; give another name")


def remove_quietly(path: Path) -> None:
    """Remove a file if it is there, whatever happens."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def forget(path: Path) -> None:
    """Tell the system that a file's content, if it is on disk, need not stay in memory.

    For files that are read once: what is read again and again stays, and memory that was used
    before is quicker than fresh one.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether ``error`` means a full disk."""
    return isinstance(error, OSError) and error.errno in _FULL


def require_space(path: Path, needed: int) -> None:
    """Refuse to start when the disk that will hold ``path`` has less than ``needed`` bytes.

    Raises
    ------
    DiskFullError
        Naming the bytes needed and free.
    """
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{path}: needs about {needed / 1e9:.2f} GB, but {folder} has {free / 1e9:.2f} GB free"
        )


def _full(path: Path) -> DiskFullError:
    return DiskFullError(
        f"{path}: the disk is full; free some space (nothing was changed) and run again"
    )


def _owner() -> str:
    """Return what tells this process from others on all machines that share a folder."""
    return f"{socket.gethostname()}-{os.getpid()}"


def _leftovers(path: Path, ending: str = "part") -> Iterator[Path]:
    """Yield what processes of this machine that are gone left beside ``path``."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*.{ending}"):
        owner = leftover.name[len(path.name) + 2 : -len(ending) - 1]
        host, _, process = owner.rpartition("-")
        if host == socket.gethostname() and not _is_alive(process):
            yield leftover


def _make_folder(partial: Path, place: Path, path: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        for leftover in _leftovers(place):
            shutil.rmtree(leftover, ignore_errors=True)
        for old in _leftovers(place, "old"):
            _restore_or_remove(old, place)
        partial.mkdir()
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def _restore_or_remove(old: Path, place: Path) -> None:
    """Finish what a process began that was killed between moving the old folder and the new."""
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        old.rename(place)


def _move_into_place(partial: Path, place: Path) -> None:
    if not place.exists():
        partial.rename(place)
        return
    old = place.with_name(f".{place.name}.{_owner()}.old")
    place.rename(old)
    try:
        partial.rename(place)
    except BaseException:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
