"""Families named after OpenFWI's (Deng et al. 2022), imitated; docs/velocity-models.md compares."""

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.blocks import Blocks, draw_curve, draw_tops, no_curve
from seistomo.velocity.extent import Extent
from seistomo.velocity.faults import Fault, draw_faults
from seistomo.velocity.speeds import out_of_order, rising_speeds
from seistomo.velocity.style import Style


def draw_openfwi(
    family: str,
    config: VelocityConfig,
    layer_rng: np.random.Generator,
    curve_rng: np.random.Generator,
    fault_rng: np.random.Generator,
) -> tuple[Blocks | Style, dict]:
    """Draw the earth of one of ``seistomo.config.velocity.OPENFWI_FAMILIES``.

    Parameters
    ----------
    family
        Its name.
    config
        Grid and ranges of everything drawn.
    layer_rng, curve_rng, fault_rng
        Sources of randomness of layers or structures, of curved horizons and of faults.

    Returns
    -------
    The earth, and everything drawn as JSON-able values.
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
    curve = draw_curve(curve_rng, config, extent) if curved else no_curve()
    faults = _draw_faults(fault_rng, config, extent, difficulty) if faulted else ()
    blocks = Blocks.of(tops, speeds, curve, faults, extent)
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
