"""HDF5 files that close in peace on a full disk."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py

from seistomo.interrupts import interrupts_held


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
        file = None
        try:
            with interrupts_held():
                file = h5py.File(raw, "w")
            yield file, raw
        finally:
            with (
                interrupts_held(),
                suppress(*(() if raw.failure is None else (Exception,))),
            ):
                if file is not None:
                    file.close()
            if raw.failure is not None:
                raise raw.failure
