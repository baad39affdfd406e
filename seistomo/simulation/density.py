"""Density from speed."""

import numpy as np

from seistomo.config import Config

# Gardner, Gardner & Gregory (1974), Geophysics 39(6), 770-780: 0.23 v^0.25 in g/cm³ and ft/s,
# which is 310 v^0.25 in kg/m³ and m/s.
GARDNER_FACTOR, GARDNER_EXPONENT = 310.0, 0.25


def density_of(velocity: np.ndarray, config: Config) -> np.ndarray:
    """Return the density of models: by Gardner's relation, water and salt apart.

    What is slower than ``simulation.water_speed`` is water of ``simulation.water_density``; what
    is faster than ``evaluation.salt_threshold`` is salt of ``simulation.salt_density``, if that
    is given.

    Parameters
    ----------
    velocity
        float32 [model, depth, x], m/s.

    Returns
    -------
    numpy.ndarray
        float32 [model, depth, x], kg/m³.
    """
    settings = config.simulation
    density = GARDNER_FACTOR * velocity.astype(np.float64) ** GARDNER_EXPONENT
    density[velocity < settings.water_speed] = settings.water_density
    if settings.salt_density is not None:
        density[velocity > config.evaluation.salt_threshold] = settings.salt_density
    return density.astype(np.float32)


def density_range(config: Config) -> tuple[float, float]:
    """Return the lowest and highest density that models within the bounds may have, kg/m³."""
    low, high = config.velocity.minimum, config.velocity.maximum
    water, salt = config.simulation.water_speed, config.evaluation.salt_threshold
    # Density rises with speed but for the steps at these two.
    turns = [low, np.nextafter(water, 0), water, salt, np.nextafter(salt, np.inf), high]
    density = density_of(np.clip(turns, low, high)[None, None], config)
    return float(density.min()), float(density.max())
