"""Studies: problems, methods and seeds from a TOML file; their runs, tables and figures."""

from seistomo.experiments.engine import run_study
from seistomo.experiments.study import Study, load_study, study_names

__all__ = ["Study", "load_study", "run_study", "study_names"]
