"""Drawing salt bodies of a given area: how many, of which shape, how slender, where."""

from dataclasses import dataclass, replace

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import Waves, draw_between
from seistomo.velocity.extent import Extent
from seistomo.velocity.salt_shapes import Sheet, Side, Stock

Body = Stock | Sheet

# Mean width over height of upright bodies, and mean thickness over length of flat ones.
SLENDERNESS = {"dome": (0.25, 0.9), "diapir": (0.11, 0.34), "teardrop": (0.28, 0.6)}
FLATNESS = {"sheet": (0.1, 0.24), "canopy": (0.15, 0.28)}
# Below these areas (fraction of the model) a second body or a feeder would be a mere thread.
LEAST_FOR_TWO, LEAST_FOR_FEEDER = 0.06, 0.06


def draw_bodies(
    rng: np.random.Generator, config: VelocityConfig, extent: Extent, top: float, area: float
) -> tuple[Body, ...]:
    """Draw bodies below ``top`` (m) of about ``area`` (fraction of the model) together.

    A canopy consists of several, a sheet may bring its feeder.
    """
    kinds = _draw_kinds(rng, config, area)
    first = rng.uniform(0.35, 0.65)
    shares = (1.0,) if len(kinds) == 1 else (first, 1 - first)
    place = _Place(rng, config, extent, top)
    bodies: list[Body] = []
    for kind, share, slot in zip(kinds, shares, _draw_slots(rng, len(kinds)), strict=True):
        bodies.extend(place.draw(kind, share * area, slot * extent.width))
    return tuple(bodies)


def _draw_kinds(rng: np.random.Generator, config: VelocityConfig, area: float) -> list[str]:
    names = list(config.salt_shapes)
    weights = np.array([config.salt_shapes[name] for name in names])
    low, high = config.salt_bodies
    count = int(rng.integers(low, high, endpoint=True))
    kinds = [str(name) for name in rng.choice(names, size=2, p=weights / weights.sum())]
    if "canopy" in kinds[:count]:
        return ["canopy"]
    if area < LEAST_FOR_TWO:
        count = low
    return kinds[:count]


def _draw_slots(rng: np.random.Generator, count: int) -> list[float]:
    """Draw places along x as fractions of the width."""
    if count == 1:
        return [rng.uniform(0.22, 0.78)]
    slots = [rng.uniform(0.1, 0.34), rng.uniform(0.66, 0.9)]
    return slots if rng.random() < 0.5 else slots[::-1]


