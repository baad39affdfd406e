"""The whole configuration: its sections and the checks that span them."""

from collections.abc import Iterable

import tomli_w
from pydantic import Field, model_validator

from seistomo.config.base import Section
from seistomo.config.dataset import DatasetConfig
from seistomo.config.evaluation import EvaluationConfig
from seistomo.config.network import NetworkConfig
from seistomo.config.optimizer import OptimizerConfig
from seistomo.config.simulation import SimulationConfig
from seistomo.config.survey import SurveyConfig
from seistomo.config.training import TrainingConfig
from seistomo.config.velocity import VelocityConfig


class Config(Section):
    """Everything a run depends on; stored whole in each data set and run."""

    velocity: VelocityConfig = Field(VelocityConfig(), description="Random earth models.")
    survey: SurveyConfig = Field(SurveyConfig(), description="Acquisition.")
    simulation: SimulationConfig = Field(SimulationConfig(), description="Wave equation.")
    dataset: DatasetConfig = Field(DatasetConfig(), description="Samples and storage.")
    network: NetworkConfig = Field(NetworkConfig(), description="Network.")
    training: TrainingConfig = Field(TrainingConfig(), description="Training loop.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="Optimizer.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Scores and figures.")

    @model_validator(mode="after")
    def _survey_inside_model(self) -> "Config":
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
        return self

    @model_validator(mode="after")
    def _wavelet_is_sampled(self) -> "Config":
        survey, highest = self.survey, self.survey.highest_frequency
        if highest is not None and survey.time_step * 2 * highest > 1 + 1e-9:
            raise ValueError(
                f"survey.time_step = {survey.time_step:g}: the {survey.wavelet_name}, needs at most"
                f" {1 / (2 * highest):.4g} s (it holds frequencies up to {highest:g} Hz)"
            )
        return self

    @model_validator(mode="after")
    def _bounds_hold_salt_threshold(self) -> "Config":
        low, high = self.velocity.minimum, self.velocity.maximum
        if not low < self.evaluation.salt_threshold < high:
            raise ValueError(
                f"evaluation.salt_threshold = {self.evaluation.salt_threshold:g}: must lie between"
                f" velocity.minimum and velocity.maximum, {low:g} to {high:g} m/s"
            )
        return self

    def to_toml(self, without: Iterable[str] = ()) -> str:
        """Return the configuration as TOML text; settings left out (None) stay left out.

        Parameters
        ----------
        without
            Dotted keys, ``section.key``, that are left out too.
        """
        values = self.model_dump(exclude_none=True)
        for section, key in (dotted.split(".") for dotted in without):
            values[section].pop(key, None)
        return _arrays_on_one_line(tomli_w.dumps(values))


def _arrays_on_one_line(text: str) -> str:
    """Join the lines of each array that tomli-w spreads over many."""
    lines, open_brackets = [], 0
    for line in text.splitlines():
        word = line.strip()
        closes = word in ("]", "],")
        if not open_brackets:
            lines.append(line)
        elif closes:
            lines[-1] = lines[-1].removesuffix(",") + word
        else:
            lines[-1] += word if lines[-1].endswith("[") else f" {word}"
        # Text ends with a quotation mark: brackets in it do not count.
        open_brackets += word.endswith("[") - closes
    return "\n".join(lines) + "\n"
