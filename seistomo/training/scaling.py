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
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.progress import bar
from seistomo.training.augmentation import corrupts
from seistomo.training.mute import Mute, mute_of
from seistomo.training.positions import Positions

SCALED_MINIMUM = 0.1
CHUNK_BYTES = 64 * 2**20
Values = np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class GatherScaling:
    """How gathers become network inputs; see the module for the transforms."""

    kind: str  # none, standard, asinh, trace or gain
    softness: float  # c σ of asinh, in the unit of the gathers
    power: float  # p of gain
    mean: Tensor  # mean transformed training gather, float32 [source, receiver, time]
    deviation: float  # standard deviation about that mean
    dtype: str = "float32"  # type of the result
    mute: Mute | None = None  # what is silenced before
    level: float = 1.0  # divides gathers that are stored as recorded: float16 is to hold them
    # Mean, time gain and mute by device.
    _constants: dict[torch.device, tuple[Tensor, ...]] = field(default_factory=dict, repr=False)

    def __call__(self, gathers: Values, positions: Sequence[Positions] | None = None) -> Tensor:
        """Scale recorded gathers [sample, source, receiver, time], each by itself, on any device.

        ``positions``, for a mute: of each sample; see `Mute.weights`.
        """
        gathers = gathers if isinstance(gathers, Tensor) else torch.tensor(gathers)
        return self.scaled(gathers, positions).to(getattr(torch, self.dtype))

    def scaled(self, gathers: Tensor, positions: Sequence[Positions] | None = None) -> Tensor:
        """As a call, in float32."""
        mean, gain, muted = self._constants_on(gathers.device)
        if self.mute is not None:
            if positions is not None:
                weights = np.stack([self.mute.weights(place) for place in positions])
                muted = torch.from_numpy(weights).to(gathers.device)
            gathers = gathers * muted
        if self.kind == "none":
            return gathers
        return (self.transformed(gathers, gain) - mean).mul_(1 / self.deviation)

    def transformed(self, gathers: Tensor, gain: Tensor) -> Tensor:
        """Return gathers with other amplitudes, as ``kind`` has it."""
        if self.kind == "asinh":
            scaled = gathers * (1 / self.softness)
            if scaled.is_cuda:
                return scaled.asinh_()
            # Five times faster than torch's.
            return torch.from_numpy(np.arcsinh(scaled.numpy(), out=scaled.numpy()))
        if self.kind == "trace":
            level = gathers.double().square().mean(dim=-1, keepdim=True).sqrt()
            return torch.where(level > 0, gathers / level, 0.0).float()
        return gathers * gain if self.kind == "gain" else gathers

    def state(self) -> dict[str, Any]:
        """Return the content as numbers, text and tensors, for a checkpoint."""
        content = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        return content | {"mute": self.mute and asdict(self.mute)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "GatherScaling":
        return cls(**state | {"mute": state["mute"] and Mute(**state["mute"])})

    def _constants_on(self, device: torch.device) -> tuple[Tensor, ...]:
        if device not in self._constants:
            muted = torch.zeros(0) if self.mute is None else torch.from_numpy(self.mute.weights())
            gain = time_gain(self.mean.shape[-1], self.power)
            self._constants[device] = tuple(t.to(device) for t in (self.mean, gain, muted))
        return self._constants[device]


def time_gain(samples: int, power: float) -> Tensor:
    """Return (t / t_last)^p at each of the time samples, float32 [time]."""
    return torch.from_numpy(((np.arange(samples) + 1) / samples).astype(np.float32) ** power)


@dataclass(frozen=True)
class VelocityScaling:
    """Affine map between velocity in m/s and the network's outputs: arrays or tensors, float32."""

    low: float  # speed that becomes 0.1, m/s
    high: float  # speed that becomes 1.1, m/s

    @property
    def span(self) -> float:
        """m/s that make one scaled unit; its square turns scaled losses into (m/s)²."""
        return self.high - self.low

    def scale(self, velocity: Values) -> Values:
        """Map m/s to scaled units."""
        return (velocity - self.low) / self.span + SCALED_MINIMUM

    def unscale(self, scaled: Tensor) -> Tensor:
        """Map scaled units to m/s, by way of float64."""
        return ((scaled.double() - SCALED_MINIMUM) * self.span + self.low).float()


@dataclass(frozen=True)
class Normalization:
    """What a run learnt from its training split before the first step."""

    gathers: GatherScaling
    velocity: VelocityScaling
    mean_velocity: np.ndarray  # mean training model, float32 [depth, x], m/s

    def state(self) -> dict[str, Any]:
        return {
            "gathers": self.gathers.state(),
            "velocity": dict(vars(self.velocity)),
            "mean_velocity": torch.from_numpy(self.mean_velocity),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Normalization":
        return cls(
            GatherScaling.from_state(state["gathers"]),
            VelocityScaling(**state["velocity"]),
            state["mean_velocity"].numpy(),
        )


# Settings that make a difference here.
_MATTER = {"gather_scaling", "asinh_scale", "gain_power", "gather_type", "mute", "mute_speed"}
_MATTER |= {"mirror", "noise_snr", "dead_traces", "amplitude_jitter", "wavelet_jitter"}
_MATTER |= {"velocity_scaling", "samples"}
_learnt: dict[tuple, Normalization] = {}


def training_rows(data: DatasetReader, config: TrainingConfig) -> np.ndarray:
    """Return the samples of the training split that are trained with, int64 [sample]."""
    return data.indices("train")[: config.samples]


def learn_normalization(
    data: DatasetReader, config: TrainingConfig, most: int | None = None
) -> Normalization:
    """Learn the scalings from what is trained with, in one or two passes of bounded memory.

    From its first ``most`` samples, where that is given.
    """
    # Runs of one process on one data set learn the same: passes over large ones take minutes.
    settings = config.model_dump_json(include=_MATTER)
    key = (str(data.path), data.path.stat().st_mtime_ns, data.identity, settings, most)
    if key not in _learnt:
        rows = training_rows(data, config)[:most]
        mean_velocity, velocity = _learn_velocity(data, rows, config)
        found = Normalization(_learn_gathers(data, rows, config), velocity, mean_velocity)
        _learnt.clear()
        _learnt[key] = found
    return _learnt[key]


def _learn_velocity(
    data: DatasetReader, rows: np.ndarray, config: TrainingConfig
) -> tuple[np.ndarray, VelocityScaling]:
    total, low, high = np.zeros(data.velocity_shape), np.inf, -np.inf
    for row in rows:
        velocity = data.read_velocity([row])[0]
        total += velocity
        low, high = min(low, float(velocity.min())), max(high, float(velocity.max()))
    if not np.isfinite(total).all():
        raise InputError(f"{data.path}: training models hold values that are not finite numbers")
    mean, bounds = (total / len(rows)).astype(np.float32), data.config.velocity
    if config.velocity_scaling == "extremes":
        if low == high:
            raise InputError(f"{data.path}: all training models are {low:g} m/s everywhere")
        return mean, VelocityScaling(low, high)
    scaling = VelocityScaling(bounds.minimum, bounds.maximum)
    if scaling.scale(low) <= 0:
        raise InputError(
            f"velocity.minimum = {bounds.minimum:g}: training models go down to {low:g} m/s,"
            ' which the network cannot output; set training.velocity_scaling = "extremes"'
        )
    return mean, scaling


def _learn_gathers(data: DatasetReader, rows: np.ndarray, config: TrainingConfig) -> GatherScaling:
    kind, power, dtype = config.gather_scaling, config.gain_power, config.gather_type
    mute, mean = mute_of(data, config), np.zeros(data.gather_shape)
    softness = deviation = level = 1.0
    if kind == "none" and dtype == "float16":
        raise InputError(
            'training.gather_type = "float16": unscaled gathers may exceed its range; use'
            ' "float32", or a training.gather_scaling other than "none"'
        )
    if kind == "asinh":
        total = squares = 0.0
        for gather in _stream(data, rows, "amplitudes", mute):
            total += float(gather.sum(dtype=np.float64))
            squares += float(np.square(gather, dtype=np.float64).sum())
        size = len(rows) * mean.size
        variance = squares / size - (total / size) ** 2
        softness = config.asinh_scale * _deviation(data, variance, squares / size)
    if kind != "none":
        plain = GatherScaling(kind, softness, power, torch.zeros(0), 1.0)
        gain, squares = time_gain(mean.shape[-1], power), 0.0
        for gather in _stream(data, rows, "scaling", mute):
            transformed = plain.transformed(torch.from_numpy(gather), gain).numpy()
            mean += transformed
            squares += float(np.square(transformed, dtype=np.float64).sum())
        if config.mirror:
            mean = (mean + mean[::-1, ::-1]) / 2
        mean, square = mean / len(rows), squares / (len(rows) * mean.size)
        deviation = _deviation(data, square - float(np.square(mean).mean()), square)
    if dtype == "float16" and corrupts(config):
        level = max(float(np.abs(gather).max()) for gather in _stream(data, rows, "range"))
    mean = torch.from_numpy(mean.astype(np.float32))
    return GatherScaling(kind, softness, power, mean, deviation, dtype, mute, level)


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
    shared, jittered = mute and mute.weights(), data.config.survey.jittered
    with bar(total=len(rows), description=f"learning {what}", unit="sample", leave=False) as shown:
        for start in range(0, len(rows), step):
            chunk = rows[start : start + step]
            for row, gather in zip(chunk, data.read_gathers(chunk), strict=True):
                if mute is not None:
                    gather *= mute.weights(data.read_survey(int(row))) if jittered else shared
                yield gather
                shown.update()
