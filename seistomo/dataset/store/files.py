"""Files that appear whole or not at all, and one-line errors when the disk is full."""

import errno
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from seistomo.errors import DiskFullError, InputError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it there if the block ends well.

    On any failure the temporary file is removed and ``path`` is as it was before.

    Raises
    ------
    DiskFullError
        If the disk fills up while the block writes.
    InputError
        If the folder cannot be made or written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        with_suppressed_unlink(temporary)
        if is_disk_full(error):
            raise DiskFullError(
                f"{path}: the disk is full; free some space (nothing was changed) and run again"
            ) from None
        if isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError):
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None
        raise


class _PatientFile(io.FileIO):
    """A file that keeps its first error for later and goes on as if it had written.

    HDF5 cannot close a file whose last writes failed, and says so for each of its objects; this
    way it closes in peace and the one error that matters is raised afterwards.
    """

    failure: OSError | None = None

    def write(self, data: memoryview) -> int:
        """Write all of ``data``, or remember why not."""
        view = memoryview(data).cast("B")
        written = 0
        while self.failure is None and written < len(view):
            try:
                written += super().write(view[written:])
            except OSError as error:
                self.failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def readinto(self, buffer: memoryview) -> int:
        """Read back; what could not be written reads as zeros."""
        count = super().readinto(buffer) or 0
        if self.failure is not None and count < len(buffer):
            buffer[count:] = bytes(len(buffer) - count)
            return len(buffer)
        return count


@contextmanager
def hdf5_for_writing(path: Path) -> Iterator[tuple[h5py.File, _PatientFile]]:
    """Open a new HDF5 file; a full disk raises one `OSError` with its number, at the end.

    Give ``file.failure`` a look now and then to stop early.
    """
    with _PatientFile(path, "w+") as raw:
        file = h5py.File(raw, "w")
        try:
            yield file, raw
        finally:
            with suppress(*(() if raw.failure is None else (Exception,))):
                file.close()
            if raw.failure is not None:
                raise raw.failure


def with_suppressed_unlink(path: Path) -> None:
    """Remove a file if it is there, whatever happens."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


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


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
