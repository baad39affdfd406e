"""From a velocity model to the gathers of a survey over it: the acoustic wave equation."""

from seistomo.simulation.checks import check_simulation
from seistomo.simulation.propagate import Simulator
from seistomo.simulation.survey import Survey, add_noise, draw_dead_traces
from seistomo.simulation.wavelet import make_wavelet

__all__ = [
    "Simulator",
    "Survey",
    "add_noise",
    "check_simulation",
    "draw_dead_traces",
    "make_wavelet",
]
