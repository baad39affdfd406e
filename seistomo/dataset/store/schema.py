"""What the files hold: names, types, dimensions, units and checksums; one place for all of them.

Three kinds of HDF5 files share one layout (dimension scales attached, so that xarray opens them
through h5netcdf): a data set; a velocity file, which is a data set without gathers; predictions,
which are a velocity file of a network. ``sample`` counts models; ``depth`` and ``x`` are the grid
in m; ``source`` and ``receiver`` count positions of the survey; ``time`` is in s.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from seistomo.config import Config
from seistomo.config.schema import first_difference

FORMAT = "seistomo"
VELOCITY_FORMAT = "seistomo-velocity"
PREDICTIONS_FORMAT = "seistomo-predictions"
VERSION = 1
# What the checksum of a file begins with: the rule that it and those of the samples follow.
CHECKSUM_RULE = "2-"
SPLITS = ("train", "validation", "test")

# Speeds that rock, soil and water may have, m/s: beyond them a unit or a sign is wrong.
SLOWEST, FASTEST = 50.0, 20_000.0

# Settings that change speed or place of the work, never a stored byte.
PERFORMANCE_KEYS = (
    ("simulation", "models_per_call"),
    ("dataset", "shard_samples"),
    ("training", "device"),
    ("training", "threads"),
    ("training", "cache_memory"),
)
# Sections that a sample's content depends on.
DATA_SECTIONS = ("velocity", "survey", "simulation", "dataset")


class Variable(NamedTuple):
    """A variable with a sample axis: its type (``str`` for text), dimensions, unit and meaning."""

    dtype: str
    dimensions: tuple[str, ...]
    units: str
    long_name: str


_NUMBER, _GRID = ("sample",), ("sample", "depth", "x")
# The checksum comes first: a row whose checksum is 0 has not been written.
MODEL_VARIABLES = {
    "crc32": Variable("u4", _NUMBER, "1", "checksum of all else that belongs to the sample"),
    "velocity": Variable("f4", _GRID, "m/s", "P-wave speed"),
    "salt_mask": Variable("bool", _GRID, "1", "true inside salt"),
    "family": Variable("str", _NUMBER, "1", "family of the velocity model"),
    "parameters": Variable("str", _NUMBER, "1", "what was drawn, JSON"),
}
# What predictions of an ensemble hold beside.
STD_VARIABLES = {"velocity_std": Variable("f4", _GRID, "m/s", "standard deviation over members")}
SURVEY_VARIABLES = {
    "source_x": Variable("f8", ("sample", "source"), "m", "horizontal source position"),
    "source_depth": Variable("f8", ("sample", "source"), "m", "depth of the source"),
    "receiver_x": Variable("f8", ("sample", "receiver"), "m", "horizontal receiver position"),
    "receiver_depth": Variable("f8", ("sample", "receiver"), "m", "depth of the receiver"),
}
_TRACES = ("sample", "source", "receiver", "time")
WAVELET = Variable("f8", ("time",), "1", "source wavelet")
# What only the store needs.
INNER = ("crc32", "gathers_scale")
# What a virtual data set leaves in the files it refers to.
LARGE = ("velocity", "gathers", "salt_mask", "dead_trace")


def variables_of(config: Config | None) -> dict[str, Variable]:
    """Return the variables with a sample axis of a data set, or without one of a velocity file."""
    if config is None:
        return MODEL_VARIABLES
    variables = MODEL_VARIABLES | {
        "seed": Variable("u8", _NUMBER, "1", "seed that the sample was drawn with"),
        "index": Variable("u8", _NUMBER, "1", "index that the sample was drawn with"),
        "split": Variable("u1", _NUMBER, "1", "0 train, 1 validation, 2 test"),
        **SURVEY_VARIABLES,
        "dead_trace": Variable("bool", _TRACES[:3], "1", "records nothing"),
    }
    kind, name = "f4", "recorded pressure"
    if config.dataset.storage == "float16":
        kind, name = "f2", "recorded pressure (times gathers_scale)"
        variables["gathers_scale"] = Variable("f4", _NUMBER, "1", "factor on the float16 gathers")
    # Last: text and other small variables lie together at the beginning of a file.
    return variables | {"gathers": Variable(kind, _TRACES, "1", name)}


def axes_of(config: Config) -> dict[str, tuple[np.ndarray, str]]:
    """Return coordinates and unit of each dimension but ``sample`` of a data set."""
    survey = config.survey
    return {
        **grid_axes(config.velocity.shape, config.velocity.spacing),
        "source": (np.arange(survey.sources), "1"),
        "receiver": (np.arange(survey.receivers), "1"),
        "time": (np.arange(survey.time_samples) * survey.time_step, "s"),
    }


def grid_axes(shape: tuple[int, int], spacing: float) -> dict[str, tuple[np.ndarray, str]]:
    """Return coordinates and unit of a grid's two dimensions."""
    depth, x = (np.arange(nodes) * spacing for nodes in shape)
    return {"depth": (depth, "m"), "x": (x, "m")}


