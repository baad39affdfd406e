"""Networks that map the gathers of a survey to a velocity model."""

from seistomo.networks.build import build_network, parameter_count
from seistomo.networks.tomography import TomographyNetwork

__all__ = ["TomographyNetwork", "build_network", "parameter_count"]
