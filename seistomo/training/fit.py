"""Whether a configuration and a data set go together."""

from pydantic import ValidationError

from seistomo.config import Config
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.training.scores import SSIM_WINDOW

DATA_SECTIONS = ("velocity", "survey", "simulation", "dataset")
TRAINING_SECTIONS = ("network", "training", "optimizer", "evaluation")


def config_for(config: Config, data: DatasetReader) -> Config:
    """Return the run's configuration: what describes data is the data set's own.

    Raises
    ------
    InputError
        If ``config`` states another geometry than the data set's, or bounds that its other
        settings do not go with.
    """
    for section, key in (
        ("velocity", "shape"),
        ("survey", "sources"),
        ("survey", "receivers"),
        ("survey", "time_samples"),
    ):
        wanted = getattr(getattr(config, section), key)
        found = getattr(getattr(data.config, section), key)
        if key in getattr(config, section).model_fields_set and wanted != found:
            raise InputError(
                f"{section}.{key} = {_plain(wanted)}: {data.path} was made with {_plain(found)};"
                " train with the data set's configuration, or leave the key out"
            )
    parts = {name: getattr(data.config, name) for name in DATA_SECTIONS}
    parts |= {name: getattr(config, name) for name in TRAINING_SECTIONS}
    try:
        return Config(**parts)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{data.path}: does not go with the configuration: {problem}") from None


def check_fit(config: Config, data: DatasetReader) -> None:
    """Refuse a data set that the training loop cannot use.

    Raises
    ------
    InputError
        If the training split is empty or smaller than a batch, or the models are too small for
        the structural similarity.
    """
    count = len(data.indices("train"))
    if count == 0:
        raise InputError(f"{data.path}: holds no training samples; see dataset.split")
    if config.training.batch_size > count:
        raise InputError(
            f"training.batch_size = {config.training.batch_size}: the training split of"
            f" {data.path} holds {count} samples; use at most {count}, or simulate more"
        )
    if min(data.velocity_shape) < SSIM_WINDOW:
        raise InputError(
            f"{data.path}: models of {' x '.join(map(str, data.velocity_shape))} nodes are too"
            f" small for the structural similarity; at least {SSIM_WINDOW} nodes both ways"
        )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
