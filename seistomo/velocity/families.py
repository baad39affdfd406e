"""Draw the models of a family: which events happen to the earth, in geological order."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.config.velocity import OPENFWI_FAMILIES
from seistomo.velocity.earth import Earth
from seistomo.velocity.extent import Extent
from seistomo.velocity.faults import draw_faults, subsidence
from seistomo.velocity.folds import Folding, Unconformity
from seistomo.velocity.layers import LayerStack, SeaFloor
from seistomo.velocity.openfwi import Blocks, draw_openfwi
from seistomo.velocity.salt import draw_salt
from seistomo.velocity.style import Style

# Sets these draws apart from others that start from the same seed and index.
STREAM = 0x5E15

AnyEarth = Earth | Blocks | Style


@dataclass(frozen=True)
class VelocityModel:
    """A velocity model and what it was drawn from.

    Attributes
    ----------
    velocity
        P-wave speed, float32 [depth, x], m/s.
    salt_mask
        Whether a cell is salt, bool [depth, x].
    family
        One of ``seistomo.config.velocity.FAMILIES``.
    parameters
        Everything drawn, as JSON-able values with units in their names.
    """

    velocity: np.ndarray
    salt_mask: np.ndarray
    family: str
    parameters: dict


def draw_model(config: VelocityConfig, seed: int, index: int) -> VelocityModel:
    """Draw velocity model number ``index`` of the set with this ``seed``.

    The result depends on (config, seed, index) alone: not on the models drawn before, nor on
    the process.

    Parameters
    ----------
    config
        Grid and ranges of everything drawn.
    seed, index
        Seed of the data set and number of the sample, both at least 0.

    Returns
    -------
    The model, all speeds within ``config.minimum`` and ``config.maximum``.
    """
    family, earth, parameters = draw_earth(config, seed, index)
    velocity, salt_mask = earth.sample(config.shape, config.spacing)
    return VelocityModel(velocity, salt_mask, family, parameters)


def draw_earth(config: VelocityConfig, seed: int, index: int) -> tuple[str, AnyEarth, dict]:
    """Draw the earth of one sample.

    Parameters
    ----------
    config
        Ranges of everything drawn.
    seed, index
        Seed of the data set and number of the sample; nothing else decides what is drawn.

    Returns
    -------
    Name of the family, the earth (its ``sample(shape, spacing)`` lays a grid on it), and
    everything drawn as JSON-able values.
    """
    # Each event has its own stream: changing the folds of a config leaves the layers alone.
    seeds = np.random.SeedSequence([seed, index], spawn_key=(STREAM,)).spawn(7)
    streams = [np.random.Generator(np.random.PCG64(entropy)) for entropy in seeds]
    family = _draw_family(streams[0], config)
    if family in OPENFWI_FAMILIES:
        return family, *draw_openfwi(family, config, *streams[1:4])
    return family, *_draw_geological(family, config, streams)


def _draw_geological(
    family: str, config: VelocityConfig, streams: list[np.random.Generator]
) -> tuple[Earth, dict]:
    """Draw layers and what happened to them."""
    family_rng, sea_rng, layer_rng, gap_rng, fold_rng, fault_rng, salt_rng = streams
    mixture = family == "mixture"
    salty = _has_salt(family_rng, config, family)
    extent = Extent.of(config.shape, config.spacing)
    sea_floor = SeaFloor.draw(sea_rng, config, extent)
    depth = extent.depth - sea_floor.depth
    floor = max(config.minimum, min(sea_floor.water_velocity, config.surface_velocity[0]))
    layers = LayerStack.draw(layer_rng, config, extent, depth, spare=depth, floor=floor)

    uneven = family in ("folds", "mixture") and gap_rng.random() < config.unconformity_probability
    unconformity = Unconformity.draw(gap_rng, layers, extent, depth) if uneven else None
    folding = None
    if family != "layers" and config.folds[1] > 0:
        folding = Folding.draw(fold_rng, config, extent, gentle=family in ("faults", "salt"))
    faults = ()
    if family in ("faults", "mixture"):
        faults = draw_faults(fault_rng, config, extent, least=0 if mixture else 1)
    salt = draw_salt(salt_rng, config, extent, sea_floor.depth) if salty else None
    level = subsidence(faults, extent)
    bounds = (config.minimum, config.maximum)
    earth = Earth(sea_floor, layers, unconformity, folding, faults, level, salt, bounds)
    return earth, _parameters(earth, depth)


def _draw_family(rng: np.random.Generator, config: VelocityConfig) -> str:
    names = list(config.families)
    weights = np.array([config.families[name] for name in names])
    return str(rng.choice(names, p=weights / weights.sum()))


def _has_salt(rng: np.random.Generator, config: VelocityConfig, family: str) -> bool:
    share = {"salt": 1 - config.salt_free_probability, "mixture": config.salt_in_mixture}
    return bool(rng.random() < share.get(family, 0.0))


def _parameters(earth: Earth, depth: float) -> dict:
    def described(part) -> dict | None:
        return None if part is None else part.parameters()

    return {
        "water": described(earth.sea_floor) if earth.sea_floor.depth else None,
        "layers": earth.layers.parameters(depth),
        "unconformity": described(earth.unconformity),
        "folds": described(earth.folding),
        "faults": [fault.parameters() for fault in earth.faults],
        "salt": described(earth.salt),
    }
