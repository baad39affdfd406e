"""Deposition: the sea floor, the stack of layers and their speeds."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import Table, Waves, draw_between
from seistomo.velocity.extent import Extent

# Below this jump in speed (m/s) two neighbouring layers would look like one.
LEAST_CONTRAST = 120.0
# Speeds that rise from layer to layer are at least as far apart, m/s.
LEAST_RISE = 50.0


@dataclass(frozen=True)
class SeaFloor:
    """Depth of the top of the sediments, m; a flat zero on land."""

    depth: float
    relief: Waves
    water_velocity: float

    @property
    def height(self) -> float:
        """Bound on the relief, up or down, m."""
        return float(np.abs(self.relief.amplitude).sum())

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Depth of the sea floor at ``x``, m."""
        return self.depth + self.relief(x)

    @classmethod
    def draw(cls, rng: np.random.Generator, config: VelocityConfig, extent: Extent) -> "SeaFloor":
        """Draw water (or none) and the shape of its floor."""
        wet = rng.random() < config.water_probability
        depth = draw_between(rng, config.water_depth) * extent.depth
        relief = min(draw_between(rng, config.sea_floor_relief), depth / 2)
        waves = Waves.draw(rng, 1.0, (extent.width / 10, 2 * extent.width), 6, smoothness=1.2)
        speed = draw_between(rng, config.water_velocity)
        return cls(depth if wet else 0.0, waves.times(relief if wet else 0.0), speed)

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "depth_m": self.depth,
            "relief_m": self.height,
            "velocity_m_s": self.water_velocity,
        }


@dataclass(frozen=True)
class LayerStack:
    """Layers as deposited, in metres below the sea floor.

    Layer j lies between horizons ``tops[j]`` and ``tops[j + 1]``; its speed is
    ``intercept[j] + slope * depth``, between ``floor`` and ``cap``. Horizon j at position x is
    ``horizons[j](x)``; they never cross, because thickness stays positive everywhere.
    """

    tops: np.ndarray
    horizons: tuple[Table, ...]
    intercept: np.ndarray
    slope: float
    floor: float
    cap: float
    trend: tuple[float, float]
    jitter: np.ndarray
    largest_jitter: float

    def index(self, x: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Layer [...] at restored positions ``x`` and ``depth``, m."""
        layer = np.zeros(np.broadcast_shapes(x.shape, depth.shape), dtype=np.intp)
        node = self.horizons[0].index(x)
        for horizon in self.horizons[1:]:
            below = depth >= horizon.values.take(node)
            if not below.any():
                break
            layer += below
        return layer

    def speed(self, layer: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Speed [...] of layers at restored depths, m/s (compaction trend plus jitter)."""
        speed = self.intercept.take(layer)
        speed += self.slope * depth
        return np.clip(speed, self.floor, self.cap, out=speed)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        config: VelocityConfig,
        extent: Extent,
        depth: float,
        spare: float,
        floor: float,
    ) -> "LayerStack":
        """Draw layers that fill ``depth`` m of sediments, none slower than ``floor`` (m/s).

        More follow for ``spare`` m below, to be brought up by deformation.
        """
        thickness = _draw_thickness(rng, config, depth, spare)
        tops = np.concatenate([[0.0], np.cumsum(thickness)])[:-1]
        horizons = _draw_horizons(rng, config, extent, depth, thickness)
        if config.layer_speeds == "rising":
            speeds = _rising(rng, config, tops + thickness / 2, depth)
        else:
            speeds = _trending(rng, config, tops, thickness, floor)
        intercept, slope, trend, jitter, size = speeds
        cap = config.velocity_cap
        return cls(tops, horizons, intercept, slope, floor, cap, trend, jitter, size)

    def parameters(self, depth: float) -> dict:
        """Return what was drawn, for the layers that begin above ``depth`` (m)."""
        shown = self.tops < depth
        below = np.append(self.tops[1:], self.tops[-1])
        speed = self.intercept + self.slope * (self.tops + below) / 2
        return {
            "top_m": self.tops[shown].round(3).tolist(),
            "velocity_m_s": np.clip(speed[shown], self.floor, self.cap).round(3).tolist(),
            "jitter_m_s": self.jitter[shown].round(3).tolist(),
            "largest_jitter_m_s": self.largest_jitter,
            "surface_velocity_m_s": self.trend[0],
            "velocity_gradient_per_s": self.trend[1],
            "layer_gradient_per_s": self.slope,
        }


def _draw_thickness(
    rng: np.random.Generator, config: VelocityConfig, depth: float, spare: float
) -> np.ndarray:
    thinnest, thickest = config.layer_thickness
    count = int(rng.integers(config.layers[0], config.layers[1], endpoint=True))
    count = max(min(count, int(depth / thinnest)), int(np.ceil(depth / thickest)), 1)
    share = rng.uniform(0.4, 1.6, count)
    # The factor on the shares with which the layers, kept to their limits, fill the depth.
    low, high = thinnest / share.max(), thickest / share.min()
    for _ in range(40):
        factor = (low + high) / 2
        thickness = np.clip(factor * share, thinnest, thickest)
        low, high = (factor, high) if thickness.sum() < depth else (low, factor)
    more = int(np.ceil(spare / (thickness.mean() * 0.9))) + 1
    return np.concatenate([thickness, thickness.mean() * rng.uniform(0.8, 1.2, more)])


