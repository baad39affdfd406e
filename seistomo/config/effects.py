"""Keys that cannot change anything beside the other settings: nobody should turn them in vain."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from seistomo.config.families import GEOLOGICAL_FAMILIES, OPENFWI_FAMILIES
from seistomo.config.schema import Config
from seistomo.config.velocity import VelocityConfig

# What holds for imported models too.
_OF_ANY_MODEL = ("shape", "spacing", "minimum", "maximum", "imported")
# Names of keys in one line; the rest is counted.
_SHOWN = 6


class _Rule(NamedTuple):
    """Keys of a section that do nothing unless ``holds``; ``needs`` says it in words."""

    section: str
    keys: tuple[str, ...]
    holds: Callable[[Config], bool]
    needs: str


def keys_without_effect(config: Config, stated: Iterable[str]) -> dict[str, str]:
    """Return those of some keys that change nothing, and what each would need.

    Parameters
    ----------
    config
        All settings.
    stated
        Dotted keys, ``section.key``.

    Returns
    -------
    dict
        What would have to hold, in words, by key.
    """
    needs: dict[str, str] = {}
    for rule in _RULES:
        if not rule.holds(config):
            for key in rule.keys:
                needs.setdefault(f"{rule.section}.{key}", rule.needs)
    return {key: needs[key] for key in stated if key in needs}


def changed_keys(config: Config) -> Iterator[str]:
    """Yield the dotted keys that were stated and differ from their defaults.

    A configuration that was stored holds all keys; those at their defaults say nothing.
    """
    for section in type(config).model_fields:
        values = getattr(config, section)
        for key in sorted(values.model_fields_set):
            if getattr(values, key) != type(values).model_fields[key].default:
                yield f"{section}.{key}"


def in_words(idle: dict[str, str]) -> Iterator[str]:
    """Yield a line for each reason for which keys of `keys_without_effect` change nothing."""
    by_reason = sorted(idle, key=idle.__getitem__)
    for needs, group in groupby(by_reason, key=idle.__getitem__):
        keys = list(group)
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        verbs = ("has", "it needs") if len(keys) == 1 else ("have", "they need")
        yield f"{', '.join(keys[:_SHOWN])}{more} {verbs[0]} no effect; {verbs[1]} {needs}"


def _of_families(*families: str) -> Callable[[Config], bool]:
    return lambda config: config.velocity.draws(*families)


def _faults_at_random(config: Config) -> bool:
    velocity = config.velocity
    return velocity.draws("faults") or (velocity.draws("mixture") and velocity.faults[1] > 0)


def _velocity(keys: str, holds: Callable[[Config], bool], needs: str) -> _Rule:
    return _Rule("velocity", tuple(keys.split()), holds, needs)


def _chosen(section: str, keys: str, choice: str, *values: str) -> _Rule:
    """Keys of a section that do nothing unless its key ``choice`` has one of some values."""
    needs = " or ".join(f'"{value}"' for value in values)
    return _Rule(
        section,
        tuple(keys.split()),
        lambda config: getattr(getattr(config, section), choice) in values,
        f"{section}.{choice} = {needs}",
    )


def _families(keys: str, *families: str) -> _Rule:
    """Keys of some families alone."""
    return _velocity(keys, _of_families(*families), f"{' or '.join(families)} in velocity.families")


_FAULTED_BLOCKS = tuple(name for name in OPENFWI_FAMILIES if "fault" in name)
_RULES = (
    _chosen("survey", "frequency", "wavelet", "ricker"),
    _chosen("simulation", "water_speed water_density salt_density", "density", "gardner"),
    _chosen("network", "channels kernels pools", "name", "tomography"),
    _chosen("network", "encoder_channels latent decoder_channels", "name", "unet"),
    _chosen("training", "asinh_scale", "gather_scaling", "asinh"),
    _chosen("training", "gain_power", "gather_scaling", "gain"),
    _chosen("training", "mute_speed", "mute", "direct", "top"),
    _chosen("training", "ssim_weight", "loss", "mse+ssim"),
    _chosen("training", "averaging_decay", "averaging", "ema"),
    _chosen("training", "averaging_epochs", "averaging", "tail"),
    _chosen("training", "final_learning_rate", "schedule", "linear", "cosine", "plateau"),
    _chosen("training", "plateau_factor plateau_patience", "schedule", "plateau"),
    _velocity(
        " ".join(key for key in VelocityConfig.model_fields if key not in _OF_ANY_MODEL),
        lambda config: config.velocity.imported is None,
        "models that are drawn, not imported",
    ),
    _families(
        "water_probability water_velocity layers layer_thickness layer_waviness layer_wavelength"
        " layer_dip layer_speeds surface_velocity velocity_cap",
        *GEOLOGICAL_FAMILIES,
    ),
    _families("folds", "folds", "faults", "salt", "mixture"),
    _families("unconformity_probability", "folds", "mixture"),
    _families("faults", "faults", "mixture"),
    _families("fault_dip reverse_probability", "faults", "mixture", *_FAULTED_BLOCKS),
    _families("salt_free_probability", "salt"),
    _families("salt_in_mixture", "mixture"),
    _families("openfwi_velocity", *OPENFWI_FAMILIES),
    _families("openfwi_layers", "flatvel_a", "flatvel_b", "curvevel_a", "curvevel_b"),
    _families(
        "openfwi_relief openfwi_wavelength",
        "curvevel_a",
        "curvevel_b",
        "curvefault_a",
        "curvefault_b",
    ),
    *(
        _families(
            f"openfwi_fault_layers_{grade} openfwi_faults_{grade} openfwi_throw_{grade}",
            f"flatfault_{grade}",
            f"curvefault_{grade}",
        )
        for grade in "ab"
    ),
    _families("openfwi_style_contrast", "style_a", "style_b"),
    _families("openfwi_smoothing_a", "style_a"),
    _families("openfwi_smoothing_b", "style_b"),
    _velocity(
        "water_depth sea_floor_relief",
        lambda config: (
            config.velocity.draws(*GEOLOGICAL_FAMILIES) and config.velocity.water_probability > 0
        ),
        "velocity.water_probability above 0 and a family that may lie under water",
    ),
    _velocity(
        "velocity_gradient velocity_jitter layer_gradient",
        lambda config: (
            config.velocity.draws(*GEOLOGICAL_FAMILIES) and config.velocity.layer_speeds == "trend"
        ),
        'velocity.layer_speeds = "trend" and a family of layers that follow it',
    ),
    _velocity(
        "fold_amplitude fold_wavelength",
        lambda config: (
            config.velocity.draws("folds", "faults", "salt", "mixture")
            and config.velocity.folds[1] > 0
        ),
        "velocity.folds above 0 and folds, faults, salt or mixture in velocity.families",
    ),
    _velocity(
        "fault_throw listric_probability growth_probability",
        _faults_at_random,
        "faults in velocity.families, or mixture with velocity.faults above 0",
    ),
    _velocity(
        " ".join(
            key
            for key in VelocityConfig.model_fields
            if key.startswith("salt_") and key not in ("salt_free_probability", "salt_in_mixture")
        ),
        lambda config: config.velocity.draws_salt,
        "models with salt: salt or mixture in velocity.families",
    ),
)
