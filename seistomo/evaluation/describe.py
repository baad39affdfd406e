"""Data sets, velocity files, runs, evaluations and predictions in words."""

import json
from pathlib import Path

from seistomo.dataset import open_dataset, read_predictions
from seistomo.dataset.describe import describe_dataset
from seistomo.dataset.exchange.describe import describe_velocity
from seistomo.dataset.exchange.folder import MARKER
from seistomo.dataset.store import file_format
from seistomo.dataset.store.schema import PREDICTIONS_FORMAT
from seistomo.dataset.store.velocity_writer import VELOCITY_FORMAT
from seistomo.errors import InputError
from seistomo.evaluation.facts import run_facts
from seistomo.evaluation.history import is_run, run_history
from seistomo.progress import counted
from seistomo.training import load_run


def describe(path: str | Path, *, check: bool = False, config: bool = False) -> str:
    """Return a readable summary of a data set, velocity file, run, evaluation or predictions.

    Parameters
    ----------
    path
        A file or directory.
    check
        Whether a data set or velocity file is read whole and compared with its checksums.
    config
        Return the stored configuration, as TOML, instead.

    Raises
    ------
    InputError
        If it is none of these, cannot be read, or (``check``, ``config``) is of a kind that
        has no checksums or configuration.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    run, evaluation = is_run(path), _is_evaluation(path)
    held = file_format(path)
    predictions, velocity = held == PREDICTIONS_FORMAT, held == VELOCITY_FORMAT
    if check and (run or evaluation or predictions):
        raise InputError(f"--check {path}: only data sets and velocity files have checksums")
    if config and (evaluation or predictions or velocity):
        raise InputError(f"--config {path}: only data sets and runs hold a configuration")
    if run:
        return load_run(path, "last", "cpu").config.to_toml() if config else describe_run(path)
    if evaluation:
        return describe_evaluation(path)
    if predictions:
        return describe_predictions(path)
    if velocity:
        return describe_velocity(path, check=check)
    if config:
        with open_dataset(path) as data:
            return data.config.to_toml()
    return describe_dataset(path, check=check)


def describe_run(run_dir: str | Path) -> str:
    """Return a readable summary of a run: network, optimizer, epochs, losses, scores.

    Raises
    ------
    InputError
        If ``run_dir`` is not a run or its checkpoint cannot be read.
    """
    history = run_history(run_dir)
    run = load_run(run_dir, "last", "cpu")
    pairs = [*run_facts(run, history, "last"), ("Trained on", f"data set {run.data_identity}")]
    return _lines(f"{run_dir}: seistomo run", pairs)


def describe_evaluation(folder: str | Path) -> str:
    """Return an evaluation's scores beside those of the mean training model and lateral mean.

    Raises
    ------
    InputError
        If ``metrics.json`` cannot be read.
    """
    file = Path(folder) / "metrics.json"
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        pairs = [("prediction", _scores(metrics))]
        pairs += [(name, _scores(metrics[name])) for name in ("baseline", "oracle_1d")]
        samples = counted(metrics["samples"], "sample")
        heading = f"{folder}: evaluation of {samples} ({metrics['split']})"
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{file}: damaged, cannot be read ({error})") from None
    return _lines(heading, pairs)


def describe_predictions(path: str | Path) -> str:
    """Return what a predictions file holds, and of which data set and run.

    Raises
    ------
    InputError
        If it is not a whole predictions file.
    """
    velocity, _, attributes = read_predictions(path)
    count, depth, x = velocity.shape
    # Other programs may have written the file without saying where it comes from.
    data, identity, run, checkpoint = (
        attributes.get(name, "unknown") for name in ("data", "data_identity", "run", "checkpoint")
    )
    pairs = [
        ("Models", f"{count}, {depth} x {x} nodes (depth, x)"),
        ("Velocity", f"{velocity.min():.0f} to {velocity.max():.0f} m/s"),
        ("Data set", f"{data} ({identity})"),
        ("Run", f"{run}, {checkpoint} checkpoint"),
    ]
    return _lines(f"{path}: seistomo predictions", pairs)


def _is_evaluation(path: Path) -> bool:
    """Tell whether a folder holds scores; an exported data set lists its samples too."""
    return (path / "samples.csv").is_file() and not (path / MARKER).is_file()


def _scores(scores: dict) -> str:
    iou = scores["salt_iou"]
    salt = "" if iou is None else f", salt IoU {iou:.3f}"
    speeds = f"RMSE {scores['rmse']:.0f} m/s, MAE {scores['mae']:.0f} m/s"
    return f"{speeds}, SSIM {scores['ssim']:.3f}{salt}"


def _lines(heading: str, pairs: list[tuple[str, str]]) -> str:
    width = 2 + max(len(name) for name, _ in pairs)
    return "\n".join([heading, *(f"{name:<{width}}{text}" for name, text in pairs)])
