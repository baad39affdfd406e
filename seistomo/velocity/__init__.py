"""Random earth models: layers, folds, faults, salt and their mixtures, in geological order."""

from seistomo.velocity.earth import Earth
from seistomo.velocity.families import VelocityModel, draw_earth, draw_model

__all__ = ["Earth", "VelocityModel", "draw_earth", "draw_model"]
