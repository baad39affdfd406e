"""Salt: the bodies of one model, its area, and how it pierces the beds and drags them up."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.curves import draw_between
from seistomo.velocity.extent import Extent
from seistomo.velocity.salt_bodies import Body, draw_bodies

# Nodes of the grid on which the area is set, whatever the model's own grid.
AREA_NODES = 160
# Factor beyond which bodies are not widened, though their area be too small: where hardly any
# room is left below the cover.
WIDEST = 3.0


@dataclass(frozen=True)
class Salt:
    """The salt of one model: bodies that share a speed and a factor on their widths.

    No salt lies less than ``cover`` m below the sea floor.
    """

    bodies: tuple[Body, ...]
    velocity: float
    widening: float
    area: float
    cover: float

    def inside(self, x: np.ndarray, z: np.ndarray, burial: np.ndarray) -> np.ndarray:
        """Whether points [depth, x] lie in salt; ``burial`` is their depth below the sea floor."""
        return (_excess(self.bodies, x, z) < self.widening) & (burial > self.cover)

    def restore(
        self, x: np.ndarray, z: np.ndarray, depth: np.ndarray, burial: np.ndarray
    ) -> np.ndarray:
        """Depth [depth, x] of the beds before salt dragged them up, m.

        The upturn fades towards the sea floor (beds laid down later are bent less), and
        under overhangs beds are stretched rather than overturned: restored depth grows with
        depth at no less than a quarter of its rate.
        """
        lift = sum(body.uplift(x, z, self.widening) for body in self.bodies)
        lift *= -np.expm1(np.maximum(burial, 0.0) / (-2 * self.cover))
        lift += depth
        lift -= 0.25 * z
        return np.maximum.accumulate(lift, axis=0) + 0.25 * z

    def parameters(self) -> dict:
        """Return what was drawn."""
        return {
            "velocity_m_s": self.velocity,
            "area_fraction": self.area,
            "widening": self.widening,
            "bodies": [body.parameters() for body in self.bodies],
        }


def draw_salt(
    rng: np.random.Generator, config: VelocityConfig, extent: Extent, sea_floor: float
) -> Salt:
    """Draw the salt of a model whose sediments begin at ``sea_floor`` m on average."""
    low, high = config.salt_area
    # The ends are left out where possible: the model's area is counted in whole cells.
    area = draw_between(rng, (min(1.04 * low, high), max(0.97 * high, low)))
    velocity = draw_between(rng, config.salt_velocity)
    cover = min(draw_between(rng, config.salt_cover), 0.5 * (extent.depth - sea_floor))
    bodies = draw_bodies(rng, config, extent, sea_floor + cover, area)
    least_cover = max(min(cover / 2, 40.0), 0.001 * extent.depth)
    widening = _widening(bodies, extent, area, sea_floor + least_cover)
    return Salt(bodies, velocity, widening, area, least_cover)


def _excess(bodies: tuple[Body, ...], x: np.ndarray, z: np.ndarray) -> np.ndarray:
    least = bodies[0].excess(x, z)
    for body in bodies[1:]:
        least = np.minimum(least, body.excess(x, z))
    return least


def _widening(bodies: tuple[Body, ...], extent: Extent, area: float, top: float) -> float:
    """Find the factor on all widths with which the salt below ``top`` has its area."""
    x, z = extent.points(AREA_NODES, AREA_NODES)
    excess = np.where(z > top, _excess(bodies, x, z), np.inf).ravel()
    rank = round(area * excess.size)
    return min(float(np.partition(excess, rank)[rank]), WIDEST)
