"""Sizes of the tomography benchmark: the paper's, one for two cores, one for tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from seistomo.config import Config, load_config, with_overrides
from seistomo.config.load import require_effect
from seistomo.dataset import open_dataset
from seistomo.errors import InputError

DATA_SECTIONS = ("velocity", "survey", "simulation", "dataset")
LEARNING_SECTIONS = ("network", "training", "optimizer", "evaluation")
# What --set may not touch, and why.
TAKEN = {
    "training.epochs": "is --epochs",
    "training.seed": "is --seed",
    "training.device": "is --device",
    "training.threads": "is --threads",
    "training.memory_limit": "is --memory-limit",
    "training.patience": "stays 0: all rows go equally far",
    "training.velocity_scaling": "stays as it is: rows give λ in (m/s)² by velocity.minimum and"
    " velocity.maximum",
}


@dataclass(frozen=True)
class Size:
    """A size of the problem.

    Attributes
    ----------
    about
        What it is, for people.
    preset
        Name of the configuration that it starts from.
    overrides
        ``section.key=value`` strings on top of that.
    """

    about: str
    preset: str
    overrides: tuple[str, ...] = ()


SIZES = {
    "paper": Size("the paper's size, for a GPU", "tomography"),
    "small": Size("the same on two cores", "tomography-small"),
    "tiny": Size(
        "seconds on one core, to try the machinery",
        "tomography-small",
        (
            "velocity.shape=[16, 16]",
            "velocity.spacing=20.0",
            "velocity.water_probability=0.0",
            "velocity.salt_area=[0.1, 0.2]",
            "survey.sources=2",
            "survey.receivers=12",
            "survey.time_samples=36",
            # 40 of them to train with, in 8 batches.
            "dataset.samples=56",
            "network.channels=[2, 3]",
            "network.kernels=[[2, 4, 4], [2, 4, 4]]",
            "network.pools=[[1, 3, 3], [2, 2, 2]]",
            "training.batch_size=5",
            "training.epochs=3",
        ),
    ),
}


def size_config(
    size: str, settings: Sequence[str] = (), data: Path | None = None, studied: bool = False
) -> Config:
    """Return the configuration that all rows start from.

    Parameters
    ----------
    size
        ``paper``, ``small`` or ``tiny``.
    settings
        ``section.key=value`` strings of the user's.
    data
        A data set that is there already: what describes data is then its own.
    studied
        Whether a study turns settings of network and training, so that some of the user's may
        have an effect in its variants alone.

    Raises
    ------
    InputError
        For another size, a setting that the command has an option for or that a given data set
        decides, or one that does not fit.
    """
    if size not in SIZES:
        raise InputError(f"--size {size}: must be one of {', '.join(SIZES)}")
    for setting in settings:
        _check(setting, data)
    preset = load_config(SIZES[size].preset)
    config = with_overrides(preset, [*SIZES[size].overrides, *settings])
    # The size's own may be idle beside the user's: nobody asked for them.
    require_effect(config, [text for text in settings if not (studied and _is_turned(text))])
    if data is None:
        return config
    with open_dataset(data) as reader:
        parts = {name: getattr(reader.config, name) for name in DATA_SECTIONS}
    parts |= {name: getattr(config, name) for name in LEARNING_SECTIONS}
    try:
        return Config(**parts)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"--data {data}: does not go with --size {size}: {problem}") from None


def velocity_span(config: Config) -> float:
    """Return the m/s that make one unit of scaled velocity."""
    return config.velocity.maximum - config.velocity.minimum


def _is_turned(setting: str) -> bool:
    return setting.strip().startswith(("network.", "training."))


def _check(setting: str, data: Path | None) -> None:
    key = setting.partition("=")[0].strip()
    section = key.partition(".")[0]
    if section == "optimizer":
        raise InputError(
            f"--set {setting}: optimizers are what the rows differ in; see --optimizers"
        )
    if key in TAKEN:
        raise InputError(f"--set {setting}: {key} {TAKEN[key]}")
    if data is not None and section in DATA_SECTIONS:
        raise InputError(f"--set {setting}: is decided by --data {data}")
