"""Blocks: layers of one speed each between flat or parallel curved horizons, cut by faults."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.cells import without_small_pieces
from seistomo.velocity.curves import Waves, draw_between
from seistomo.velocity.extent import Extent
from seistomo.velocity.faults import Fault, subsidence

# Sinusoids in a curved horizon, and the nodes on which its relief is measured.
SINUSOIDS, NODES = 3, 512


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
        """Lay a grid on the earth: a cell has the speed at its centre, as in OpenFWI.

        Parameters
        ----------
        shape, spacing
            Number of nodes [depth, x] and their distance, m.

        Returns
        -------
        Speed float32 [depth, x] in m/s and salt mask bool [depth, x], which is False.
        """
        x, z = Extent.of(shape, spacing).points(*shape)
        layer = without_small_pieces(self.layer_index(x, z))
        return self.speeds[layer].astype(np.float32), np.zeros(shape, dtype=bool)

    @classmethod
    def of(
        cls,
        tops: np.ndarray,
        speeds: np.ndarray,
        curve: Waves,
        faults: tuple[Fault, ...],
        extent: Extent,
    ) -> "Blocks":
        """Return the blocks, with the mean subsidence by faulting taken back."""
        return cls(tops, speeds, curve, faults, subsidence(faults, extent))

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
    return _scaled(waves, height / relief(waves, extent))


def no_curve() -> Waves:
    """Return the curve of flat horizons."""
    return Waves(np.zeros(0), np.zeros(0), np.zeros(0))


def relief(curve: Waves, extent: Extent) -> float:
    """Height from trough to crest of a curve within the model, m."""
    x = np.linspace(extent.left, extent.left + extent.width, NODES)
    return float(np.ptp(curve(x)))


def _scaled(waves: Waves, factor: float) -> Waves:
    return Waves(waves.amplitude * factor, waves.wavelength, waves.phase)
