"""What may make predictions better, one change at a time: settings for an ablation.

Every variant is a list of ``--set`` overrides on top of the benchmark's configuration, which has
the published network and loss. A ladder at the end puts together what can be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from seistomo.config import Config, with_overrides

# What each network needs to cost no more than the small benchmark's CNN.
SMALL_UNET = (
    "network.name=unet",
    "network.encoder_channels=[8, 16, 32, 48]",
    "network.latent=128",
    "network.decoder_channels=[48, 32, 24, 16]",
)
MIRROR = ("training.mirror=true",)
MIRROR_TWICE = (*MIRROR, "evaluation.mirror=true")
GAIN = ("training.gather_scaling=gain", "training.gain_power=1.0")
FIELD = ("training.noise_snr=[0.0, 30.0]", "training.dead_traces=[0.0, 0.3]")
STRUCTURE = ("training.loss=mse+ssim",)
EMA = ("training.averaging=ema", "training.averaging_decay=0.99")


@dataclass(frozen=True)
class Variant:
    """One row of the ablation.

    Attributes
    ----------
    about
        What is changed, for the table.
    overrides
        ``section.key=value`` strings.
    convex
        Whether the loss stays convex in the outputs: if not, SQGN and SGN are left out.
    """

    about: str
    overrides: tuple[str, ...] = ()
    convex: bool = True

    def applied(self, config: Config) -> Config:
        """Return a configuration with the variant's settings."""
        return with_overrides(config, self.overrides)


VARIANTS: dict[str, Variant] = {
    "baseline": Variant("the benchmark's settings"),
    "scaling-none": Variant("gathers as recorded", ("training.gather_scaling=none",)),
    "scaling-standard": Variant("linear scaling", ("training.gather_scaling=standard",)),
    "scaling-trace": Variant("each trace by its own level", ("training.gather_scaling=trace",)),
    "gain": Variant("gain with time", GAIN),
    "gain-squared": Variant(
        "gain with time squared", ("training.gather_scaling=gain", "training.gain_power=2.0")
    ),
    "mute-direct": Variant("direct wave muted", ("training.mute=direct",)),
    "gain-mute-direct": Variant("gain, direct wave muted", (*GAIN, "training.mute=direct")),
    "gain-mute-top": Variant("gain, all up to the direct wave muted", (*GAIN, "training.mute=top")),
    "mirror": Variant("mirrored in training", MIRROR),
    "mirror-test": Variant("mirrored in prediction", ("evaluation.mirror=true",)),
    "mirror-both": Variant("mirrored in training and prediction", MIRROR_TWICE),
    "noise": Variant("noise in training, 0 to 30 dB", FIELD[:1]),
    "dead-traces": Variant("up to 30 % dead traces in training", FIELD[1:]),
    "noise-dead-traces": Variant("noise and dead traces in training", FIELD),
    "ssim-weak": Variant(
        "squared error and SSIM, weight 0.02", (*STRUCTURE, "training.ssim_weight=0.02"), False
    ),
    "ssim": Variant("squared error and SSIM, weight 0.05", STRUCTURE, False),
    "ssim-strong": Variant(
        "squared error and SSIM, weight 0.2", (*STRUCTURE, "training.ssim_weight=0.2"), False
    ),
    "ema": Variant("moving average of the weights", EMA),
    "tail": Variant(
        "mean of the weights of the last 10 epochs",
        ("training.averaging=tail", "training.averaging_epochs=10"),
    ),
    "coarse-output": Variant("outputs on every third node", ("network.output_coarsening=3",)),
    "unet": Variant("encoder-decoder", SMALL_UNET),
    "unet-mirror": Variant("encoder-decoder, mirrored in both", (*SMALL_UNET, *MIRROR_TWICE)),
    "all-convex": Variant(
        "encoder-decoder, gain, mirrored in both, moving average",
        (*SMALL_UNET, *GAIN, *MIRROR_TWICE, *EMA),
    ),
    "all": Variant(
        "the same with SSIM in the loss",
        (*SMALL_UNET, *GAIN, *MIRROR_TWICE, *EMA, *STRUCTURE),
        False,
    ),
}


def variants_for(optimizer: str, names: Sequence[str] | None = None) -> dict[str, Variant]:
    """Return the variants that an optimizer can use, in the table's order.

    Parameters
    ----------
    optimizer
        Its registered name.
    names
        Which ones; left out: all.
    """
    wanted = VARIANTS if names is None else {name: VARIANTS[name] for name in names}
    needs_curvature = optimizer in ("sgn", "sqgn")
    return {key: one for key, one in wanted.items() if one.convex or not needs_curvature}
