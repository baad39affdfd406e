"""Build the network that a configuration names."""

import torch
from torch import nn

from seistomo.config import NetworkConfig
from seistomo.networks.tomography import TomographyNetwork
from seistomo.networks.unet import UNet


def build_network(
    config: NetworkConfig,
    gather_shape: tuple[int, int, int],
    velocity_shape: tuple[int, int],
    generator: torch.Generator | None = None,
    positions: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> TomographyNetwork | UNet:
    """Build a network for one size of survey and model.

    Parameters
    ----------
    config
        The section ``[network]`` of the configuration.
    gather_shape
        (source, receiver, time).
    velocity_shape
        (depth, x).
    generator
        Source of the random start weights; left out: torch's global one.
    positions
        x of sources and receivers, which the U-Net sees; see `UNet`.

    Returns
    -------
    TomographyNetwork or UNet
        Maps gathers [batch, 1, source, receiver, time] to velocity [batch, depth, x], both
        scaled. ``set_output_bias(mean_velocity)`` starts it at a model, and
        ``largest_activation`` is the number of values a sample in its largest layer.
    """
    output = {
        "output_scale": config.output_scale,
        "output_coarsening": config.output_coarsening,
        "generator": generator,
    }
    # Torch's layers draw from the global generator first: with one of our own, unseen.
    with torch.random.fork_rng(devices=[], enabled=generator is not None):
        if config.name == "unet":
            channels = config.encoder_channels, config.latent, config.decoder_channels
            return UNet(gather_shape, velocity_shape, *channels, **output, positions=positions)
        layers = config.channels, config.kernels, config.pools
        return TomographyNetwork(gather_shape, velocity_shape, *layers, **output)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable weights, biases included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
