"""Whole files from arrays: small data sets and predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.dataset.store.hdf5 import hdf5_for_writing
from seistomo.dataset.store.writer import DatasetWriter, Sample
from seistomo.errors import InputError
from seistomo.files import written_whole


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
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another name or pass overwrite")
    if not count:
        raise InputError("velocity: holds no samples; give at least one")
    if len(gathers) != count:
        raise InputError(f"gathers: {len(gathers)} samples, but velocity has {count}")
    if salt_mask is None:
        salt_mask = np.asarray(velocity) > config.evaluation.salt_threshold
    if dead_trace is None:
        dead_trace = np.zeros(np.shape(gathers)[:3], dtype=bool)
    if wavelet is None:
        wavelet = np.zeros(config.survey.time_samples)
    positions = config.survey.positions(config.velocity.x_extent)
    splits = schema.split_of(np.arange(count), config.dataset.split)
    config = schema.with_samples(config, count)
    with (
        written_whole(path) as temporary,
        DatasetWriter(temporary, config, count, wavelet) as writer,
    ):
        for i in range(count):
            writer.append(
                Sample(
                    velocity=velocity[i],
                    gathers=gathers[i],
                    salt_mask=salt_mask[i],
                    dead_trace=dead_trace[i],
                    **positions,
                    index=i,
                    seed=config.dataset.seed,
                    split=int(splits[i]),
                    family=family[i] if family is not None else "imported",
                    parameters=parameters[i] if parameters is not None else {},
                )
            )
    return path


def write_predictions(
    path: Path,
    velocity: np.ndarray,
    indices: np.ndarray,
    depth: np.ndarray,
    x: np.ndarray,
    attributes: Mapping[str, str],
) -> None:
    """Write predicted velocity models; the file appears whole or not at all.

    Parameters
    ----------
    path
        The file.
    velocity
        float32 [sample, depth, x], m/s.
    indices
        Row of each prediction in its data set, int64 [sample].
    depth, x
        Coordinates of the grid, m.
    attributes
        Text kept in the root attributes (data set, run, checkpoint ...).
    """
    with written_whole(Path(path)) as temporary, hdf5_for_writing(temporary) as (file, _):
        coordinates = {"sample": (np.asarray(indices), "1"), "depth": (depth, "m"), "x": (x, "m")}
        for name, (values, units) in coordinates.items():
            scale = file.create_dataset(name, data=values)
            scale.make_scale(name)
            scale.attrs["units"] = units
        spec = schema.SAMPLE_VARIABLES["velocity"]
        shape = np.shape(velocity)
        variable = file.create_dataset("velocity", shape, "f4", chunks=(1, *shape[1:]))
        variable[...] = velocity
        for axis, dimension in enumerate(spec.dimensions):
            variable.dims[axis].attach_scale(file[dimension])
        variable.attrs["units"] = spec.units
        file.attrs["format"] = schema.PREDICTIONS_FORMAT
        file.attrs["version"] = schema.VERSION
        for name, text in attributes.items():
            file.attrs[name] = text
        file.attrs["complete"] = True
