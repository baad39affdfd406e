"""Faults: the hanging wall slides along a straight or flattening (listric) surface."""

import math
from dataclasses import dataclass, replace

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import draw_between, smooth_step
from seistomo.velocity.extent import Extent


@dataclass(frozen=True)
class Fault:
    """One fault.

    The surface lies at depth F(x) = D (1 − exp(−d tan(dip) / D)), where d is the distance from
    its outcrop down the dip and D the depth at which a listric fault flattens; F = d tan(dip)
    for a straight one. The hanging wall moves by the heave h along x and by F(x) − F(x − h)
    vertically (vertical shear, the Chevron construction of Verrall 1981 and Gibbs 1983), so
    neither gaps nor overlaps open, and beds roll over above a listric fault.
    Normal faults have h > 0 (down the dip), reverse ones h < 0.
    """

    x_surface: float
    direction: float
    dip: float
    throw: float
    detachment: float | None
    tip: float
    growth: float

    @property
    def slope(self) -> float:
        """Tangent of the dip."""
        return math.tan(math.radians(self.dip))

    def surface(self, x: np.ndarray) -> np.ndarray:
        """Depth of the fault below the sea floor at ``x``, m; negative before its outcrop."""
        return self._depth((x - self.x_surface) * self.direction)

    def restore(self, x: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (m) before the fault moved of points now at ``x`` and ``depth``."""
        down_dip = (x - self.x_surface) * self.direction
        surface = self._depth(down_dip)
        # Heave is negative, up the dip, for a reverse fault.
        hanging = (depth < surface).astype(depth.dtype)
        # The full throw is reached at the end of the growth, none of it at the tip.
        grown = smooth_step((depth - self.tip) / self.growth) if self.growth else 1.0
        heave = hanging * (grown * (self.throw / self.slope))
        drop = surface - self._depth(down_dip - heave)
        return x - heave * self.direction, depth - drop

    def _depth(self, down_dip: np.ndarray) -> np.ndarray:
        straight = down_dip * self.slope
        if self.detachment is None:
            return straight
        curved = self.detachment * -np.expm1(np.maximum(straight, 0.0) / -self.detachment)
        return np.where(straight < 0, straight, curved)

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "kind": "normal" if self.throw > 0 else "reverse",
            "shape": "straight" if self.detachment is None else "listric",
            "x_surface_m": self.x_surface,
            "dips_towards": "right" if self.direction > 0 else "left",
            "dip_degrees": self.dip,
            "throw_m": abs(self.throw),
            "detachment_depth_m": self.detachment,
            "tip_depth_m": self.tip,
            "growth_length_m": self.growth,
        }


def draw_faults(
    rng: np.random.Generator, config: VelocityConfig, extent: Extent, least: int = 0
) -> tuple[Fault, ...]:
    """Draw a set of faults from one stress regime, oldest first; at least ``least`` of them."""
    low, high = max(config.faults[0], least), max(config.faults[1], least)
    count = int(rng.integers(low, high, endpoint=True))
    reverse = rng.random() < config.reverse_probability
    side = float(rng.choice([-1.0, 1.0]))
    # Half of the sets are dominoes; the others dip away from, or towards, one place.
    centre = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.5 else -1.0
    slots = (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
    return tuple(
        _draw_fault(
            rng,
            config,
            extent,
            x_middle=(0.08 + 0.84 * slot) * extent.width,
            direction=side if slot > centre else -side,
            reverse=reverse,
        )
        for slot in slots.tolist()
    )


def subsidence(faults: tuple[Fault, ...], extent: Extent) -> float:
    """Mean subsidence of the surface by faulting, m: taken back, as the crust floats."""
    x, depth = np.linspace(0, extent.width, 65), np.zeros(65)
    for fault in reversed(faults):
        x, depth = fault.restore(x, depth)
    return max(-float(depth.mean()), 0.0)


def _draw_fault(
    rng: np.random.Generator,
    config: VelocityConfig,
    extent: Extent,
    x_middle: float,
    direction: float,
    reverse: bool,
) -> Fault:
    dip = draw_between(rng, config.fault_dip)
    throw = draw_between(rng, config.fault_throw)
    listric = rng.random() < config.listric_probability
    detachment = float(rng.uniform(0.9, 1.8)) * extent.depth
    tip = float(rng.uniform(0.0, 0.25)) * extent.depth
    growing = rng.random() < config.growth_probability
    # Grown more quickly than this, beds would stand on their heads beside the fault.
    growth = max(3.0 * throw, float(rng.uniform(0.3, 0.6)) * extent.depth)
    fault = Fault(
        x_surface=0.0,
        direction=direction,
        dip=dip,
        throw=-throw if reverse else throw,
        detachment=detachment if listric else None,
        tip=tip if growing else 0.0,
        growth=growth if growing else 0.0,
    )
    return _through(fault, x_middle, extent.depth / 2)


def _through(fault: Fault, x: float, depth: float) -> Fault:
    """Move a fault along x until it passes through a point."""
    straight = depth
    if fault.detachment is not None:
        straight = -fault.detachment * math.log1p(-depth / fault.detachment)
    down_dip = straight / fault.slope
    return replace(fault, x_surface=float(x - down_dip * fault.direction))
