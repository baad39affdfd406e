"""Families named after OpenFWI's (Deng et al. 2022), imitated; docs/velocity-models.md compares.

Blocks are layers of one speed each between flat or parallel curved horizons, cut by faults; the
other families are in `seistomo.velocity.style`.
"""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import Waves, draw_between
from seistomo.velocity.extent import Extent, without_small_pieces
from seistomo.velocity.faults import Fault, draw_faults, subsidence
from seistomo.velocity.layers import out_of_order, rising_speeds
from seistomo.velocity.style import Style

# Sinusoids in a curved horizon, and the nodes on which its relief is measured.
SINUSOIDS, NODES = 3, 512

FLAT = Waves(np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Blocks:
    """An earth of ``speeds`` [layer] (m/s), constant within each layer.

    Before faulting, layer j lies between horizons at ``tops[j] + curve(x)`` and
    ``tops[j + 1] + curve(x)``, m; the last one goes on below. The faults, oldest first, are undone
    in reverse to find the layer at a point.
    """

    tops: np.ndarray
    speeds: np.ndarray
    curve: Waves
    faults: tuple[Fault, ...]
    level: float

    def layer_index(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Layer [depth, x] at positions [1, x] and depths [depth, 1], m."""
        depth = z
        for fault in reversed(self.faults):
            x, depth = fault.restore(x, depth)
        depth = depth + self.level - self.curve(x)
        return np.searchsorted(self.tops[1:], depth, side="right")

    def sample(self, shape: tuple[int, int], spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """Lay a grid on the earth, as `Earth.sample`: a cell has the speed at its centre."""
        x, z = Extent.of(shape, spacing).points(*shape)
        layer = without_small_pieces(self.layer_index(x, z))
        return self.speeds[layer].astype(np.float32), np.zeros(shape, dtype=bool)

    def parameters(self, extent: Extent) -> dict:
        """Return what was drawn."""
        return {
            "top_m": self.tops.round(3).tolist(),
            "velocity_m_s": self.speeds.round(3).tolist(),
            "relief_m": relief(self.curve, extent),
            "wavelength_m": self.curve.wavelength.tolist(),
            "faults": [fault.parameters() for fault in self.faults],
        }


def draw_tops(rng: np.random.Generator, count: int, depth: float) -> np.ndarray:
    """Draw the tops of ``count`` layers that fill ``depth`` m.

    Thicknesses differ by a quarter of their mean; the last layer, which the model's bottom cuts
    off, keeps between a fifth and all of its own.
    """
    share = rng.uniform(0.75, 1.25, count)
    share[-1] *= rng.uniform(0.2, 1.0)
    bottoms = np.cumsum(share) * (depth / share.sum())
    return np.concatenate([[0.0], bottoms[:-1]])


def draw_curve(rng: np.random.Generator, config: VelocityConfig, extent: Extent) -> Waves:
    """Draw the curve of all horizons of a model: neither up nor down on the whole."""
    height = draw_between(rng, config.openfwi_relief)
    waves = Waves.draw(rng, 1.0, config.openfwi_wavelength, SINUSOIDS, smoothness=1.0)
    return waves.times(height / relief(waves, extent))


def relief(curve: Waves, extent: Extent) -> float:
    """Height from trough to crest of a curve within the model, m."""
    x = np.linspace(extent.left, extent.left + extent.width, NODES)
    return float(np.ptp(curve(x)))


def draw_openfwi(
    family: str,
    config: VelocityConfig,
    layer_rng: np.random.Generator,
    curve_rng: np.random.Generator,
    fault_rng: np.random.Generator,
) -> tuple[Blocks | Style, dict]:
    """Draw the earth of one of ``seistomo.config.velocity.OPENFWI_FAMILIES``.

    Returns it and everything drawn, as JSON-able values.
    """
    kind, _, difficulty = family.rpartition("_")
    extent = Extent.of(config.shape, config.spacing)
    if kind == "style":
        smoothing = getattr(config, f"openfwi_smoothing_{difficulty}")
        style = Style.draw(layer_rng, config, extent, smoothing)
        return style, style.parameters()
    faulted = kind.endswith("fault")
    counts = getattr(config, f"openfwi_fault_layers_{difficulty}" if faulted else "openfwi_layers")
    count = int(layer_rng.integers(counts[0], counts[1], endpoint=True))
    tops = draw_tops(layer_rng, count, extent.depth)
    speeds = rising_speeds(layer_rng, count, config.openfwi_velocity)
    if difficulty == "b" and not faulted:
        speeds = out_of_order(layer_rng, speeds)
    curved = kind.startswith("curve")
    curve = draw_curve(curve_rng, config, extent) if curved else FLAT
    faults = _draw_faults(fault_rng, config, extent, difficulty) if faulted else ()
    blocks = Blocks(tops, speeds, curve, faults, subsidence(faults, extent))
    return blocks, blocks.parameters(extent)


def _draw_faults(
    rng: np.random.Generator, config: VelocityConfig, extent: Extent, difficulty: str
) -> tuple[Fault, ...]:
    """Draw plane faults that cut to the surface."""
    plane = config.model_copy(
        update={
            "faults": getattr(config, f"openfwi_faults_{difficulty}"),
            "fault_throw": getattr(config, f"openfwi_throw_{difficulty}"),
            "listric_probability": 0.0,
            "growth_probability": 0.0,
        }
    )
    return draw_faults(rng, plane, extent)
