"""One velocity model: an earth drawn at random and sampled on the configured grid."""

from dataclasses import dataclass

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.velocity.families import draw_earth


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
