"""Files that appear whole or not at all, and one-line errors when the disk is full."""

import errno
import os
import shutil
from collections.abc import Iterator
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in path.parent.glob(f".{escape(path.name)}.*.part"):
            if not _is_alive(leftover.suffixes[-2][1:]):
                remove_quietly(leftover)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        remove_quietly(temporary)
        if is_disk_full(error):
            raise DiskFullError(
                f"{path}: the disk is full; free some space (nothing was changed) and run again"
            ) from None
        if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError):
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
        raise


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
