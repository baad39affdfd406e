"""Read data sets: a file, or several that hold one set together, opened lazily once a process."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from seistomo.config import parse_config
from seistomo.dataset.store import schema
from seistomo.dataset.store.columns import Column, rows_of
from seistomo.dataset.store.writer import checksum
from seistomo.errors import InputError

REMEDY = "make it again with --overwrite"
FINISH = "finish it with `seistomo simulate ... --resume`"
# What h5py raises where a file's inner structure is damaged.
DAMAGE = (OSError, KeyError, RuntimeError, TypeError, ValueError)
# Files of one set that are open at once: systems allow a process 256 or 1024.
MOST_OPEN = 64


class DatasetReader:
    """A complete data set, opened for reading; use it as a context manager.

    Parameters
    ----------
    path
        The file, or the folder of ``files``.
    files
        Files that hold one set together, in the order of its samples, as `open_dataset` finds
        them; empty: ``path`` is the one file.

    Attributes
    ----------
    path
        The file or folder.
    files
        The files, in the order of their samples.
    config
        The configuration that it was made with.
    samples
        Number of samples.
    identity
        Short hash of the whole content: settings and every sample's checksum.
    gather_shape, velocity_shape
        (source, receiver, time) and (depth, x).
    depth, x, time, wavelet
        float64 coordinates [depth] in m, [x] in m, [time] in s, and the wavelet [time].
    shard
        (i, n) where this is part i of n of a data set; None for a folder of parts.

    Raises
    ------
    InputError
        If a file is missing, truncated, foreign, unfinished or of a newer version.
    """

    def __init__(self, path: str | Path, files: Sequence[Path] = ()) -> None:
        self.path = Path(path)
        self.files = tuple(files) or (self.path,)
        self._opened: dict[int, tuple[h5py.File, dict[str, h5py.Dataset]]] = {}
        self._process = os.getpid()
        with naming_damage(self.path):
            self._read_header()
        if files:
            # Files that were made while the set grew ask for different numbers.
            self.config, self.shard = schema.with_samples(self.config, self.samples), None

    def _read_header(self) -> None:
        first = self._file(0)
        self.config = parse_config(first.attrs["config"], origin=str(self.path))
        counts = [len(self._variable(part, "index")) for part in range(len(self.files))]
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.samples = int(self._starts[-1])
        self.gather_shape: tuple[int, int, int] = first["gathers"].shape[1:]
        self.velocity_shape: tuple[int, int] = first["velocity"].shape[1:]
        self.depth, self.x, self.time, self.wavelet = (
            first[name][...] for name in ("depth", "x", "time", "wavelet")
        )
        self.software: dict[str, str] = json.loads(first.attrs["software"])
        shard = first.attrs.get("shard")
        self.shard: tuple[int, int] | None = None if shard is None else tuple(map(int, shard))

    def __enter__(self) -> "DatasetReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "files": () if self.files == (self.path,) else self.files}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__init__(state["path"], state["files"])

    def close(self) -> None:
        """Close the files; reading afterwards opens them again."""
        for file, _ in self._opened.values():
            file.close()
        self._opened.clear()

    @cached_property
    def identity(self) -> str:
        """Short hash of settings and content."""
        return schema.identity_of(self.config, self._column("crc32"))

    @cached_property
    def splits(self) -> np.ndarray:
        """Split of each sample, uint8 [sample]: 0 train, 1 validation, 2 test."""
        return self._column("split")

    @cached_property
    def sample_indices(self) -> np.ndarray:
        """Index that each sample was drawn with, uint64 [sample]."""
        return self._column("index")

    def indices(self, split: str = "all") -> np.ndarray:
        """Return the rows of a split ("train", "validation", "test" or "all"), int64 [sample]."""
        if split == "all":
            return np.arange(self.samples)
        if split not in schema.SPLITS:
            raise InputError(f"split = {split!r}: must be one of {', '.join(schema.SPLITS)}, all")
        return np.flatnonzero(self.splits == schema.SPLITS.index(split))

    def read_gathers(self, indices: Iterable[int]) -> np.ndarray:
        """Return gathers, float32 [sample, source, receiver, time]."""
        rows = self._rows(indices)
        gathers = np.empty((len(rows), *self.gather_shape), dtype=np.float32)
        for place, (part, row) in enumerate(rows):
            gathers[place] = self._one("gathers", part, row)
            if self.config.dataset.storage == "float16":
                gathers[place] *= self._one("gathers_scale", part, row)
        return gathers

    def read_velocity(self, indices: Iterable[int]) -> np.ndarray:
        """Return velocity models, float32 [sample, depth, x], m/s."""
        return self._read("velocity", indices)

    def read_salt_mask(self, indices: Iterable[int]) -> np.ndarray:
        """Return salt masks, bool [sample, depth, x]."""
        return self._read("salt_mask", indices)

    def read_dead_traces(self, indices: Iterable[int]) -> np.ndarray:
        """Return which traces record nothing, bool [sample, source, receiver]."""
        return self._read("dead_trace", indices)

    def read_survey(self, index: int) -> dict[str, np.ndarray]:
        """Return one sample's source and receiver positions, float64, m."""
        names = ("source_x", "source_depth", "receiver_x", "receiver_depth")
        return {name: self._read(name, [index])[0] for name in names}

    def families(self, indices: Iterable[int]) -> list[str]:
        """Return the family of each sample."""
        return [text.decode() for text in self._read("family", indices)]

    def parameters(self, index: int) -> dict[str, Any]:
        """Return what was drawn for one sample's model."""
        return json.loads(self._read("parameters", [index])[0])

    def seeds(self, indices: Iterable[int]) -> np.ndarray:
        """Return the seed and index that each sample was drawn with, uint64 [sample, 2]."""
        rows = list(indices)
        return np.stack([self._read("seed", rows), self._read("index", rows)], axis=1)

    def stored_sample(self, index: int) -> dict[str, Any]:
        """Return everything about one sample as it is stored, for copying."""
        ((part, row),) = self._rows([index])
        names = schema.sample_variables(self.config.dataset.storage)
        return {name: self._one(name, part, row) for name in names}

    def stored_samples(self) -> Iterator[dict[str, Any]]:
        """Yield everything about each sample as it is stored, faster than one by one.

        Large variables lie in memory that the next sample uses again: copy what is to be kept.
        """
        names = schema.sample_variables(self.config.dataset.storage)
        for part, count in enumerate(np.diff(self._starts)):
            with naming_damage(self.files[part]):
                columns = {name: Column(self._variable(part, name)) for name in names}
                yield from rows_of(columns, int(count))

    def damaged(self, progress: Callable[[Iterable[int]], Iterable[int]] = iter) -> list[int]:
        """Return the rows whose checksum does not match their content."""
        bad = []
        for index in progress(range(self.samples)):
            try:
                stored = self.stored_sample(index)
                good = checksum(stored["velocity"], stored["gathers"]) == stored["crc32"]
            except InputError:
                good = False
            if not good:
                bad.append(index)
        return bad

    def _column(self, name: str) -> np.ndarray:
        columns = []
        for part, file in enumerate(self.files):
            with naming_damage(file):
                columns.append(self._variable(part, name)[:])
        return np.concatenate(columns)

    def _read(self, name: str, indices: Iterable[int]) -> np.ndarray:
        rows = self._rows(indices)
        if not rows:
            return np.empty((0, *self._file(0)[name].shape[1:]), self._file(0)[name].dtype)
        return np.stack([self._one(name, part, row) for part, row in rows])

    def _one(self, name: str, part: int, row: int) -> Any:
        with naming_damage(self.files[part]):
            return self._variable(part, name)[row]

    def _rows(self, indices: Iterable[int]) -> list[tuple[int, int]]:
        rows = []
        for index in indices:
            if not 0 <= index < self.samples:
                raise InputError(f"sample {index}: {self.path} has samples 0 to {self.samples - 1}")
            part = int(np.searchsorted(self._starts, index, side="right")) - 1
            rows.append((part, int(index - self._starts[part])))
        return rows

    def _file(self, part: int) -> h5py.File:
        return self._open(part)[0]

    def _variable(self, part: int, name: str) -> h5py.Dataset:
        """Return a variable; looking it up by name costs as much as reading one sample of it."""
        file, variables = self._open(part)
        if name not in variables:
            variables[name] = file[name]
        return variables[name]

    def _open(self, part: int) -> tuple[h5py.File, dict[str, h5py.Dataset]]:
        """Return a file, and those of its variables that were looked up."""
        if self._process != os.getpid():
            # HDF5 handles do not survive a fork.
            self._opened, self._process = {}, os.getpid()
        opened = self._opened.get(part)
        if opened is None:
            opened = self._opened[part] = (open_checked(self.files[part]), {})
            for oldest in list(self._opened)[:-MOST_OPEN]:
                # Not closed: HDF5 does that when nobody reads from it any more.
                self._opened.pop(oldest, None)
        return opened


