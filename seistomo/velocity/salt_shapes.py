"""Shapes of salt: upright stocks (domes, diapirs, teardrops, feeders) and sheets that spread."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from seistomo.velocity.curves import Table, Waves, smooth_step

# Distance over which the edge of the upturned zone is rounded, m.
ROUNDING = 30.0


@dataclass(frozen=True)
class Side:
    """Half-width of one side against t = (depth − crest) / (base − crest), m.

    Rounded from the crest to the widest place of the head (``equator``), then narrowing to a
    neck and widening to a foot. ``squareness`` 2 is an ellipse, more is flatter on top.
    """

    head: float
    equator: float
    neck: float
    neck_at: float
    foot: float
    squareness: float = 2.0

    def __call__(self, t: np.ndarray) -> np.ndarray:
        """Half-width at ``t``, m; 0 above the crest."""
        rise = np.clip(1 - t / self.equator, 0.0, 1.0)
        cap = self.head * (1 - rise**self.squareness) ** (1 / self.squareness)
        down = smooth_step((t - self.equator) / (self.neck_at - self.equator))
        out = smooth_step((t - self.neck_at) / max(1 - self.neck_at, 1e-6))
        width = cap + (self.neck - self.head) * down + (self.foot - self.neck) * out
        return np.where((t > 0) & (t <= 1), np.maximum(width, 0.0), 0.0)

    def times(self, factor: float) -> "Side":
        """Return the side with all widths multiplied by ``factor``."""
        widths = {name: float(factor * getattr(self, name)) for name in ("head", "neck", "foot")}
        return replace(self, **widths)


@dataclass(frozen=True)
class Stock:
    """Salt given by its centre line and the half-widths of its two sides.

    ``lean`` and ``bend`` (m) move the centre line sideways from crest to base; ``crest_waves``
    (of x) roughen the top, ``flank_waves`` (of depth) the flanks. ``drag`` is the upturn of the
    beds at the flank, ``drag_width`` the distance over which it dies away, and ``withdrawal``
    the sinking of the beds beyond it (the rim syncline), all in m.
    """

    kind: str
    x: float
    crest: float
    base: float
    lean: float
    bend: float
    left: Side
    right: Side
    crest_waves: Waves
    flank_waves: Waves
    drag: float
    drag_width: float
    withdrawal: float

    def excess(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance from the centre line over the half-width [depth, x]: below 1 in the salt."""
        warped = z + self.crest_waves(x)
        aside = x + self.flank_waves(z) - self._centre(warped)
        left, right = self._tables
        node = left.index(warped)
        width = np.where(aside < 0, left.values.take(node), right.values.take(node))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(width > 0, np.abs(aside) / width, np.inf)

    def uplift(self, x: np.ndarray, z: np.ndarray, widening: float) -> np.ndarray:
        """How far the beds at [depth, x] have been dragged up, m (negative: let down).

        ``drag e^−r − withdrawal (r/2)² e^(2−r)`` at r drag widths from the salt: up at the
        flank, deepest in the rim syncline at r = 2.
        """
        away = self._distance(x, z, widening)
        away *= away
        away += ROUNDING**2
        ratio = (np.sqrt(away) - ROUNDING) / self.drag_width
        fade = np.exp(-ratio)
        ratio *= ratio
        ratio *= -0.25 * math.exp(2) * self.withdrawal
        ratio += self.drag
        return ratio * fade

    def _distance(self, x: np.ndarray, z: np.ndarray, widening: float) -> np.ndarray:
        """Distance to the body's smooth outline, m: radial above its head, else sideways."""
        aside = x - self._centre(z)
        height = self.left.equator * (self.base - self.crest)
        below = z[:, 0] - (self.crest + height)
        neck = int(np.searchsorted(below, 0.0))
        distance = np.empty_like(aside)

        head = np.where(aside[:neck] < 0, 1 / self.left.head, 1 / self.right.head) / widening
        over = below[:neck, None] ** 2
        across = aside[:neck] ** 2
        scaled = across * head**2 + over / height**2
        distance[:neck] = np.sqrt(across + over) * (1 - 1 / np.sqrt(np.maximum(scaled, 1.0)))

        lower = z[neck:]
        left, right = (table(lower) * widening for table in self._tables)
        flank = np.maximum(aside[neck:] - right, -aside[neck:] - left)
        under = np.maximum(lower - self.base, 0.0)
        flank = np.maximum(flank, 0.0)
        distance[neck:] = np.sqrt(flank**2 + under**2) if under.any() else flank
        return distance

    def _centre(self, z: np.ndarray) -> np.ndarray:
        t = np.clip((z - self.crest) / (self.base - self.crest), 0.0, 1.0)
        return self.x + self.lean * t + self.bend * (4 * t * (1 - t))

    @cached_property
    def _tables(self) -> tuple[Table, Table]:
        height = self.base - self.crest
        z = np.linspace(self.crest - 0.01 * height, self.base + 0.01 * height, 4096)
        return tuple(
            Table.on(z, side((z - self.crest) / height)) for side in (self.left, self.right)
        )

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "kind": self.kind,
            "x_m": self.x,
            "crest_depth_m": self.crest,
            "base_depth_m": self.base,
            "head_width_m": self.left.head + self.right.head,
            "neck_width_m": self.left.neck + self.right.neck,
            "foot_width_m": self.left.foot + self.right.foot,
            "lean_m": self.lean,
            "drag_m": self.drag,
            "drag_width_m": self.drag_width,
            "withdrawal_m": self.withdrawal,
        }