@dataclass(frozen=True)
class _Place:
    """What all bodies of a model are drawn from; ``top`` is the highest crest allowed, m."""

    rng: np.random.Generator
    config: VelocityConfig
    extent: Extent
    top: float

    @property
    def base(self) -> float:
        """Depth of the roots, m: a little below the model."""
        return 1.03 * self.extent.depth

    def draw(self, kind: str, area: float, x: float) -> list[Body]:
        """Draw a body of about ``area`` (fraction of the model) at ``x``, m."""
        if kind == "sheet":
            direction = float(self.rng.choice([-1.0, 1.0]))
            return self._tongue(kind, area, (x, 0.5), direction, self._depth())
        if kind == "canopy":
            return self._canopy(area, x)
        return [self._upright(kind, self._square(area), x)]

    def _square(self, area: float) -> float:
        return area * self.extent.depth * self.extent.width

    def _depth(self) -> float:
        return self.top + self.rng.uniform(0.1, 0.55) * (self.base - self.top)

    def _upright(self, kind: str, square: float, x: float) -> Stock:
        rng, room = self.rng, self.base - self.top
        height = min(np.sqrt(square / draw_between(rng, SLENDERNESS[kind])), room)
        crest = self.base - height
        if kind == "teardrop":
            crest = self.top + rng.uniform(0, 0.7) * (room - height)
        left, right = _sides(rng, kind, square / height)
        lean = 0.0 if kind == "dome" else rng.uniform(-0.35, 0.35) * height
        bend = rng.uniform(-0.12, 0.12) * height
        # x is the place of the whole body, not that of its crest.
        x -= lean / 2 + 2 / 3 * bend
        return self._stock(kind, x, (crest, crest + height), (lean, bend), (left, right))

    def _stock(
        self,
        kind: str,
        x: float,
        ends: tuple[float, float],
        course: tuple[float, float],
        sides: tuple[Side, Side],
    ) -> Stock:
        rng, config = self.rng, self.config
        width = sides[0].head + sides[1].head
        rough = min(draw_between(rng, config.salt_rugosity), 0.2 * width)
        drag = draw_between(rng, config.salt_drag)
        return Stock(
            kind=kind,
            x=float(x),
            crest=float(ends[0]),
            base=float(ends[1]),
            lean=float(course[0]),
            bend=float(course[1]),
            left=sides[0],
            right=sides[1],
            crest_waves=Waves.draw(rng, rough, (90.0, 450.0), 5, smoothness=0.7),
            flank_waves=Waves.draw(rng, rough / 2.5, (100.0, 500.0), 4, smoothness=1.0),
            drag=drag,
            drag_width=draw_between(rng, config.salt_drag_width),
            withdrawal=float(rng.uniform(0.0, 0.5)) * drag,
        )

    def _canopy(self, area: float, x: float) -> list[Body]:
        """Two tongues that spread towards each other and meet in a suture at ``x``."""
        rng, depth = self.rng, self._depth()
        share = rng.uniform(0.4, 0.6)
        bodies: list[Body] = []
        for direction, part in ((1.0, share), (-1.0, 1 - share)):
            own = depth + rng.uniform(-0.05, 0.05) * (self.base - self.top)
            bodies += self._tongue("canopy", part * area, (x, 0.88), direction, own)
        return bodies

    def _tongue(
        self, kind: str, area: float, at: tuple[float, float], direction: float, depth: float
    ) -> list[Body]:
        """Draw a sheet, and perhaps its feeder; ``at`` tells which fraction of it lies at which x.

        ``direction`` is that from root to tip, ``depth`` the highest the root may lie, m.
        """
        rng = self.rng
        fed = rng.random() < 0.65 and area > LEAST_FOR_FEEDER
        stem = rng.uniform(0.2, 0.4) * self._square(area) if fed else 0.0
        square = self._square(area) - stem
        length = np.sqrt(square / draw_between(rng, FLATNESS[kind]))
        length = float(min(length, 1.05 * self.extent.width))
        root = at[0] - direction * at[1] * length
        sheet = self._sheet(root, root + direction * length, square / length / 0.85, depth)
        mouth = root + direction * length * rng.uniform(0.12, 0.35)
        feeder = self._feeder(sheet, mouth, stem)
        ends = (feeder.x, feeder.x + feeder.lean)
        inside = 0.05 * self.extent.width < min(ends) and max(ends) < 0.95 * self.extent.width
        return [sheet, feeder] if fed and inside else [sheet]

    def _sheet(self, root: float, tip: float, thickness: float, depth: float) -> Sheet:
        rng, config, length = self.rng, self.config, abs(tip - root)
        rough = min(1.2 * draw_between(rng, config.salt_rugosity), 0.3 * thickness)
        climb = float(rng.uniform(-0.05, 0.25)) * length
        return Sheet(
            root=float(root),
            tip=float(tip),
            depth=float(max(depth, self.top + max(climb, 0.0) + thickness / 2)),
            climb=climb,
            thickness=float(thickness),
            squareness=float(rng.uniform(2.0, 3.5)),
            top_waves=Waves.draw(rng, rough, (90.0, 500.0), 6, smoothness=0.8),
            base_waves=Waves.draw(rng, 0.35 * thickness, (length / 2, 2 * length), 3),
            lift=float(rng.uniform(0.3, 0.7)),
            drag_width=2 * draw_between(rng, config.salt_drag_width),
        )

    def _feeder(self, sheet: Sheet, x: float, square: float) -> Stock:
        """Draw the stem of about ``square`` m² that opens upwards into a sheet."""
        rng = self.rng
        crest = min(sheet.depth - 0.1 * sheet.thickness, self.base - 0.1 * self.extent.depth)
        height = self.base - crest
        neck = rng.uniform(0.5, 0.8)
        sides = tuple(
            Side(rng.uniform(1.4, 2.6), 0.12, neck, rng.uniform(0.35, 0.6), rng.uniform(0.8, 1.8))
            for _ in range(2)
        )
        lean = rng.uniform(-0.25, 0.25) * height
        ends = (crest, self.base)
        return self._stock("feeder", x, ends, (lean, 0.0), _scaled(sides, square / height))


def _sides(rng: np.random.Generator, kind: str, width: float) -> tuple[Side, Side]:
    """Draw the two sides of an upright body of mean ``width``, m."""
    equator = {"dome": (0.35, 0.7), "diapir": (0.14, 0.32), "teardrop": (0.25, 0.45)}[kind]
    equator = draw_between(rng, equator)
    squareness = float(rng.uniform(1.8, 2.8))
    sides = []
    for _ in range(2):
        if kind == "dome":
            side = Side(1.0, equator, rng.uniform(1.0, 1.15), 0.8, rng.uniform(1.2, 1.9))
        elif kind == "diapir":
            neck_at = rng.uniform(equator + 0.2, 0.8)
            side = Side(1.0, equator, rng.uniform(0.3, 0.6), neck_at, rng.uniform(0.5, 1.3))
        else:
            side = Side(1.0, equator, 0.0, 1.0, 0.0)
        sides.append(replace(side, squareness=squareness))
    uneven = rng.uniform(0.75, 1.25)
    return _scaled((sides[0].times(uneven), sides[1].times(2 - uneven)), width)


def _scaled(sides: tuple[Side, Side], width: float) -> tuple[Side, Side]:
    """Give the two sides a mean ``width`` together, m."""
    t = np.linspace(0.0, 1.0, 64)[1:]
    mean = (sides[0](t) + sides[1](t)).mean()
    return sides[0].times(width / mean), sides[1].times(width / mean)
