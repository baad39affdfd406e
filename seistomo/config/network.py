"""``[network]``: the network that maps gathers to a velocity model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seistomo.config.section import Section, chosen, setting

Count = Annotated[int, Field(ge=1, le=10**6)]
Triple = tuple[Count, Count, Count]
_TOMOGRAPHY = chosen("network.name", "tomography")
_UNET = chosen("network.name", "unet")


class NetworkConfig(Section):
    """Convolutional network; every size of survey and model works.

    `channels`, `kernels` and `pools` are the tomography network's; `encoder_channels`, `latent`
    and `decoder_channels` the unet's. The start of the output is described for both.
    """

    name: Literal["tomography", "unet"] = setting(
        "tomography",
        "The published 3D CNN with its dense layer, or a 2D U-Net that fuses what it sees in each"
        " shot.",
    )
    channels: tuple[Count, ...] = setting(
        (10, 20, 30, 40), "Output channels of each 3D convolution.", needs=_TOMOGRAPHY
    )
    kernels: tuple[Triple, ...] = setting(
        ((5, 4, 4), (5, 4, 4), (5, 4, 4), (4, 4, 4)),
        "Kernel of each convolution [source, receiver, time].",
        needs=_TOMOGRAPHY,
    )
    pools: tuple[Triple, ...] = setting(
        ((1, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3)),
        "Max pooling after each convolution [source, receiver, time].",
        needs=_TOMOGRAPHY,
    )
    encoder_channels: tuple[Count, ...] = setting(
        (16, 32, 64, 96, 128),
        "Channels of each 2D level of the encoder; each halves receivers and time. Long axes get"
        " more levels, as wide as the last.",
        needs=_UNET,
        min_length=1,
    )
    latent: Count = setting(256, "Numbers between encoder and decoder.", needs=_UNET)
    decoder_channels: tuple[Count, ...] = setting(
        (128, 96, 64, 32, 16),
        "Channels of each level of the decoder; each but the first doubles the image. Large"
        " models get more levels, as wide as the first.",
        needs=_UNET,
        min_length=1,
    )
    output_bias: Literal["mean", "zero"] = setting(
        "mean", "Start of the last bias: the mean training model, or zero (published)."
    )
    output_scale: float = setting(
        0.05, "Factor on the last layer's Glorot weights; 1 is as published.", gt=0, le=1e6
    )

    output_coarsening: int = setting(
        1,
        "Nodes of the model from one output of the last layer to the next, with linear"
        " interpolation between: above 1, less noise from node to node; 1 is as published.",
        ge=1,
        le=1000,
    )

    @property
    def sees_positions(self) -> bool:
        """Whether the network sees where sources and receivers are."""
        return self.name == "unet"

    @model_validator(mode="after")
    def _one_entry_a_layer(self) -> "NetworkConfig":
        if not len(self.channels) == len(self.kernels) == len(self.pools) >= 1:
            raise ValueError(
                "network.channels, network.kernels and network.pools must have one entry a layer:"
                f" they have {len(self.channels)}, {len(self.kernels)} and {len(self.pools)}"
            )
        return self