@dataclass(frozen=True)
class Sheet:
    """Allochthonous salt between a rough top and a smoother, climbing base, with rounded ends.

    It runs from ``root`` to ``tip`` (x, m). The middle lies at ``depth`` at the root and
    ``climb`` m higher at the tip, bent by ``base_waves``. ``top_waves`` roughen the top.
    Beds above are lifted by ``lift`` of the salt's thickness, which dies away upwards over
    ``drag_width`` (m); beds below stay where they were.
    """

    root: float
    tip: float
    depth: float
    climb: float
    thickness: float
    squareness: float
    top_waves: Waves
    base_waves: Waves
    lift: float
    drag_width: float

    def excess(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance from the middle over the half-thickness [depth, x]: below 1 in the salt."""
        middle, half = self._middle(x), self._half(x)
        above = middle - z
        blunt = smooth_step(2.5 * half / self.thickness)
        top = half + blunt * np.maximum(self.top_waves(x), -0.7 * half)
        reach = np.where(above > 0, top, half)
        with np.errstate(divide="ignore"):
            return np.where(reach > 0, np.abs(above) / np.maximum(reach, 1e-9), np.inf)

    def uplift(self, x: np.ndarray, z: np.ndarray, widening: float) -> np.ndarray:
        """How far the beds at [depth, x] have been lifted by the salt under them, m."""
        half = self._half(x) * widening
        # Squared, so that the beds come down gently beyond the rounded ends.
        swell = self.lift * 2 * half * half / max(self.thickness * widening / 2, 1e-9)
        height = self._middle(x) - z
        inside = np.clip((height + half) / np.maximum(2 * half, 1e-9), 0.0, 1.0)
        return swell * inside * np.exp(np.maximum(height - half, 0.0) / -self.drag_width)

    def _along(self, x: np.ndarray) -> np.ndarray:
        return (x - self.root) / (self.tip - self.root)

    def _middle(self, x: np.ndarray) -> np.ndarray:
        return self.depth - self.climb * smooth_step(self._along(x)) + self.base_waves(x)

    def _half(self, x: np.ndarray) -> np.ndarray:
        # The power moves the thickest place towards the root: tongues thin outwards.
        along = np.clip(self._along(x), 0.0, 1.0) ** 0.8
        return self.thickness / 2 * (1 - np.abs(2 * along - 1) ** self.squareness) ** 0.5

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "kind": "sheet",
            "root_x_m": self.root,
            "tip_x_m": self.tip,
            "root_depth_m": self.depth,
            "climb_m": self.climb,
            "thickness_m": self.thickness,
            "lift": self.lift,
            "drag_width_m": self.drag_width,
        }
