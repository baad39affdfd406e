"""The one schema of the project: pydantic models, one a section, read from TOML."""

from seistomo.config.load import load_config, parse_config, preset_names, with_overrides
from seistomo.config.network import NetworkConfig
from seistomo.config.refinement import RefinementConfig
from seistomo.config.schema import Config, DatasetConfig, EvaluationConfig, OptimizerConfig
from seistomo.config.survey import SimulationConfig, SurveyConfig
from seistomo.config.training import LoopConfig, TrainingConfig
from seistomo.config.velocity import VelocityConfig

__all__ = [
    "Config",
    "DatasetConfig",
    "EvaluationConfig",
    "LoopConfig",
    "NetworkConfig",
    "OptimizerConfig",
    "RefinementConfig",
    "SimulationConfig",
    "SurveyConfig",
    "TrainingConfig",
    "VelocityConfig",
    "load_config",
    "parse_config",
    "preset_names",
    "with_overrides",
]