def open_checked(path: Path, expected: str = schema.FORMAT) -> h5py.File:
    """Open one HDF5 file for reading, refusing in one line what is not a whole data set."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=0)
    except OSError as error:
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: not an HDF5 file") from None
        reason = "truncated" if "truncated" in str(error) else str(error)
        raise InputError(f"{path}: {reason}; {REMEDY}") from None
    try:
        with naming_damage(path):
            _check_header(path, file, expected)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn what h5py raises inside a ``with`` block for a damaged file into one line."""
    try:
        yield
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: damaged, cannot be read ({reason}); {REMEDY}") from None


def _check_header(path: Path, file: h5py.File, expected: str) -> None:
    found = file.attrs.get("format")
    if found != expected:
        what = "no format" if found is None else f"format {found!r}"
        raise InputError(f"{path}: not a {expected} file (it has {what})")
    number = int(file.attrs.get("version", 0))
    if number > schema.VERSION:
        raise InputError(
            f"{path}: version {number} is newer than this program reads ({schema.VERSION});"
            " update seistomo"
        )
    if not file.attrs.get("complete", False):
        raise InputError(f"{path}: unfinished; {FINISH}")
    if expected != schema.FORMAT:
        return
    missing = [name for name in schema.SAMPLE_VARIABLES if name not in file]
    if missing:
        raise InputError(f"{path}: damaged, {', '.join(missing)} missing; {REMEDY}")
    if file["gathers"].is_virtual:
        # HDF5 would read zeros for a part that is gone.
        for source in file["gathers"].virtual_sources():
            if not (path.parent / source.file_name).is_file():
                raise InputError(f"{path}: refers to {source.file_name}, which is gone")


def read_predictions(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Read a predictions file.

    Returns
    -------
    velocity, indices, attributes
        float32 [sample, depth, x] in m/s, int64 [sample] rows of the data set, root attributes.

    Raises
    ------
    InputError
        If it is not a whole predictions file.
    """
    with open_checked(Path(path), schema.PREDICTIONS_FORMAT) as file:
        return file["velocity"][...], file["sample"][...], dict(file.attrs)


def file_format(path: str | Path) -> str | None:
    """Return the ``format`` attribute of an HDF5 file, or None if it is another kind of file."""
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return None
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format")
    except OSError:
        return None
