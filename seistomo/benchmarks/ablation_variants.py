"""What may make predictions better, one change at a time: settings for an ablation.

Every variant is a list of ``--set`` overrides on top of the benchmark's configuration, which has
the published network and loss. Some overrides follow from the size of the problem. A ladder at the
end puts together what can be.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from seistomo.benchmarks.operations import count_operations
from seistomo.config import Config, with_overrides
from seistomo.config.network import NetworkConfig
from seistomo.config.training import TrainingConfig
from seistomo.errors import InputError
from seistomo.networks import build_network, parameter_count
from seistomo.optim import SGN, SQGN, make_optimizer

BASELINE = "baseline"


def _unet(encoder: Sequence[int], latent: int, decoder: Sequence[int]) -> tuple[str, ...]:
    return (
        "network.name=unet",
        f"network.encoder_channels={list(encoder)}",
        f"network.latent={latent}",
        f"network.decoder_channels={list(decoder)}",
    )


SMALL_UNET = _unet((8, 16, 32, 48), 128, (48, 32, 24, 16))
UNETS = (
    ("network.name=unet",),
    SMALL_UNET,
    _unet((8, 16, 24, 32), 48, (32, 24, 16, 16)),
    _unet((4, 8, 8), 16, (8, 8, 4)),
)
"""Encoder-decoders from large to small: the defaults, then for smaller surveys."""

MIRROR = ("training.mirror=true",)
MIRROR_TEST = ("evaluation.mirror=true",)
MIRROR_TWICE = (*MIRROR, *MIRROR_TEST)
GAIN = ("training.gather_scaling=gain", "training.gain_power=1.0")
NOISE = ("training.noise_snr=[0.0, 30.0]",)
DEAD_TRACES = ("training.dead_traces=[0.0, 0.3]",)
STRUCTURE = ("training.loss=mse+ssim",)
EMA = ("training.averaging=ema", "training.averaging_decay=0.99")
# Share of the epochs that "tail" averages.
TAIL = 0.2

Derived = Callable[[Config], tuple[str, ...]]
"""Overrides that follow from a configuration."""


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes
    ----------
    weights
        How many.
    gigaflops
        GFLOP of the gradient of one sample, as of `count_operations`.
    """

    weights: int
    gigaflops: float


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
    derived
        Functions that give further overrides for a configuration.
    """

    about: str
    overrides: tuple[str, ...] = ()
    convex: bool = True
    derived: tuple[Derived, ...] = ()

    def settings(self, config: Config) -> tuple[str, ...]:
        """Return all overrides on top of a configuration."""
        return (*self.overrides, *(text for derive in self.derived for text in derive(config)))

    def applied(self, config: Config) -> Config:
        """Return a configuration with the variant's settings."""
        return with_overrides(config, self.settings(config))


def network_cost(config: Config) -> Cost:
    """Return what the network of a configuration costs."""
    survey = config.survey
    gathers = survey.sources, survey.receivers, survey.time_samples
    return _network_cost(config.network.model_dump_json(), gathers, tuple(config.velocity.shape))


@functools.cache
def _network_cost(text: str, gathers: tuple[int, int, int], shape: tuple[int, int]) -> Cost:
    network = build_network(
        NetworkConfig.model_validate_json(text), gathers, shape, torch.Generator()
    )
    gradient = count_operations(network, (1, *gathers)).gradient
    return Cost(parameter_count(network), gradient / 1e9)


def unet_at_no_more_cost(config: Config) -> tuple[str, ...]:
    """Return the largest encoder-decoder with no more weights and GFLOP than the network's.

    Where none of `UNETS` is that cheap, the last of them.
    """
    most = network_cost(config)
    for unet in UNETS:
        cost = network_cost(with_overrides(config, unet))
        if cost.weights <= most.weights and cost.gigaflops <= most.gigaflops:
            return unet
    return UNETS[-1]


def surface_speed(config: Config) -> tuple[str, ...]:
    """Return the speed of the direct wave to mute by.

    It is the configuration's where some models are under water, for which the default is meant,
    or where another one is given; else the mean speed of the uppermost layer.
    """
    velocity, speed = config.velocity, config.training.mute_speed
    default = TrainingConfig.model_fields["mute_speed"].default
    if velocity.water_probability > 0 or speed != default:
        return ()
    if velocity.layer_speeds == "rising":
        # The lowest of so many speeds that are uniform in a range.
        low = velocity.surface_velocity[0]
        speed = low + (velocity.velocity_cap - low) / (fmean(velocity.layers) + 1)
    else:
        speed = fmean(velocity.surface_velocity)
    return (f"training.mute_speed={speed:.0f}",)


