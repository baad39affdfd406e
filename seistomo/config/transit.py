"""How long the slowest model that a configuration can draw takes waves to its bottom."""

import math
from typing import TYPE_CHECKING

from seistomo.config.families import GEOLOGICAL_FAMILIES

if TYPE_CHECKING:
    from seistomo.config.velocity import VelocityConfig


def slowest_transit(config: "VelocityConfig") -> float:
    """Time straight down to the deepest node in the slowest model that can be drawn, s.

    Where speeds follow a trend: the deepest water, then the slowest trend v0 + k z; single layers
    may be slower than it, but not all of a model. Where they are drawn uniformly: the mean
    slowness of the fewest layers, and three standard deviations more; one model in a thousand is
    slower. Of imported models only their lowest speed is known.
    """
    depth = config.depth_extent
    if config.imported is not None:
        return depth / config.minimum
    low, high = config.openfwi_velocity
    times = []
    if config.draws(*GEOLOGICAL_FAMILIES):
        water = config.water_depth[1] * depth if config.water_probability > 0 else 0.0
        times.append(water / config.water_velocity[0] + _sediment(config, depth - water))
    # Curves and faults hide layers from a vertical line: half of them count.
    if config.draws("flatvel_a", "flatvel_b"):
        times.append(depth * _slowness(low, high, config.openfwi_layers[0]))
    if config.draws("curvevel_a", "curvevel_b"):
        times.append(depth * _slowness(low, high, _half(config.openfwi_layers[0])))
    for difficulty in "ab":
        if config.draws(f"flatfault_{difficulty}", f"curvefault_{difficulty}"):
            fewest = getattr(config, f"openfwi_fault_layers_{difficulty}")[0]
            times.append(depth * _slowness(low, high, _half(fewest)))
    if config.draws("style_a", "style_b"):
        # The slowest structure all the way down.
        gradient = (high - low) / (1 + config.openfwi_style_contrast[1]) / depth
        times.append(_trend(low, gradient, depth))
    return max(times)


def _sediment(config: "VelocityConfig", depth: float) -> float:
    slowest = config.surface_velocity[0]
    if config.layer_speeds == "rising":
        fewest = max(config.layers[0], math.ceil(depth / config.layer_thickness[1]))
        return depth * _slowness(slowest, config.velocity_cap, fewest)
    return _trend(slowest, config.velocity_gradient[0], depth)


def _trend(surface: float, gradient: float, depth: float) -> float:
    """Time through ``depth`` m of speed ``surface + gradient * z``, s."""
    if gradient == 0:
        return depth / surface
    return math.log1p(gradient * depth / surface) / gradient


def _slowness(low: float, high: float, layers: int) -> float:
    """Mean slowness that layers with speeds between ``low`` and ``high`` hardly surpass, s/m."""
    if low == high:
        return 1 / low
    mean = math.log(high / low) / (high - low)
    variance = max(1 / (low * high) - mean**2, 0.0)
    return min(mean + 3 * math.sqrt(variance / layers), 1 / low)


def _half(layers: int) -> int:
    return math.ceil(layers / 2)
