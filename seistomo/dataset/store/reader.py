"""Read velocity files and data sets, a file or several that hold one set, opened once a process."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from seistomo.config import Config, parse_config
from seistomo.dataset.store import schema
from seistomo.dataset.store.writer import file_checksum
from seistomo.errors import InputError
from seistomo.files import reading

if TYPE_CHECKING:
    import xarray

REMEDY = "make it again with --overwrite"
FINISH = "finish it with `seistomo simulate ... --resume`"
# Files of one set that are open at once: systems allow a process 256 or 1024.
MOST_OPEN = 64
Progress = Callable[[Iterable[int]], Iterable[int]]


def unfinished_path(out: Path) -> Path:
    """Return where a data set is kept while it is being made."""
    return out.with_name(f"{out.name}.unfinished")


class VelocityReader:
    """Velocity models of one grid, opened for reading; use it as a context manager.

    Parameters
    ----------
    path
        The file, or the folder of ``files``.
    files
        Files that hold one data set together, in the order of its samples, as `open_dataset` finds
        them; empty: ``path`` is the one file.

    Attributes
    ----------
    path
        The file or folder.
    files
        The files, in the order of their samples.
    samples
        Number of models.
    velocity_shape
        Nodes (depth, x) of each.
    spacing
        Distance between nodes, m, both ways.
    depth, x
        float64 coordinates of the nodes, m.
    software
        Versions of the programs that made the file.

    Raises
    ------
    InputError
        If a file is missing, truncated, foreign, unfinished, damaged or of a newer version.
    """

    formats: tuple[str, ...] = (schema.VELOCITY_FORMAT, schema.PREDICTIONS_FORMAT)
    config: Config | None = None

    def __init__(self, path: str | Path, files: Sequence[Path] = (), *, finished: bool = True):
        self.path = Path(path)
        self.files = tuple(files) or (self.path,)
        self._finished = finished
        self._opened: dict[int, tuple[h5py.File, dict[str, h5py.Dataset]]] = {}
        self._checked: set[int] = set()
        self._compared: set[int] = set()
        self._process = os.getpid()
        file, _ = self._open(0)
        with reading(self.files[0], REMEDY):
            self._read_header(file)
            self.software: dict[str, str] = dict(json.loads(file.attrs["software"]))
            counts = [len(self._variable(part, "crc32")) for part in range(len(self.files))]
        self._starts = np.concatenate([[0], np.cumsum(counts)])
        self.samples = int(self._starts[-1])
        self.depth, self.x = self.axes["depth"][0], self.axes["x"][0]

    def _read_header(self, file: h5py.File) -> None:
        self.velocity_shape: tuple[int, int] = file["velocity"].shape[1:]
        self.spacing = float(file.attrs["spacing"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
    def checksums(self) -> np.ndarray:
        """Checksum of each sample, uint32 [sample]; 0 where an unfinished file has none yet."""
        return self._read("crc32", range(self.samples))

    @cached_property
    def models_identity(self) -> str:
        """Short hash of the models: grid, speeds, salt, families and parameters.

        The same models have the same one in a velocity file and in a data set.
        """
        return self._models[0]

    @property
    def identity(self) -> str:
        """Short hash of the content, here the models'."""
        return self.models_identity

    @property
    def minimum(self) -> float:
        """Lowest speed of all models, m/s."""
        return self._models[1]

    @property
    def maximum(self) -> float:
        """Highest speed of all models, m/s."""
        return self._models[2]

    @cached_property
    def _models(self) -> tuple[str, float, float]:
        settings = schema.grid_settings(self.velocity_shape, self.spacing)
        if self.config is None and not self.has_std:
            with reading(self.path, REMEDY):
                attributes = self._open(0)[0].attrs
                low, high = (float(attributes[name]) for name in ("minimum", "maximum"))
            return schema.identity_of(settings, self.checksums), low, high
        # A data set, or predictions with deviations, do not keep them apart.
        sums, extremes = [], []
        for row in range(self.samples):
            stored = self.stored([row], schema.MODEL_VARIABLES)
            values = {name: column[0] for name, column in stored.items()}
            sums.append(schema.checksum(values, schema.MODEL_VARIABLES))
            extremes += [float(values["velocity"].min()), float(values["velocity"].max())]
        return schema.identity_of(settings, np.array(sums)), min(extremes), max(extremes)

    @property
    def axes(self) -> dict[str, tuple[np.ndarray, str]]:
        """Coordinates and unit of each axis but ``sample``."""
        if self.config:
            return schema.axes_of(self.config)
        return schema.grid_axes(self.velocity_shape, self.spacing)

    @property
    def numbers(self) -> np.ndarray:
        """Number of each sample: its row here, of predictions in the data set."""
        return self._read("sample", range(self.samples))

    @property
    def attributes(self) -> dict[str, Any]:
        """What the file says of itself."""
        held = dict(self._open(0)[0].attrs)
        return {name: held[name] for name in held if name not in ("checksum", "complete")}

    def read_velocity(self, indices: Iterable[int]) -> np.ndarray:
        """Return velocity models, float32 [sample, depth, x], m/s."""
        # Of a data set that would read the gathers too, with which they are compared.
        return self._read("velocity", indices if self.config else self.intact(indices))

    @cached_property
    def has_std(self) -> bool:
        return "velocity_std" in self._open(0)[0]

    def read_velocity_std(self, indices: Iterable[int]) -> np.ndarray:
        """Return deviations over an ensemble's members, float32 [sample, depth, x], m/s."""
        if not self.has_std:
            raise InputError(f"{self.path}: holds no velocity_std; predict with an ensemble")
        return self._read("velocity_std", self.intact(indices))

    def read_salt_mask(self, indices: Iterable[int]) -> np.ndarray:
        """Return salt masks, bool [sample, depth, x]."""
        return self._read("salt_mask", indices)

    def families(self, indices: Iterable[int]) -> list[str]:
        """Return the family of each sample."""
        return self.column("family", indices).tolist()

    def parameters(self, index: int) -> dict[str, Any]:
        """Return what was drawn for one sample's model."""
        with reading(self.path, REMEDY):
            parameters = json.loads(self._read("parameters", [index])[0])
            if not isinstance(parameters, dict):
                raise ValueError(f"parameters of sample {index}: no JSON object")
            return parameters

    @cached_property
    def widths(self) -> dict[str, int]:
        """Return the bytes that text takes at most in the files."""
        parts = range(len(self.files))
        return {
            name: max(self._variable(part, name).dtype.itemsize for part in parts)
            for name in ("family", "parameters")
        }

    def stored(
        self, rows: Iterable[int], names: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return variables of some samples as they are stored, [sample, ...]."""
        rows = list(rows)
        names = schema.variables_of(self.config) if names is None else names
        return {name: self._read(name, rows) for name in names}

    @cached_property
    def variables(self) -> dict[str, schema.Variable]:
        """The variables with a sample axis."""
        return schema.variables_of(self.config) | (schema.STD_VARIABLES if self.has_std else {})

    def column(self, name: str, indices: Iterable[int]) -> np.ndarray:
        """Return any variable of some samples, [sample, ...], gathers as pressure, texts as str."""
        values = self._read(name, indices)
        if values.dtype.kind == "S":
            with reading(self.path, REMEDY):
                return np.array([text.decode() for text in values.tolist()], dtype=object)
        return values

    def to_xarray(self) -> "xarray.Dataset":
        """Return everything as an `xarray.Dataset` in physical units; arrays are read when used.

        Its variables are those of the file, with axes by name, coordinates and units (m, s, m/s):
        ``velocity`` [sample, depth, x] in m/s, of a data set ``gathers`` [sample, source, receiver,
        time] as float32 with each sample's factor applied, positions of the survey, and so on.

        Raises
        ------
        InputError
            If xarray is not installed.
        """
        try:
            from seistomo.dataset.store.labelled import labelled
        except ImportError:
            raise InputError("to_xarray: needs xarray; pip install xarray") from None
        return labelled(self)

    def damaged(self, progress: Progress = iter, rows: Iterable[int] | None = None) -> list[int]:
        """Return the samples, of some or all, whose checksum does not match their content."""
        rows = range(self.samples) if rows is None else rows
        bad, variables = [], self.variables
        for row in progress(rows):
            try:
                values = {name: column[0] for name, column in self.stored([row], variables).items()}
                good = schema.checksum(values, variables) == values["crc32"]
            except InputError:
                good = False
            if not good:
                bad.append(row)
        return bad

    def intact(self, indices: Iterable[int]) -> np.ndarray:
        """Return rows as `_rows` does, each compared with its checksum once a process."""
        rows = self._rows(indices)
        new = [row for row in rows.tolist() if row not in self._compared]
        for row in self.damaged(rows=new)[:1]:
            raise InputError(
                f"{self.path}: sample {row} is damaged, its checksum differs; {REMEDY}"
            )
        self._compared.update(new)
        return rows

    def _read(self, name: str, indices: Iterable[int]) -> np.ndarray:
        rows = self._rows(indices)
        first = self._variable(0, name)
        dtype = first.dtype if first.dtype.kind != "S" else np.dtype(("S", self.widths[name]))
        values = np.empty((len(rows), *first.shape[1:]), dtype)
        for place, (part, start, stop) in _runs(rows, self._starts):
            with reading(self.files[part], REMEDY):
                values[place : place + stop - start] = self._variable(part, name)[start:stop]
        return values

    def _rows(self, indices: Iterable[int]) -> np.ndarray:
        rows = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if rows.size and (rows.ndim != 1 or rows.dtype.kind not in "iu"):
            raise InputError(f"{self.path}: samples are named by whole numbers, not {rows.dtype}")
        for row in rows[(rows < 0) | (rows >= self.samples)][:1]:
            raise InputError(f"sample {row}: {self.path} has samples 0 to {self.samples - 1}")
        return rows.astype(np.int64)

    def _variable(self, part: int, name: str) -> h5py.Dataset:
        """Return a variable; looking it up by name costs as much as reading one sample of it."""
        file, variables = self._open(part)
        if name not in variables:
            with reading(self.files[part], REMEDY):
                variables[name] = file[name]
        return variables[name]

    def _open(self, part: int) -> tuple[h5py.File, dict[str, h5py.Dataset]]:
        """Return a file, and those of its variables that were looked up."""
        if self._process != os.getpid():
            # HDF5 handles do not survive a fork.
            self._opened, self._process = {}, os.getpid()
        opened = self._opened.get(part)
        if opened is None:
            formats = () if part in self._checked else self.formats
            file = open_file(self.files[part], formats, finished=self._finished)
            self._checked.add(part)
            opened = self._opened[part] = (file, {})
            for oldest in list(self._opened)[:-MOST_OPEN]:
                # Not closed: HDF5 does that when nobody reads from it any more.
                self._opened.pop(oldest, None)
        return opened


class DatasetReader(VelocityReader):
    """A complete data set, opened for reading; use it as a context manager.

    Parameters are those of `VelocityReader`, whose attributes and methods it has too.

    Attributes
    ----------
    config
        The configuration that it was made with.
    identity
        Short hash of the whole content: settings and every sample's checksum.
    gather_shape
        (source, receiver, time).
    time, wavelet
        float64 coordinate [time], s, and the source wavelet [time].
    shard
        (i, n) where this is part i of n of a data set; None for a folder of parts.
    """

    formats = (schema.FORMAT,)
    config: Config

    def _read_header(self, file: h5py.File) -> None:
        self.config = parse_config(file.attrs["config"], origin=str(self.path))
        self.velocity_shape = tuple(self.config.velocity.shape)
        self.spacing = self.config.velocity.spacing
        self.gather_shape: tuple[int, int, int] = file["gathers"].shape[1:]
        self.time, self.wavelet = file["time"][...], file["wavelet"][...]
        shard = None if self.path.is_dir() else file.attrs.get("shard")
        self.shard: tuple[int, int] | None = None if shard is None else tuple(map(int, shard))

    @cached_property
    def identity(self) -> str:
        """Short hash of settings and content."""
        return schema.identity_of(schema.data_settings(self.config), self.checksums)

    @property
    def numbers(self) -> np.ndarray:
        return np.arange(self.samples)

    @property
    def attributes(self) -> dict[str, Any]:
        return {**super().attributes, "identity": self.identity}

    @cached_property
    def splits(self) -> np.ndarray:
        """Split of each sample, uint8 [sample]: 0 train, 1 validation, 2 test."""
        return self._read("split", range(self.samples))

    @cached_property
    def sample_indices(self) -> np.ndarray:
        """Index that each sample was drawn with, uint64 [sample]."""
        return self._read("index", range(self.samples))

    @cached_property
    def span(self) -> range:
        """The samples of a part by their numbers, which follow each other."""
        first = int(self.sample_indices[0])
        if not np.array_equal(self.sample_indices, np.arange(first, first + self.samples)):
            raise InputError(
                f"{self.path}: holds chosen samples of a data set (an export?); a part's samples"
                " follow each other"
            )
        return range(first, first + self.samples)

    def indices(self, split: str = "all") -> np.ndarray:
        """Return the rows of a split ("train", "validation", "test" or "all"), int64 [sample]."""
        if split == "all":
            return np.arange(self.samples)
        if split not in schema.SPLITS:
            raise InputError(f"split = {split!r}: must be one of {', '.join(schema.SPLITS)}, all")
        return np.flatnonzero(self.splits == schema.SPLITS.index(split))

    def column(self, name: str, indices: Iterable[int]) -> np.ndarray:
        return self.read_gathers(indices) if name == "gathers" else super().column(name, indices)

    def read_gathers(self, indices: Iterable[int]) -> np.ndarray:
        """Return gathers, float32 [sample, source, receiver, time]."""
        rows = self.intact(indices)
        gathers = np.empty((len(rows), *self.gather_shape), dtype=np.float32)
        for place, (part, start, stop) in _runs(rows, self._starts):
            with reading(self.files[part], REMEDY):
                stored = self._variable(part, "gathers")[start:stop]
            gathers[place : place + stop - start] = stored
        if self.config.dataset.storage == "float16":
            gathers *= self._scales[rows][:, None, None, None]
        return gathers

    @cached_property
    def _scales(self) -> np.ndarray:
        return self._read("gathers_scale", range(self.samples))

    def read_dead_traces(self, indices: Iterable[int]) -> np.ndarray:
        """Return which traces record nothing, bool [sample, source, receiver]."""
        return self._read("dead_trace", indices)

    def read_survey(self, index: int) -> dict[str, np.ndarray]:
        """Return one sample's source and receiver positions, float64, m."""
        return {name: self._read(name, [index])[0] for name in schema.SURVEY_VARIABLES}

    def seeds(self, indices: Iterable[int]) -> np.ndarray:
        """Return the seed and index that each sample was drawn with, uint64 [sample, 2]."""
        rows = list(indices)
        return np.stack([self._read("seed", rows), self._read("index", rows)], axis=1)


def _runs(rows: np.ndarray, starts: np.ndarray) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """Yield each run of rows that follow each other in one file: place, (file, start, stop)."""
    parts = np.searchsorted(starts, rows, side="right") - 1
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(parts) != 0)) + 1
    places = [0, *breaks.tolist(), len(rows)]
    for first, last in pairwise(places):
        if first < last:
            start = int(rows[first] - starts[parts[first]])
            yield first, (int(parts[first]), start, start + last - first)


def open_file(path: Path, formats: Sequence[str] = (), *, finished: bool = True) -> h5py.File:
    """Open one HDF5 file for reading; ``formats``: refuse what is not whole and of these kinds."""
    if not path.is_file():
        left = f"; {unfinished_path(path).name} is, {FINISH}" * unfinished_path(path).is_file()
        raise InputError(f"{path}: no such file{left}")
    try:
        # Finished files do not change, and not every file system has locks.
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: not an HDF5 file") from None
        reason = "truncated" if "truncated" in str(error) else str(error).partition("\n")[0]
        raise InputError(f"{path}: {reason}; {REMEDY}") from None
    try:
        with reading(path, REMEDY):
            if formats:
                _check(path, file, formats, finished)
    except BaseException:
        file.close()
        raise
    return file


def _check(path: Path, file: h5py.File, formats: Sequence[str], finished: bool) -> None:
    """Refuse a file whose header, variables or axes are not what its kind has."""
    found = file.attrs.get("format")
    if not isinstance(found, str) or found not in formats:
        what = "no format" if found is None else f"format {found!r}"
        raise InputError(f"{path}: not a {formats[0]} file (it has {what})")
    number = float(file.attrs.get("version", 0))
    if number > schema.VERSION:
        raise InputError(
            f"{path}: version {number:g} is newer than this program reads ({schema.VERSION});"
            " update seistomo"
        )
    if finished and not file.attrs.get("complete", False):
        raise InputError(f"{path}: unfinished; {FINISH}")
    if finished:
        kept = text(file, "checksum") if "checksum" in file.attrs else ""
        if not kept.startswith(schema.CHECKSUM_RULE):
            raise InputError(
                f"{path}: made by an earlier version of seistomo, with other checksums; {REMEDY}"
            )
        if kept != file_checksum(file):
            raise ValueError("the checksum of its attributes, axes and columns differs")
    config = None
    if found == schema.FORMAT:
        config = parse_config(file.attrs["config"], origin=str(path))
        axes = schema.axes_of(config)
        _check_parts(path, file)
    else:
        axes = schema.grid_axes(file["velocity"].shape[1:], float(file.attrs["spacing"]))
    variables = schema.variables_of(config)
    if "velocity_std" in file:
        variables = variables | schema.STD_VARIABLES
    missing = [name for name in ("sample", *axes, *variables) if name not in file]
    if missing:
        raise InputError(f"{path}: damaged, {', '.join(missing)} missing; {REMEDY}")
    for name, (values, _) in axes.items():
        if file[name].shape != values.shape or not np.allclose(file[name][...], values, rtol=1e-9):
            raise ValueError(f"{name} is not the axis that its settings say")
    lengths = {name: len(values) for name, (values, _) in axes.items()}
    lengths["sample"] = len(file["sample"])
    if not lengths["sample"]:
        raise ValueError("it holds no samples")
    for name, variable in variables.items():
        stored, expected = file[name], tuple(lengths[d] for d in variable.dimensions)
        is_text = h5py.check_string_dtype(stored.dtype) is not None
        fits = is_text if variable.dtype == "str" else stored.dtype == variable.dtype
        if stored.shape != expected or not fits:
            raise ValueError(f"{name} is {stored.dtype} {list(stored.shape)}")
        outside = stored.external or (stored.is_virtual and "parts" not in file.attrs)
        if outside or not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{name} lies outside of the file")


def _check_parts(path: Path, file: h5py.File) -> None:
    """Refuse a virtual set whose parts are not those that it was made of."""
    parts = json.loads(file.attrs.get("parts", "{}"))
    for name, identity in parts.items():
        if not (path.parent / name).is_file():
            raise InputError(f"{path}: refers to {name}, which is gone")
        with open_file(path.parent / name, [schema.FORMAT]) as held:
            if text(held, "identity") != identity:
                raise InputError(f"{path}: refers to {name}, which holds other samples now")
    for name in schema.LARGE if parts else ():
        for source in file[name].virtual_sources():
            if source.file_name not in parts:
                raise ValueError(f"{name} refers to {source.file_name}, which is none of its parts")


def text(file: h5py.File, name: str) -> str:
    """Return an attribute of fixed or any length."""
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


class _Predictions(VelocityReader):
    formats = (schema.PREDICTIONS_FORMAT,)


def read_predictions(path: str | Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Return the velocity of a predictions file, float32 [sample, depth, x] in m/s.

    And its rows in the data set, int64 [sample], and root attributes.
    """
    with _Predictions(path) as file:
        return file.read_velocity(range(file.samples)), file.numbers, file.attributes


def file_format(path: str | Path) -> str | None:
    """Return the ``format`` attribute of an HDF5 file, or None if it is another kind of file."""
    if not Path(path).is_file() or not h5py.is_hdf5(path):
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            held = file.attrs.get("format")
    except OSError:
        return None
    return held if isinstance(held, str) else None
