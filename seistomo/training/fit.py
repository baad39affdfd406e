"""Whether a configuration and a data set go together."""

from pydantic import BaseModel, ValidationError

from seistomo.config import Config
from seistomo.dataset import DatasetReader
from seistomo.dataset.store.schema import DATA_SECTIONS, PERFORMANCE_KEYS
from seistomo.errors import InputError

TRAINING_SECTIONS = ("network", "training", "optimizer", "evaluation")
# A configuration may differ from the data set's here: how many samples, which, and how stored.
FREE_KEYS = {("dataset", "samples"), ("dataset", "seed"), ("dataset", "storage"), *PERFORMANCE_KEYS}


def config_for(config: Config, data: DatasetReader) -> Config:
    """Return the run's configuration: what describes data is the data set's own.

    Raises
    ------
    InputError
        If ``config`` states a setting of the data that is not the data set's, or the data set's
        do not go with its other settings.
    """
    for section in DATA_SECTIONS:
        _require_same(section, getattr(config, section), data)
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
        If the training split is empty or smaller than a batch.
    """
    count = len(data.indices("train"))
    if count == 0:
        raise InputError(f"{data.path}: holds no training samples; see dataset.split")
    if config.training.batch_size > count:
        raise InputError(
            f"training.batch_size = {config.training.batch_size}: the training split of"
            f" {data.path} holds {count} samples; use at most {count}, or simulate more"
        )


def _require_same(section: str, stated: BaseModel, data: DatasetReader) -> None:
    for key in type(stated).model_fields:
        wanted, found = getattr(stated, key), getattr(getattr(data.config, section), key)
        free = key not in stated.model_fields_set or (section, key) in FREE_KEYS
        if not free and wanted != found:
            raise InputError(
                f"{section}.{key} = {_plain(wanted)}: {data.path} was made with {_plain(found)};"
                " train with the data set's configuration, or leave the key out"
            )


def _plain(value: object) -> object:
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value
