"""Networks: from the gathers of a survey to a velocity model, and for the papers' benchmarks."""

from seistomo.networks.build import build_network, parameter_count
from seistomo.networks.classifiers import MLP, SmallVGG, build_classifier
from seistomo.networks.encoder_decoder import EncoderDecoder
from seistomo.networks.mnist import MnistCNN
from seistomo.networks.tomography import TomographyNetwork

__all__ = [
    "MLP",
    "EncoderDecoder",
    "MnistCNN",
    "SmallVGG",
    "TomographyNetwork",
    "build_classifier",
    "build_network",
    "parameter_count",
]