def last_fifth(config: Config) -> tuple[str, ...]:
    """Return how many epochs the mean of the weights is taken over."""
    return (f"training.averaging_epochs={max(1, round(TAIL * config.training.epochs))}",)


VARIANTS: dict[str, Variant] = {
    BASELINE: Variant("the benchmark's settings"),
    "scaling-none": Variant("gathers as recorded", ("training.gather_scaling=none",)),
    "scaling-standard": Variant("linear scaling", ("training.gather_scaling=standard",)),
    "scaling-trace": Variant("each trace by its own level", ("training.gather_scaling=trace",)),
    "gain": Variant("gain with time", GAIN),
    "gain-squared": Variant(
        "gain with time squared", ("training.gather_scaling=gain", "training.gain_power=2.0")
    ),
    "mute-direct": Variant(
        "direct wave muted", ("training.mute=direct",), derived=(surface_speed,)
    ),
    "gain-mute-direct": Variant(
        "gain, direct wave muted", (*GAIN, "training.mute=direct"), derived=(surface_speed,)
    ),
    "gain-mute-top": Variant(
        "gain, all up to the direct wave muted",
        (*GAIN, "training.mute=top"),
        derived=(surface_speed,),
    ),
    "mirror": Variant("mirrored in training", MIRROR),
    "mirror-test": Variant("mirrored in prediction", MIRROR_TEST),
    "mirror-both": Variant("mirrored in training and prediction", MIRROR_TWICE),
    "noise": Variant("noise in training, 0 to 30 dB", NOISE),
    "dead-traces": Variant("up to 30 % dead traces in training", DEAD_TRACES),
    "noise-dead-traces": Variant("noise and dead traces in training", (*NOISE, *DEAD_TRACES)),
    "ssim-weak": Variant(
        "squared error and SSIM, weight 0.02", (*STRUCTURE, "training.ssim_weight=0.02"), False
    ),
    "ssim": Variant("squared error and SSIM, weight 0.05", STRUCTURE, False),
    "ssim-strong": Variant(
        "squared error and SSIM, weight 0.2", (*STRUCTURE, "training.ssim_weight=0.2"), False
    ),
    "ema": Variant("moving average of the weights", EMA),
    "tail": Variant(
        "mean of the weights of the last fifth of the epochs",
        ("training.averaging=tail",),
        derived=(last_fifth,),
    ),
    "coarse-output": Variant("outputs on every third node", ("network.output_coarsening=3",)),
    "unet": Variant("encoder-decoder", derived=(unet_at_no_more_cost,)),
    "unet-mirror": Variant(
        "encoder-decoder, mirrored in both", MIRROR_TWICE, derived=(unet_at_no_more_cost,)
    ),
    "all-convex": Variant(
        "encoder-decoder, gain, mirrored in both, moving average",
        (*GAIN, *MIRROR_TWICE, *EMA),
        derived=(unet_at_no_more_cost,),
    ),
    "all": Variant(
        "the same with SSIM in the loss",
        (*GAIN, *MIRROR_TWICE, *EMA, *STRUCTURE),
        False,
        derived=(unet_at_no_more_cost,),
    ),
}


def variants_for(optimizer: str, names: Sequence[str] | None = None) -> dict[str, Variant]:
    """Return the variants that an optimizer can use, in the table's order.

    Parameters
    ----------
    optimizer
        As for `seistomo.optim.make_optimizer`.
    names
        Which ones; left out: all.

    Raises
    ------
    InputError
        For a name that is none of them.
    """
    for name in names or ():
        if name not in VARIANTS:
            raise InputError(f"--variants {name}: must be of {', '.join(VARIANTS)}")
    convex_alone = isinstance(
        make_optimizer(optimizer, [torch.zeros(1).requires_grad_()]), SGN | SQGN
    )
    return {
        name: variant
        for name, variant in VARIANTS.items()
        if (names is None or name in names) and (variant.convex or not convex_alone)
    }
