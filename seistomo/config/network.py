"""``[network]``: the network that maps gathers to a velocity model."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seistomo.config.base import Section

Count = Annotated[int, Field(ge=1)]
Triple = tuple[Count, Count, Count]


class NetworkConfig(Section):
    """Convolutional network; every size of survey and model works.

    `channels`, `kernels` and `pools` are the tomography network's; `encoder_channels`, `latent`
    and `decoder_channels` the unet's. The start of the output is described for both.
    """

    name: Literal["tomography", "unet"] = Field(
        "tomography",
        description="The published 3D CNN with its dense layer, or an encoder-decoder in the manner"
        " of InversionNet.",
    )
    channels: tuple[Count, ...] = Field(
        (10, 20, 30, 40), description="Output channels of each 3D convolution."
    )
    kernels: tuple[Triple, ...] = Field(
        ((5, 4, 4), (5, 4, 4), (5, 4, 4), (4, 4, 4)),
        description="Kernel of each convolution [source, receiver, time].",
    )
    pools: tuple[Triple, ...] = Field(
        ((1, 3, 3), (2, 3, 3), (2, 3, 3), (2, 3, 3)),
        description="Max pooling after each convolution [source, receiver, time].",
    )
    encoder_channels: tuple[Count, ...] = Field(
        (16, 32, 64, 96, 128),
        min_length=1,
        description="Channels of each 2D level of the encoder; each halves receivers and time. Long"
        " axes get more levels, as wide as the last.",
    )
    latent: Count = Field(256, description="Numbers between encoder and decoder.")
    decoder_channels: tuple[Count, ...] = Field(
        (128, 96, 64, 32, 16),
        min_length=1,
        description="Channels of each level of the decoder; each but the first doubles the image."
        " Large models get more levels, as wide as the first.",
    )
    output_bias: Literal["mean", "zero"] = Field(
        "mean", description="Start of the last bias: the mean training model, or zero (published)."
    )
    output_scale: float = Field(
        0.05, gt=0, description="Factor on the last layer's Glorot weights; 1 is as published."
    )

    output_coarsening: int = Field(
        1,
        ge=1,
        description="Nodes of the model from one output of the last layer to the next, with linear"
        " interpolation between: above 1, less noise from node to node; 1 is as published.",
    )

    @model_validator(mode="after")
    def _one_entry_a_layer(self) -> "NetworkConfig":
        if not len(self.channels) == len(self.kernels) == len(self.pools) >= 1:
            raise ValueError(
                "network.channels, network.kernels and network.pools must have one entry a layer:"
                f" they have {len(self.channels)}, {len(self.kernels)} and {len(self.pools)}"
            )
        return self
