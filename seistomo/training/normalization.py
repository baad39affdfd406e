"""Scaling of gathers and velocities, learnt from the training split alone.

Gathers: a transform of the amplitudes, then the mean training gather removed and the whole
divided by one number, so that what is left has unit variance over the training split:

=========  ===================================================================================
none       the gathers as they are: nothing removed, nothing divided
standard   no transform
asinh      asinh(g / (c σ)), σ the standard deviation of all training gathers: linear for weak
           arrivals, logarithmic for strong ones
trace      each trace divided by its own root mean square over time (a dead trace stays zero)
gain       g (t / t_last)^p, against geometrical spreading
=========  ===================================================================================

Where a mute is asked for (`seistomo.training.mute`), it comes first.

Velocities: v ↦ 0.1 + (v − low) / (high − low). All targets are positive, so that the network's
last ReLU can reach each with a margin, and a squared error in scaled units times
(high − low)² is one in (m/s)².
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.progress import bar
from seistomo.training.augmentation import corrupts
from seistomo.training.mute import Mute, Positions, mute_of, own_positions

SCALED_MINIMUM = 0.1
CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class GatherScaling:
    """How gathers become network inputs; see the module for the transforms.

    Attributes
    ----------
    kind
        none, standard, asinh, trace or gain.
    softness
        c σ of asinh, in the unit of the gathers.
    power
        p of gain.
    mean
        Mean transformed training gather, float32 [source, receiver, time].
    deviation
        Standard deviation about that mean.
    dtype
        Type of the result.
    mute
        What is silenced before; None: nothing.
    level
        What `unscaled` divides by.
    """

    kind: str
    softness: float
    power: float
    mean: np.ndarray
    deviation: float
    dtype: str = "float32"
    mute: Mute | None = None
    level: float = 1.0

    def __call__(
        self, gathers: np.ndarray, positions: Sequence[Positions | None] | None = None
    ) -> np.ndarray:
        """Scale gathers [sample, source, receiver, time]; each sample by itself.

        ``positions``, for a mute: of each sample; see `Mute.weights`.
        """
        scaled = np.empty(gathers.shape, dtype=self.dtype)
        for row, gather in enumerate(gathers):
            scaled[row] = self._scale(gather, positions[row] if positions else None)
        return scaled

    def unscaled(self, gathers: np.ndarray) -> np.ndarray:
        """Return gathers as recorded in the type of scaled ones, over `level`.

        For what is scaled at each use; ``level`` keeps it within the range of float16.
        """
        return (gathers * np.float32(1 / self.level)).astype(self.dtype)

    def state(self) -> dict[str, Any]:
        """Return the content as numbers, text and tensors, for a checkpoint."""
        content = {**vars(self), "mean": torch.from_numpy(self.mean)}
        del content["mute"], content["level"]
        if self.mute is not None:
            content["mute"] = self.mute.state()
        if self.level != 1:
            content["level"] = self.level
        return content

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "GatherScaling":
        """Rebuild from what `state` returned."""
        mute = Mute(**state["mute"]) if "mute" in state else None
        return cls(**{**state, "mean": state["mean"].numpy(), "mute": mute})

    def _scale(self, gather: np.ndarray, positions: Positions | None) -> np.ndarray:
        if self.mute is not None:
            gather = gather * self.mute.weights(positions)
        if self.kind == "none":
            return gather
        result = transform(gather, self.kind, self.softness, self.power)
        result -= self.mean
        result *= np.float32(1 / self.deviation)
        return result


def transform(gather: np.ndarray, kind: str, softness: float, power: float) -> np.ndarray:
    """Return one sample's transformed gathers, a new float32 [source, receiver, time]."""
    if kind == "asinh":
        result = gather * np.float32(1 / softness)
        return np.arcsinh(result, out=result)
    if kind == "trace":
        level = np.sqrt(np.square(gather, dtype=np.float64).mean(axis=-1, keepdims=True))
        return np.divide(gather, level, out=np.zeros_like(gather), where=level > 0)
    if kind == "gain":
        return gather * time_gain(gather.shape[-1], power)
    return gather.copy()


