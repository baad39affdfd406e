"""The whole configuration: its smaller sections, and the checks that span sections."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, model_validator

from seistomo.config.network import NetworkConfig
from seistomo.config.refinement import RefinementConfig
from seistomo.config.section import Section, setting
from seistomo.config.survey import SimulationConfig, SurveyConfig
from seistomo.config.training import TrainingConfig
from seistomo.config.velocity import VelocityConfig
from seistomo.errors import InputError

_Share = Annotated[int, Field(ge=0, le=1000)]


class DatasetConfig(Section):
    """Samples, their split and their storage."""

    samples: int = setting(960, "Number of samples (model and gathers).", ge=1, le=10**9)
    seed: int = setting(0, "Seed; sample i depends on the seed and i alone.", ge=0, lt=2**63)
    split: tuple[_Share, _Share, _Share] = setting(
        (5, 1, 1), "Shares [train, validation, test]; a sample keeps its split as the set grows."
    )
    storage: Literal["float16", "float32"] = setting(
        "float16", "Type of the stored gathers; float16 with a scale a sample."
    )
    shard_samples: int = setting(
        32, "Samples a shard; a killed run loses at most the shard in hand.", ge=1, le=10**6
    )

    @model_validator(mode="after")
    def _splits_hold_samples(self) -> "DatasetConfig":
        train, validation, test = self.split
        if train < 1 or validation + test < 1:
            raise ValueError(
                f"dataset.split = {list(self.split)}: needs a training share and a validation or"
                " test share of at least 1"
            )
        return self


class OptimizerConfig(Section):
    """An optimizer by registered name or import path."""

    name: str = setting(
        "adam", "Registered name (adam, sgd, sgn, sqgn, svrg), or package.module.Class."
    )
    learning_rate: float | None = setting(
        None, "Learning rate (lr, α); left out: the optimizer's own default.", gt=0
    )
    options: dict[str, Any] = setting(
        {}, "Further arguments of the optimizer's constructor: momentum, weight_decay, damping ..."
    )


class EvaluationConfig(Section):
    """Scores and figures."""

    salt_threshold: float = setting(
        4225.0, "Speed above which a pixel counts as salt, m/s (salt IoU).", gt=0
    )
    mirror: bool = setting(
        False,
        "Average each prediction with the one from the mirrored gathers, mirrored back; for"
        " networks trained with training.mirror. Validation scores in training do not.",
    )
    batch_size: int = setting(16, "Samples predicted at once.", ge=1, le=10**6)


class Config(Section):
    """Everything a run depends on; stored whole in each data set and run."""

    velocity: VelocityConfig = VelocityConfig()
    survey: SurveyConfig = SurveyConfig()
    simulation: SimulationConfig = SimulationConfig()
    dataset: DatasetConfig = DatasetConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    refinement: RefinementConfig = RefinementConfig()

    @model_validator(mode="after")
    def _sections_fit(self) -> "Config":
        survey, velocity = self.survey, self.velocity
        for name in ("source", "receiver"):
            positions = getattr(survey, f"{name}_x")
            for x in positions or ():
                if not 0 <= x <= velocity.x_extent:
                    raise ValueError(
                        f"survey.{name}_x = {list(positions)}: must lie within the model,"
                        f" 0 to {velocity.x_extent:g} m"
                    )
            depth = getattr(survey, f"{name}_depth")
            if depth > velocity.depth_extent:
                raise ValueError(
                    f"survey.{name}_depth = {depth:g}: must lie within the model,"
                    f" 0 to {velocity.depth_extent:g} m"
                )
        highest = survey.highest_frequency
        if highest is not None and survey.time_step * 2 * highest > 1 + 1e-9:
            raise ValueError(
                f"survey.time_step = {survey.time_step:g}: the {survey.wavelet_name}, needs at most"
                f" {1 / (2 * highest):.4g} s (it holds frequencies up to {highest:g} Hz)"
            )
        low, high = velocity.minimum, velocity.maximum
        if not low < self.evaluation.salt_threshold < high:
            raise ValueError(
                f"evaluation.salt_threshold = {self.evaluation.salt_threshold:g}: must lie between"
                f" velocity.minimum and velocity.maximum, {low:g} to {high:g} m/s"
            )
        return self

    def to_toml(self, without: Iterable[str] = ()) -> str:
        """Return the configuration as TOML text, ``without`` some dotted keys."""
        values = self.model_dump()
        for section, key in (dotted.split(".") for dotted in without):
            values[section].pop(key, None)
        return toml_text(values)


def toml_text(values: Mapping[str, Any]) -> str:
    """Return sections of settings as TOML text; settings left out (None) stay left out."""
    text = tomli_w.dumps(_stated(values))
    # It gives each entry of an array a line of its own; nothing else ends a line like this.
    for lines, instead in ((r"\[\n\s*", "["), (r",\n\s*\]", "]"), (r",\n\s*", ", ")):
        text = re.sub(lines, instead, text)
    return text


def first_difference(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], free: Collection[str] = ()
) -> tuple[str, Any, Any] | None:
    """Return the first setting in which two nested configurations differ: key and both values.

    ``free`` are dotted keys, or sections, that may differ; a value that is not stated is None.
    """
    for key in dict.fromkeys([*theirs, *ours]):
        one, other = ours.get(key), theirs.get(key)
        if key in free or one == other:
            continue
        if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
            return key, one, other
        prefix = f"{key}."
        within = {name.removeprefix(prefix) for name in free if name.startswith(prefix)}
        found = first_difference(one, other, within)
        if found:
            return prefix + found[0], *found[1:]
    return None


def require_same(
    made: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    remedy: str,
    free: Collection[str] = (),
) -> None:
    """Refuse settings by the first that differs from those that something was ``made`` with."""
    difference = first_difference(ours, theirs, free)
    if difference:
        key, *values = difference
        now, before = ("none" if value is None else str(value)[:60] for value in values)
        raise InputError(f"{key} = {now}: {made} with {before}; {remedy}")


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _stated(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }
