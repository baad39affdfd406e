"""Write files whose rows lie at places that are known before the first one is written.

`create` has HDF5 lay out a whole file: every variable at full length, nothing in it. After that
`RowWriter` puts rows where they belong with plain writes, in any order and from several processes
if need be, while HDF5's own bookkeeping stays as it is; `finish` changes a few bytes in place. So
a process that is killed never leaves a file that HDF5 cannot open, each sample is written once, and
a file's bytes do not depend on who wrote its rows when.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.errors import InputError
from seistomo.files import require_file, written_whole

# Attributes that `finish` sets, of fixed length so that it does so in place.
_SHORT_TEXT = np.dtype("S16")
# What HDF5 may need beside the variables, bytes.
_BOOKKEEPING = 2**16


def create(
    path: Path,
    samples: int,
    axes: Mapping[str, tuple[np.ndarray, str]],
    variables: Mapping[str, schema.Variable],
    attributes: Mapping[str, Any],
    widths: Mapping[str, int],
    wavelet: np.ndarray | None = None,
    links: Sequence[tuple[str, int]] = (),
) -> None:
    """Create a file of ``samples`` rows, none of them written.

    ``widths`` has the bytes of each text variable; attributes that are None are left out. ``links``
    are other files, (path, samples) in order, that hold the large variables: the new file refers to
    them, as a virtual data set.
    """
    axes = {"sample": (np.arange(samples), "1"), **axes}
    sizes = {name: len(values) for name, (values, _) in axes.items()}
    length = sum(
        math.prod(sizes[dimension] for dimension in variable.dimensions)
        * (widths[name] if variable.dtype == "str" else np.dtype(variable.dtype).itemsize)
        for name, variable in variables.items()
        if not (links and name in schema.LARGE)
    )
    # A full disk must not come to HDF5, which cannot close a file that it could not write.
    _require_room(path, _BOOKKEEPING + 8 * sum(sizes.values()) + 4096 * len(links), length)
    with h5py.File(path, "w", locking=False) as file:
        for name, (values, units) in axes.items():
            scale = file.create_dataset(name, data=values)
            scale.make_scale(name)
            scale.attrs["units"] = units
        for name, variable in variables.items():
            shape = tuple(sizes[dimension] for dimension in variable.dimensions)
            kind = variable.dtype
            dtype = h5py.string_dtype("utf-8", widths[name]) if kind == "str" else np.dtype(kind)
            if links and name in schema.LARGE:
                layout, start = h5py.VirtualLayout(shape, dtype), 0
                for part, count in links:
                    held = h5py.VirtualSource(part, name, (count, *shape[1:]))
                    layout[start : start + count] = held
                    start += count
                _describe(file.create_virtual_dataset(name, layout), variable, file)
            else:
                _describe(file.create_dataset(name, shape, dtype), variable, file)
        if wavelet is not None:
            values = np.asarray(wavelet, dtype=np.float64)
            _describe(file.create_dataset("wavelet", data=values), schema.WAVELET, file)
        versions = {"version": schema.VERSION, "software": schema.software_versions()}
        for name, value in {**attributes, **versions}.items():
            if value is not None:
                file.attrs[name] = value
        file.attrs["identity"] = file.attrs["checksum"] = np.zeros((), _SHORT_TEXT)
        file.attrs["complete"] = False
        for name in variables:
            if not file[name].is_virtual:
                # HDF5 gives a variable its place in the file with the first write.
                file[name][(-1,) * file[name].ndim] = np.zeros((), file[name].dtype)


def create_dataset(
    path: Path,
    config: Config,
    samples: int,
    wavelet: np.ndarray,
    widths: Mapping[str, int],
    links: Sequence[tuple[str, int]] = (),
    **attributes: Any,
) -> None:
    config = schema.stored_config(config)
    axes, variables = schema.axes_of(config), schema.variables_of(config)
    attributes = {"format": schema.FORMAT, "config": config.to_toml(), **attributes}
    create(path, samples, axes, variables, attributes, widths, wavelet, links)


class RowWriter:
    """Writes rows of a file that `create` made, the checksums only when the rows are on disk.

    ``shared`` is for processes on several machines: each write then reaches the disk alone,
    without what this machine remembers of the bytes around it.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._places = {}
        with h5py.File(path, "r", locking=False) as file:
            for name in file:
                variable = file[name]
                # The one thing that h5py's own interface does not tell.
                offset = variable.id.get_offset()
                if offset is not None and not variable.is_scale and name != "wavelet":
                    self._places[name] = (offset, variable.dtype, variable.shape[1:])
        self._handle = os.open(path, os.O_RDWR | (os.O_DSYNC if shared else 0))
        self._checksums: list[tuple[int, np.ndarray]] = []
        self.names = tuple(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def write(self, row: int, samples: Sequence[Mapping[str, Any]]) -> None:
        """Write samples, as `pack_sample` gives them, from ``row`` on."""
        columns = {name: [sample[name] for sample in samples] for name in samples[0]}
        self.write_columns(row, columns)

    def write_columns(self, row: int, columns: Mapping[str, Any]) -> None:
        """Write variables [sample, ...] from ``row`` on."""
        for name, values in columns.items():
            if name not in self._places:
                # A virtual set's large variables.
                continue
            dtype = self._places[name][1]
            if dtype.kind == "S":
                values = [v if isinstance(v, bytes) else v.encode() for v in values]
                longest = max(map(len, values))
                if longest > dtype.itemsize:
                    raise InputError(
                        f"row {row}: {name} takes {longest} bytes, more than the {dtype.itemsize}"
                        " that the file has room for"
                    )
            values = np.ascontiguousarray(values, dtype)
            if name == "crc32":
                self._checksums.append((row, values))
            else:
                self._write(name, row, values)

    def flush(self) -> None:
        """Bring all rows to the disk, then say so in the file."""
        os.fsync(self._handle)
        for row, values in self._checksums:
            self._write("crc32", row, values)
        self._checksums.clear()

    def _write(self, name: str, row: int, values: np.ndarray) -> None:
        offset, dtype, shape = self._places[name]
        offset += row * dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        _write_at(self._handle, values.data.cast("B"), offset)


def finish(path: Path, settings: Mapping[str, Any]) -> None:
    """Give a file whose rows are all written its identity, its checksum and, last, its flag."""
    with h5py.File(path, "r+", locking=False) as file:
        identity = schema.identity_of(settings, file["crc32"][...])
        file.attrs.modify("identity", np.array(identity, _SHORT_TEXT))
        file.attrs.modify("checksum", np.array(file_checksum(file), _SHORT_TEXT))
        file.flush()
        file.attrs.modify("complete", True)


def file_checksum(file: h5py.File) -> str:
    """Return a hash of all that a file holds beside its samples, and of their numbers and sums.

    That is attributes, axes and what has one number a sample: what takes no time to read.
    """
    held = {
        name: str(np.asarray(value).astype(str).tolist())
        for name, value in file.attrs.items()
        if name not in ("checksum", "complete")
    }
    for name, variable in file.items():
        # Lists of references to axes are slow to read; that they are there must do.
        about = {key: key.endswith("_LIST") or str(variable.attrs[key]) for key in variable.attrs}
        held[f"{name}: about"] = schema.text_of(about)
        if variable.ndim == 1 and variable.dtype.kind in "iuf":
            held[name] = variable[...].tobytes().hex()
    digest = schema.identity_of(held, np.empty(0))
    return schema.CHECKSUM_RULE + digest[len(schema.CHECKSUM_RULE) :]


def _describe(variable: h5py.Dataset, spec: schema.Variable, file: h5py.File) -> None:
    for axis, dimension in enumerate(spec.dimensions):
        variable.dims[axis].attach_scale(file[dimension])
    variable.attrs["units"], variable.attrs["long_name"] = spec.units, spec.long_name
    if spec.dtype == "str":
        variable.attrs["_Encoding"] = "utf-8"  # xarray gives text then, not bytes


def _require_room(path: Path, size: int, length: int, offset: int = 0) -> None:
    """Raise the `OSError` of a full disk if there is no room for ``size`` bytes at ``offset``.

    Or if a file may not have ``length`` bytes more.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _write_at(handle, memoryview(bytes(size)), offset)
        _write_at(handle, memoryview(b"\0"), offset + size + length)
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_at(handle: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def pack_sample(
    config: Config,
    *,
    velocity: np.ndarray,
    gathers: np.ndarray,
    salt_mask: np.ndarray,
    family: str,
    parameters: Mapping[str, Any],
    index: int,
    **others: Any,
) -> dict[str, Any]:
    """Return a sample as it is stored, one value a variable, checked and compressed.

    ``others`` are seed, split, dead_trace and the positions of the survey. Several threads may pack
    samples while one writes.
    """
    velocity = np.ascontiguousarray(velocity, dtype=np.float32)
    gathers = np.ascontiguousarray(gathers, dtype=np.float32)
    require_speeds(velocity, f"sample {index}")
    weakest, strongest = float(np.min(gathers)), float(np.max(gathers))
    if not np.isfinite([weakest, strongest]).all():
        raise InputError(f"sample {index}: gathers must be finite numbers")
    values = {"velocity": velocity, "salt_mask": salt_mask, "gathers": gathers}
    if config.dataset.storage == "float16":
        values["gathers"], values["gathers_scale"] = compress(gathers, max(-weakest, strongest))
    values |= {"family": family, "parameters": schema.text_of(parameters), "index": index, **others}
    variables = schema.variables_of(config)
    lengths = {name: len(axis) for name, (axis, _) in schema.axes_of(config).items()}
    for name, value in values.items():
        dimensions = variables[name].dimensions[1:]
        expected = tuple(lengths[dimension] for dimension in dimensions)
        if np.shape(value) != expected:
            raise InputError(
                f"{name}: has shape {list(np.shape(value))}, but the config says"
                f" [{', '.join(dimensions)}] = {list(expected)}"
            )
    values["crc32"] = schema.checksum(values, variables)
    return values


def compress(gathers: np.ndarray, peak: float) -> tuple[np.ndarray, np.float32]:
    """Return gathers, whose largest absolute value is ``peak``, as float16 and the factor on them.

    The factor is a power of two that brings the peak to between 16,384 and 32,768, so scaling is
    exact and values down to 4e-9 of the peak keep float16's 11 bits.
    """
    exponent = int(np.frexp(peak)[1]) - 15 if peak > 0 else 0
    exponent = max(exponent, -126)
    import torch

    # Torch rounds as numpy does, many times faster, and needs no array in between.
    scaled = torch.empty(gathers.shape, dtype=torch.float16)
    torch.mul(torch.from_numpy(gathers), 2.0**-exponent, out=scaled)
    return scaled.numpy(), np.float32(2.0**exponent)


def require_speeds(velocity: np.ndarray, name: str) -> None:
    """Refuse a model that holds what is no speed of rock in m/s."""
    low, high = float(np.min(velocity)), float(np.max(velocity))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name}: velocity must be finite numbers")
    if low < schema.SLOWEST or high > schema.FASTEST:
        raise InputError(
            f"{name}: velocity = {low:g} to {high:g}: must be in m/s, between"
            f" {schema.SLOWEST:g} and {schema.FASTEST:g}"
        )


def write_dataset(
    path: str | Path,
    config: Config,
    velocity: np.ndarray,
    gathers: np.ndarray,
    *,
    wavelet: np.ndarray | None = None,
    salt_mask: np.ndarray | None = None,
    dead_trace: np.ndarray | None = None,
    family: Sequence[str] | None = None,
    parameters: Sequence[Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a data set from arrays, your own measurements for example.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    config
        Its velocity grid, survey and split describe the arrays.
    velocity
        float32 [sample, depth, x], m/s.
    gathers
        float32 [sample, source, receiver, time].
    wavelet
        float64 [time]; zeros if unknown.
    salt_mask
        bool [sample, depth, x]; left out: speed above ``evaluation.salt_threshold``.
    dead_trace
        bool [sample, source, receiver]; left out: none.
    family, parameters
        One a sample; left out: "imported" and nothing.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the file exists, an array does not fit the config, a value is not finite, or a speed is
        no speed in m/s.
    """
    path, count = Path(path), len(velocity)
    require_file(path, overwrite)
    if not count:
        raise InputError("velocity: holds no samples; give at least one")
    for name, values in {"velocity": velocity, "gathers": gathers, "wavelet": wavelet}.items():
        if values is not None and np.asarray(values[:1]).dtype.kind not in "iuf":
            raise InputError(f"{name}: must be real numbers, not {np.asarray(values[:1]).dtype}")
    if salt_mask is None:
        salt_mask = np.asarray(velocity) > config.evaluation.salt_threshold
    if dead_trace is None:
        dead_trace = np.zeros(np.shape(gathers)[:3], dtype=bool)
    if wavelet is None:
        wavelet = np.zeros(config.survey.time_samples)
    family = ["imported"] * count if family is None else family
    parameters = [{}] * count if parameters is None else parameters
    given = {
        **{"velocity": velocity, "gathers": gathers, "salt_mask": salt_mask},
        **{"dead_trace": dead_trace, "family": family, "parameters": parameters},
    }
    for name, values in given.items():
        if len(values) != count:
            raise InputError(f"{name}: {len(values)} samples, but velocity has {count}")
    survey = config.survey.positions(config.velocity.x_extent)
    splits = schema.split_of(np.arange(count), config.dataset.split)
    samples = [
        {
            **{name: values[i] for name, values in given.items()},
            **{"index": i, "seed": config.dataset.seed, "split": splits[i], **survey},
        }
        for i in range(count)
    ]
    with written_whole(path) as temporary:
        write_samples(temporary, schema.with_samples(config, count), samples, wavelet)
    return path


def write_samples(
    path: Path,
    config: Config,
    samples: Sequence[Mapping[str, Any]],
    wavelet: np.ndarray,
    shard: tuple[int, int] | None = None,
) -> None:
    """Write a data set of samples, each of them what `pack_sample` takes; not at once whole."""
    widths = {
        "family": max(2, *(len(sample["family"].encode()) for sample in samples)),
        "parameters": max(len(schema.text_of(sample["parameters"])) for sample in samples),
    }
    create_dataset(path, config, len(samples), wavelet, widths, shard=shard)
    with RowWriter(path) as writer:
        for row, sample in enumerate(samples):
            writer.write(row, [pack_sample(config, **sample)])
        writer.flush()
    finish(path, schema.data_settings(config))


def write_velocity(
    path: str | Path,
    models: Iterable[Any],
    spacing: float,
    *,
    overwrite: bool = False,
) -> Path:
    """Write velocity models, your own arrays for example; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    models
        Each a `seistomo.velocity.VelocityModel`, all of one shape. If ``models`` has a length,
        memory holds one of them at a time.
    spacing
        Distance between nodes, m, both ways.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If the file exists, there is no model, one has another shape than the first, or holds what
        is no speed in m/s.
    """
    path = Path(path)
    require_file(path, overwrite)
    models = models if hasattr(models, "__len__") else list(models)
    if not len(models):
        raise InputError(f"{path}: no velocity models to write")
    values = (dict(vars(model)) for model in models)
    attributes = {"format": schema.VELOCITY_FORMAT}
    return _write_models(path, values, np.arange(len(models)), float(spacing), attributes)


def write_predictions(
    path: str | Path,
    velocity: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray | None]],
    indices: np.ndarray,
    depth: np.ndarray,
    x: np.ndarray,
    attributes: Mapping[str, str],
) -> None:
    """Write predicted velocity models, a velocity file; it appears whole or not at all.

    ``velocity`` gives models [depth, x], m/s, or pairs of an ensemble's mean and standard deviation
    (None for a single run); ``indices`` are their rows in the data set, the file's ``sample``
    coordinate; ``depth`` and ``x`` are the grid's, m. Of ``attributes``, text kept in the root
    (data set, run, checkpoint ...), ``salt_threshold``, m/s, says what is salt.
    """
    threshold = float(attributes.get("salt_threshold", "inf"))
    others = {"family": "predicted", "parameters": {}}

    def content(one: np.ndarray | tuple[np.ndarray, np.ndarray | None]) -> dict[str, Any]:
        mean, std = one if isinstance(one, tuple) else (one, None)
        held = {"velocity": mean, "salt_mask": mean > threshold, **others}
        return held if std is None else held | {"velocity_std": std}

    models = map(content, velocity)
    attributes = {"format": schema.PREDICTIONS_FORMAT, **attributes}
    _write_models(Path(path), models, np.asarray(indices), float(x[1] - x[0]), attributes)


def _write_models(
    path: Path,
    models: Iterable[dict[str, Any]],
    sample: np.ndarray,
    spacing: float,
    attributes: Mapping[str, str],
) -> Path:
    models = iter(models)
    first = next(models)
    shape = np.shape(first["velocity"])
    variables = schema.MODEL_VARIABLES
    if "velocity_std" in first:
        variables = variables | schema.STD_VARIABLES
    numbers = {name: v for name, v in variables.items() if v.dtype != "str"}
    texts, extremes = {"family": [], "parameters": []}, []
    with written_whole(path) as temporary:
        axes = schema.grid_axes(shape, spacing)
        create(temporary, len(sample), axes, numbers, {"spacing": spacing, **attributes}, {})
        with RowWriter(temporary) as writer:
            for row, values in enumerate(chain([first], models)):
                for name in ("velocity", "salt_mask"):
                    if np.shape(values[name]) != shape:
                        raise InputError(
                            f"model {row}: {name} has shape {list(np.shape(values[name]))}, the"
                            f" first model's is {list(shape)} (depth, x)"
                        )
                if attributes["format"] == schema.VELOCITY_FORMAT:
                    require_speeds(values["velocity"], f"model {row}")
                values["parameters"] = schema.text_of(values["parameters"])
                values["crc32"] = schema.checksum(values, variables)
                writer.write(row, [values])
                extremes += [float(np.min(values["velocity"])), float(np.max(values["velocity"]))]
                for name, lines in texts.items():
                    lines.append(values[name].encode())
            writer.flush()
        # What is known only now. HDF5 must not meet a full disk: see `create`.
        widths = {name: max(2, *map(len, lines)) for name, lines in texts.items()}
        size = sum(widths.values()) * len(sample) + _BOOKKEEPING
        _require_room(temporary, size, 0, os.path.getsize(temporary))
        with h5py.File(temporary, "r+", locking=False) as file:
            file["sample"][...] = sample
            file.attrs["minimum"], file.attrs["maximum"] = min(extremes), max(extremes)
            for name, lines in texts.items():
                dtype = h5py.string_dtype("utf-8", widths[name])
                variable = file.create_dataset(name, data=np.array(lines, dtype))
                _describe(variable, schema.MODEL_VARIABLES[name], file)
        finish(temporary, schema.grid_settings(shape, spacing))
    return path
