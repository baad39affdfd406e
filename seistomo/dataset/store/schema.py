"""What a data set file holds: names, types, dimensions and units; one place for writer and reader.

Layout (HDF5, dimension scales attached, so that xarray opens it through h5netcdf):
``sample`` counts pairs of model and gathers; ``depth`` and ``x`` are the grid in m;
``source`` and ``receiver`` count positions of the survey; ``time`` is in s.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from seistomo.config import Config

FORMAT = "seistomo"
PREDICTIONS_FORMAT = "seistomo-predictions"
VERSION = 1
SPLITS = ("train", "validation", "test")

# Settings that change speed or place of the work, never a stored byte.
PERFORMANCE_KEYS = (
    ("simulation", "models_per_call"),
    ("dataset", "shard_samples"),
    ("training", "device"),
    ("training", "threads"),
    ("training", "cache_memory"),
)
# Settings (or the beginning of their names) that came after the first files were written. At their
# defaults they mean what was meant before, and are neither stored nor hashed: files stay the same.
LATER_SETTINGS = (
    "velocity.imported",
    "velocity.layer_speeds",
    "velocity.openfwi_",
    "survey.source_jitter",
    "survey.receiver_jitter",
    "survey.corner_frequencies",
    "survey.delay",
    "simulation.free_surface",
    "simulation.density",
    "simulation.water_speed",
    "simulation.water_density",
    "simulation.salt_density",
)
# Sections that a sample's content depends on.
DATA_SECTIONS = ("velocity", "survey", "simulation", "dataset")


@dataclass(frozen=True)
class Variable:
    """One HDF5 variable: its type (``str`` for text), named dimensions, unit and meaning."""

    dtype: str
    dimensions: tuple[str, ...]
    units: str
    long_name: str


SAMPLE_VARIABLES = {
    "velocity": Variable("f4", ("sample", "depth", "x"), "m/s", "P-wave speed"),
    "gathers": Variable(
        "",
        ("sample", "source", "receiver", "time"),
        "1",
        "recorded pressure (float16: times gathers_scale)",
    ),
    "salt_mask": Variable("bool", ("sample", "depth", "x"), "1", "true inside salt"),
    "seed": Variable("u8", ("sample",), "1", "seed that the sample was drawn with"),
    "index": Variable("u8", ("sample",), "1", "index that the sample was drawn with"),
    "family": Variable("str", ("sample",), "1", "family of the velocity model"),
    "parameters": Variable("str", ("sample",), "1", "what was drawn, JSON"),
    "crc32": Variable("u4", ("sample",), "1", "checksum of velocity and gathers as stored"),
    "split": Variable("u1", ("sample",), "1", "0 train, 1 validation, 2 test"),
    "source_x": Variable("f8", ("sample", "source"), "m", "horizontal source position"),
    "source_depth": Variable("f8", ("sample", "source"), "m", "depth of the source"),
    "receiver_x": Variable("f8", ("sample", "receiver"), "m", "horizontal receiver position"),
    "receiver_depth": Variable("f8", ("sample", "receiver"), "m", "depth of the receiver"),
    "dead_trace": Variable("bool", ("sample", "source", "receiver"), "1", "records nothing"),
}
# What a virtual data set leaves in the files it refers to.
LARGE = ("velocity", "gathers", "salt_mask", "dead_trace")
GATHERS_SCALE = Variable("f4", ("sample",), "1", "factor on the float16 gathers")
WAVELET = Variable("f8", ("time",), "1", "source wavelet")


def sample_variables(storage: str) -> dict[str, Variable]:
    """Return the variables with a sample axis for ``float16`` or ``float32`` gathers."""
    variables = dict(SAMPLE_VARIABLES)
    gathers = variables["gathers"]
    kind = "f2" if storage == "float16" else "f4"
    variables["gathers"] = Variable(kind, gathers.dimensions, gathers.units, gathers.long_name)
    if storage == "float16":
        variables["gathers_scale"] = GATHERS_SCALE
    return variables


def stored_config(config: Config) -> Config:
    """Return ``config`` with settings of speed alone put back to their defaults."""
    values = config.model_dump(exclude_none=True)
    for section, key in PERFORMANCE_KEYS:
        values[section].pop(key, None)
    return Config.model_validate(values)


def config_text(config: Config) -> str:
    """Return the configuration as it is stored, TOML."""
    return stored_config(config).to_toml(without=_at_later_defaults(config))


def data_settings(config: Config) -> dict[str, object]:
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


def with_samples(config: Config, samples: int) -> Config:
    """Return ``config`` for another number of samples."""
    dataset = config.dataset.model_copy(update={"samples": samples})
    return config.model_copy(update={"dataset": dataset})


def stored_bytes(config: Config) -> int:
    """Return the bytes that one sample takes in the data set."""
    survey, (depth, x) = config.survey, config.velocity.shape
    each = 2 if config.dataset.storage == "float16" else 4
    traces = survey.sources * survey.receivers
    return traces * (survey.time_samples * each + 1) + depth * x * 5 + 4096


def identity_of(config: Config, checksums: np.ndarray) -> str:
    """Return a short hash of a data set's content: settings and checksums of all samples."""
    settings = data_settings(config)
    for key in _at_later_defaults(config):
        settings.pop(key, None)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(np.ascontiguousarray(checksums, dtype="<u4").tobytes())
    return digest.hexdigest()[:16]


def _at_later_defaults(config: Config) -> list[str]:
    """Return the dotted keys of `LATER_SETTINGS` that have their defaults."""
    found = []
    for section in DATA_SECTIONS:
        values = getattr(config, section)
        for key, info in type(values).model_fields.items():
            dotted = f"{section}.{key}"
            if dotted.startswith(LATER_SETTINGS) and getattr(values, key) == info.default:
                found.append(dotted)
    return found


def split_of(indices: np.ndarray, shares: tuple[int, int, int]) -> np.ndarray:
    """Return the split (0 train, 1 validation, 2 test) of each index, uint8 [sample].

    Each period of ``sum(shares)`` samples holds exactly the shares asked for, spread evenly, and
    a sample's split depends on its index alone: it stays when the set grows.
    """
    pattern = _spread(shares)
    return pattern[np.asarray(indices, dtype=np.int64) % len(pattern)]


def _spread(shares: tuple[int, int, int]) -> np.ndarray:
    total, counts = sum(shares), np.zeros(3, dtype=np.int64)
    weights = np.asarray(shares, dtype=np.int64)
    pattern = np.empty(total, dtype=np.uint8)
    for place in range(total):
        # The split that is furthest behind its share comes next (integers: no rounding).
        behind = weights * (place + 1) - counts * total
        behind[counts >= weights] = np.iinfo(np.int64).min
        pattern[place] = int(np.argmax(behind))
        counts[pattern[place]] += 1
    return pattern


@cache
def software_versions() -> str:
    """Return the versions that a sample's bytes may depend on, as JSON."""
    names = ("seistomo", "deepwave", "torch", "numpy", "scipy")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return json.dumps(versions)