def time_gain(samples: int, power: float) -> np.ndarray:
    """Return (t / t_last)^p at each of the time samples, float32 [time]."""
    return ((np.arange(samples) + 1) / samples).astype(np.float32) ** power


@dataclass(frozen=True)
class VelocityScaling:
    """Affine map between velocity in m/s and the network's outputs.

    Attributes
    ----------
    low, high
        Speeds that become 0.1 and 1.1, m/s.
    """

    low: float
    high: float

    @property
    def span(self) -> float:
        """m/s that make one scaled unit; its square turns scaled losses into (m/s)²."""
        return self.high - self.low

    def scale(self, velocity: np.ndarray) -> np.ndarray:
        """Map m/s to scaled units, float32."""
        scaled = (velocity - self.low) / self.span + SCALED_MINIMUM
        return scaled.astype(np.float32)

    def unscale(self, scaled: np.ndarray) -> np.ndarray:
        """Map scaled units to m/s, float32."""
        velocity = (scaled.astype(np.float64) - SCALED_MINIMUM) * self.span + self.low
        return velocity.astype(np.float32)


@dataclass(frozen=True)
class Normalization:
    """What a run learnt from its training split before the first step.

    Attributes
    ----------
    gathers, velocity
        The scalings.
    mean_velocity
        Mean training model, float32 [depth, x], m/s.
    """

    gathers: GatherScaling
    velocity: VelocityScaling
    mean_velocity: np.ndarray

    def state(self) -> dict[str, Any]:
        """Return the content as numbers, text and tensors, for a checkpoint."""
        return {
            "gathers": self.gathers.state(),
            "velocity": dict(vars(self.velocity)),
            "mean_velocity": torch.from_numpy(self.mean_velocity),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Normalization":
        """Rebuild from what `state` returned."""
        return cls(
            GatherScaling.from_state(state["gathers"]),
            VelocityScaling(**state["velocity"]),
            state["mean_velocity"].numpy(),
        )


# Settings that runs differ in without a difference here.
_NO_MATTER = {"seed", "epochs", "batch_size", "batch_doublings", "schedule", "averaging"}
_LEARNT: dict[tuple, Normalization] = {}


def learn_normalization(data: DatasetReader, config: TrainingConfig) -> Normalization:
    """Learn the scalings from the training split, in one or two passes of bounded memory.

    Parameters
    ----------
    data
        The data set; only its training samples are read.
    config
        The section ``[training]``.

    Raises
    ------
    InputError
        If the training data are not finite, do not differ, or lie where the outputs cannot.
    """
    # Runs of one process on one data set learn the same: passes over large ones take minutes.
    key = (str(data.path), data.path.stat().st_mtime_ns, data.identity, _what_matters(config))
    if key not in _LEARNT:
        learnt = _learn(data, config)
        _LEARNT.clear()
        _LEARNT[key] = learnt
    return _LEARNT[key]


def _what_matters(config: TrainingConfig) -> str:
    return config.model_dump_json(exclude=_NO_MATTER)


def _learn(data: DatasetReader, config: TrainingConfig) -> Normalization:
    rows = data.indices("train")
    mean_velocity, low, high = _velocity_statistics(data, rows)
    if config.velocity_scaling == "bounds":
        bounds = data.config.velocity
        velocity = VelocityScaling(bounds.minimum, bounds.maximum)
        if velocity.scale(np.float64(low)) <= 0:
            raise InputError(
                f"velocity.minimum = {bounds.minimum:g}: training models go down to {low:g} m/s,"
                ' which the network cannot output; set training.velocity_scaling = "extremes"'
            )
    elif low < high:
        velocity = VelocityScaling(low, high)
    else:
        raise InputError(f"{data.path}: all training models are {low:g} m/s everywhere")
    return Normalization(_learn_gathers(data, rows, config), velocity, mean_velocity)


def _velocity_statistics(data: DatasetReader, rows: np.ndarray) -> tuple[np.ndarray, float, float]:
    total, low, high = np.zeros(data.velocity_shape), np.inf, -np.inf
    for row in rows:
        velocity = data.read_velocity([row])[0]
        total += velocity
        low, high = min(low, float(velocity.min())), max(high, float(velocity.max()))
    if not np.isfinite(total).all():
        raise InputError(f"{data.path}: training models hold values that are not finite numbers")
    return (total / len(rows)).astype(np.float32), low, high


def _learn_gathers(data: DatasetReader, rows: np.ndarray, config: TrainingConfig) -> GatherScaling:
    kind, power, dtype = config.gather_scaling, config.gain_power, config.gather_type
    mute = mute_of(data, config)
    if kind == "none":
        if dtype == "float16":
            raise InputError(
                'training.gather_type = "float16": unscaled gathers may exceed its range; use'
                ' "float32", or a training.gather_scaling other than "none"'
            )
        mean = np.zeros(data.gather_shape, dtype=np.float32)
        return GatherScaling(kind, 1.0, power, mean, 1.0, dtype, mute)
    softness = 1.0
    if kind == "asinh":
        softness = config.asinh_scale * _amplitude_deviation(data, rows, mute)
    total, squares = np.zeros(data.gather_shape), 0.0
    for gather in _stream(data, rows, "scaling", mute):
        transformed = transform(gather, kind, softness, power)
        total += transformed
        squares += float(np.square(transformed, dtype=np.float64).sum())
    if config.mirror:
        total = (total + total[::-1, ::-1]) / 2
    mean, level = total / len(rows), squares / (len(rows) * total.size)
    deviation = _deviation(data, level - float(np.square(mean).mean()), level)
    return GatherScaling(
        kind,
        softness,
        power,
        mean.astype(np.float32),
        deviation,
        dtype,
        mute,
        _storage_level(data, rows, config),
    )


def _storage_level(data: DatasetReader, rows: np.ndarray, config: TrainingConfig) -> float:
    """Return the largest amplitude where gathers as recorded are to be kept as float16."""
    if config.gather_type == "float32" or not corrupts(config):
        return 1.0
    return max(float(np.abs(gather).max()) for gather in _stream(data, rows, "range"))


def _amplitude_deviation(data: DatasetReader, rows: np.ndarray, mute: Mute | None) -> float:
    total = squares = 0.0
    for gather in _stream(data, rows, "amplitudes", mute):
        total += float(gather.sum(dtype=np.float64))
        squares += float(np.square(gather, dtype=np.float64).sum())
    size = len(rows) * int(np.prod(data.gather_shape))
    return _deviation(data, squares / size - (total / size) ** 2, squares / size)


def _deviation(data: DatasetReader, variance: float, mean_square: float) -> float:
    if not np.isfinite(variance):
        raise InputError(f"{data.path}: training gathers hold values that are not finite numbers")
    # What rounding leaves of gathers that are all alike is no variance.
    if variance <= 1e-12 * mean_square:
        raise InputError(
            f"{data.path}: the training gathers do not differ from each other; nothing to learn"
        )
    return float(np.sqrt(variance))


def _stream(
    data: DatasetReader, rows: np.ndarray, what: str, mute: Mute | None = None
) -> Iterator[np.ndarray]:
    """Yield the gathers of one sample after the other, reading a bounded chunk at a time."""
    step = max(1, CHUNK_BYTES // (4 * int(np.prod(data.gather_shape))))
    shared = None if mute is None else mute.weights()
    with bar(total=len(rows), description=f"learning {what}", unit="sample", leave=False) as shown:
        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            for row, gather in zip(chunk, data.read_gathers(chunk), strict=True):
                if mute is not None:
                    own = own_positions(data, int(row))
                    gather *= shared if own is None else mute.weights(own)
                yield gather
                shown.update()