def grid_settings(shape: tuple[int, int], spacing: float) -> dict[str, Any]:
    """Return what the identity of velocity models depends on beside the models."""
    return {"shape": [int(nodes) for nodes in shape], "spacing": float(spacing)}


def stored_config(config: Config) -> Config:
    """Return ``config`` with settings of speed alone put back to their defaults."""
    values = config.model_dump(exclude_none=True)
    for section, key in PERFORMANCE_KEYS:
        values[section].pop(key, None)
    return Config.model_validate(values)


def data_settings(config: Config) -> dict[str, Any]:
    """Return what one sample's content depends on, as flat ``section.key`` values."""
    values = stored_config(config).model_dump(mode="json")
    settings = {
        f"{section}.{key}": value
        for section in DATA_SECTIONS
        for key, value in values[section].items()
    }
    del settings["dataset.samples"]
    # The wavelet itself is stored; where it was read from may differ from machine to machine.
    settings.pop("survey.wavelet_file", None)
    return settings


def data_difference(config: Config, other: Config) -> tuple[str, Any, Any] | None:
    """Return the first setting that data sets of two configurations differ in, and both values."""
    return first_difference(data_settings(config), data_settings(other))


def with_samples(config: Config, samples: int) -> Config:
    dataset = config.dataset.model_copy(update={"samples": samples})
    return config.model_copy(update={"dataset": dataset})


def stored_bytes(config: Config) -> int:
    """Return the bytes that one sample takes in the data set."""
    survey, (depth, x) = config.survey, config.velocity.shape
    each = 2 if config.dataset.storage == "float16" else 4
    traces = survey.sources * survey.receivers
    return traces * (survey.time_samples * each + 1) + depth * x * 5 + 4096


def text_of(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def checksum(values: Mapping[str, Any], names: Mapping[str, Variable]) -> int:
    """Return the CRC-32, never 0, of some variables of one sample as they are stored."""
    total = 0
    for name in [name for name in names if name != "crc32"]:
        value, kind = values[name], names[name].dtype
        if kind == "str":
            value = value if isinstance(value, bytes) else value.encode()
        else:
            value = np.ascontiguousarray(value, kind)
        total = zlib.crc32(value, total)
    return total or 1


def identity_of(settings: Mapping[str, Any], checksums: np.ndarray) -> str:
    """Return a short hash of a file's content: settings and checksums of all samples."""
    digest = hashlib.sha256(text_of(settings).encode())
    digest.update(np.ascontiguousarray(checksums, dtype="<u4").tobytes())
    return digest.hexdigest()[:16]


def split_of(indices: np.ndarray, shares: tuple[int, int, int]) -> np.ndarray:
    """Return the split (0 train, 1 validation, 2 test) of each index, uint8 [sample].

    Each period of ``sum(shares)`` samples holds exactly the shares asked for, spread evenly, and
    a sample's split depends on its index alone: it stays when the set grows.
    """
    total, counts = sum(shares), np.zeros(3, dtype=np.int64)
    weights = np.asarray(shares, dtype=np.int64)
    pattern = np.empty(total, dtype=np.uint8)
    for place in range(total):
        # The split that is furthest behind its share comes next (integers: no rounding).
        behind = weights * (place + 1) - counts * total
        behind[counts >= weights] = np.iinfo(np.int64).min
        pattern[place] = int(np.argmax(behind))
        counts[pattern[place]] += 1
    return pattern[np.asarray(indices, dtype=np.int64) % total]


@cache
def software_versions() -> str:
    """Return the versions that a sample's bytes may depend on, as JSON."""
    return json.dumps(versions_of("seistomo", "deepwave", "torch", "numpy", "scipy"))


def versions_of(*names: str) -> dict[str, str]:
    """Return the versions of packages by name."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions
