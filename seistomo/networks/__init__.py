"""Networks: from the gathers of a survey to a velocity model, and for the papers' benchmarks."""

from seistomo.networks.build import build_network, parameter_count
from seistomo.networks.classifiers import MLP, SmallVGG, build_classifier
from seistomo.networks.mnist import MnistCNN
from seistomo.networks.tomography import TomographyNetwork
from seistomo.networks.unet import UNet

__all__ = [
    "MLP",
    "MnistCNN",
    "SmallVGG",
    "TomographyNetwork",
    "UNet",
    "build_classifier",
    "build_network",
    "parameter_count",
]
