"""Waveform inversion from a network's prediction: the model must explain the gathers."""

from seistomo.refinement.inversion import Inversion, Inverter
from seistomo.refinement.refine import refine

__all__ = ["Inversion", "Inverter", "refine"]