def _draw_horizons(
    rng: np.random.Generator,
    config: VelocityConfig,
    extent: Extent,
    depth: float,
    thickness: np.ndarray,
) -> tuple[Table, ...]:
    waviness = draw_between(rng, config.layer_waviness)
    dip = draw_between(rng, config.layer_dip) * rng.choice([-1.0, 1.0])
    axis = extent.axis()
    tilt = np.tan(np.radians(dip)) * np.clip(axis - extent.width / 2, -extent.width, extent.width)
    tilt = np.clip(tilt / depth, -0.6, 0.6)
    relief, horizons = np.zeros(axis.shape), [np.zeros(axis.shape)]
    for value in thickness:
        waves = Waves.draw(rng, waviness, config.layer_wavelength, 3, smoothness=0.5)
        relief = relief + value * np.maximum(1 + waves(axis) + tilt, 0.1)
        horizons.append(relief)
    return tuple(Table.on(axis, values) for values in horizons[:-1])


def _trending(
    rng: np.random.Generator,
    config: VelocityConfig,
    tops: np.ndarray,
    thickness: np.ndarray,
    floor: float,
) -> tuple[np.ndarray, float, tuple[float, float], np.ndarray, float]:
    """Draw speeds about a trend: intercepts, slope, the trend, and jitter with its bound."""
    trend = (
        draw_between(rng, config.surface_velocity),
        draw_between(rng, config.velocity_gradient),
    )
    slope = draw_between(rng, config.layer_gradient) * trend[1]
    middle = tops + thickness / 2
    mean = trend[0] + trend[1] * middle
    size = draw_between(rng, config.velocity_jitter)
    jitter = _draw_jitter(rng, size, mean, slope * thickness, floor)
    return (mean + jitter - slope * middle).astype(np.float32), slope, trend, jitter, size


def _rising(
    rng: np.random.Generator, config: VelocityConfig, middle: np.ndarray, depth: float
) -> tuple[np.ndarray, float, tuple[float, float], np.ndarray, float]:
    """Draw a constant speed for each layer, faster with every one; returns as `_trending`.

    The layers of the model, with their ``middle`` above ``depth`` (m), have the whole range; those
    that deformation may bring up from below have what is left of it. The trend is the straight
    line through the range.
    """
    low, cap = config.surface_velocity[0], config.velocity_cap
    shown = max(int((middle < depth).sum()), 1)
    speeds = rising_speeds(rng, shown, (low, cap))
    deeper = np.sort(rng.uniform(speeds[-1], cap, len(middle) - shown))
    speeds = np.concatenate([speeds, deeper])
    trend = (low, (cap - low) / depth)
    jitter = speeds - (trend[0] + trend[1] * middle)
    largest = float(np.abs(jitter[:shown]).max())
    return speeds.astype(np.float32), 0.0, trend, jitter, largest


def _draw_jitter(
    rng: np.random.Generator,
    size: float,
    mean: np.ndarray,
    rise: np.ndarray,
    floor: float,
) -> np.ndarray:
    """Draw each layer's departure from its ``mean`` speed, at most ``size``, m/s.

    No layer is slower than any above it by more than ``size``, and neighbours differ.
    """
    jitter, fastest, last = np.zeros(mean.shape), -np.inf, -np.inf
    for j, trend in enumerate(mean):
        top, bottom = trend - rise[j] / 2, trend + rise[j] / 2
        low = min(max(-size, floor - top, fastest - size - top), size)
        for _ in range(12):
            jitter[j] = rng.uniform(low, size)
            if abs(top + jitter[j] - last) >= min(LEAST_CONTRAST, 0.7 * size):
                break
        last = bottom + jitter[j]
        fastest = max(fastest, last)
    return jitter


def rising_speeds(rng: np.random.Generator, count: int, ends: tuple[float, float]) -> np.ndarray:
    """Draw ``count`` speeds between ``ends`` (m/s), each faster than the one before.

    They are uniform but for a gap of `LEAST_RISE`, or of half of what the range gives each.
    """
    low, high = ends
    gap = min(LEAST_RISE, 0.5 * (high - low) / max(count - 1, 1))
    drawn = np.sort(rng.uniform(low, high - gap * (count - 1), count))
    return np.minimum(drawn + gap * np.arange(count), high)


def out_of_order(rng: np.random.Generator, speeds: np.ndarray) -> np.ndarray:
    """Shuffle rising ``speeds`` [layer], at least two, into any order that does not rise."""
    shuffled = rng.permutation(speeds)
    while np.all(np.diff(shuffled) > 0):
        shuffled = rng.permutation(speeds)
    return shuffled
