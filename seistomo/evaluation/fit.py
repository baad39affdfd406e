"""Whether a trained network can be applied to a data set."""

from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.training import Run


def check_fit(run: Run, data: DatasetReader) -> None:
    """Refuse a run whose network was made for another survey or grid.

    Raises
    ------
    InputError
        Naming the first thing that differs, in the run and in the data set.
    """
    theirs, ours = run.config, data.config
    pairs = {
        "gathers [source, receiver, time]": (run.gather_shape, data.gather_shape),
        "models [depth, x]": (run.velocity_shape, data.velocity_shape),
        "survey.time_step (s)": (theirs.survey.time_step, ours.survey.time_step),
        "velocity.spacing (m)": (theirs.velocity.spacing, ours.velocity.spacing),
    }
    for name, (expected, found) in pairs.items():
        if expected != found:
            raise InputError(
                f"run {run.path}: was trained for {name} = {_text(expected)}, but {data.path} has"
                f" {_text(found)}; use a data set of the same survey and grid"
            )


def _text(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
