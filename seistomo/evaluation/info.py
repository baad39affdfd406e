"""Data sets, velocity files, runs, evaluations, predictions and studies in words."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import file_format, open_dataset, open_velocity
from seistomo.dataset.describe import describe_dataset
from seistomo.dataset.store.schema import FORMAT, PREDICTIONS_FORMAT, VELOCITY_FORMAT
from seistomo.errors import InputError, shortened
from seistomo.files import read_text, reading
from seistomo.progress import counted

History = Mapping[str, NDArray[np.float64]]
"""Columns of a run's ``history.csv``, a value an epoch."""
NEEDED = ("epoch", "seconds", "train_loss", "validation_loss")
Facts = list[tuple[str, str]]


def describe(path: str | Path, *, check: bool = False, config: bool = False) -> str:
    """Return a readable summary of a data set, velocity file, run, evaluation, study ...

    ``check``: whether a data set or velocity file is read whole and compared with its checksums;
    ``config``: return the stored configuration, as TOML, instead. Either is refused for a kind
    that has none.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory")
    held = file_format(path)
    kind = {PREDICTIONS_FORMAT: "predictions", VELOCITY_FORMAT: "velocity"}.get(held, "data")
    if is_run(path):
        kind = "run"
    elif (path / "samples.csv").is_file() and not (path / "export.json").is_file():
        kind = "evaluation"  # an exported data set lists its samples, too
    elif (path / "index.md").is_file():
        kind = "study"
    elif path.is_dir():
        require_parts(path)
    if check and kind in ("run", "evaluation", "study"):
        raise InputError(f"--check {path}: only data sets and velocity files have checksums")
    if config and kind not in ("data", "run"):
        raise InputError(f"--config {path}: only data sets and runs hold a configuration")
    if kind == "run":
        return _config_of(path) if config else describe_run(path)
    if kind == "evaluation":
        return _describe_evaluation(path)
    if kind == "study":
        lines = read_text(path / "index.md").splitlines()
        return "\n".join(line for line in lines if not line.startswith("![")).strip()
    if kind == "predictions":
        return _describe_predictions(path, check)
    if config:
        with open_dataset(path) as data:
            return data.config.to_toml()
    return describe_dataset(path, check=check)


def require_parts(folder: Path) -> None:
    """Refuse a folder that holds more, or less, than parts of a data set."""
    formats = {file.name: file_format(file) for file in sorted(folder.glob("*.h5"))}
    if set(formats.values()) == {FORMAT}:
        return
    inside = sorted(item.name for item in folder.iterdir() if item.is_dir())
    held = [*formats, *(name for name in inside if not name.startswith("."))]
    remedy = f"; name what is meant of what it holds: {', '.join(held)}" if held else ""
    raise InputError(f"{folder}: is itself no data set or run{shortened(remedy, 180)}")


def is_run(path: str | Path) -> bool:
    """Tell whether ``path`` is a run directory, or an ensemble of them."""
    return (Path(path) / "history.csv").is_file() or any(Path(path).glob("member-[0-9]*"))


def run_histories(run_dir: str | Path) -> list[History]:
    """Return what `run_history` does of a run, or of an ensemble's members that have begun."""
    from seistomo.training.directory import member_folders

    members = member_folders(run_dir)
    return [run_history(path) for path in filter(is_run, members)] or [run_history(run_dir)]


def run_history(run_dir: str | Path) -> History:
    """Return what ``history.csv`` says, refusing what is no run or has no finished epoch."""
    from seistomo.training.history import read_history

    path = Path(run_dir) / "history.csv"
    if not path.is_file():
        raise InputError(f"{run_dir}: not a run, it has no history.csv")
    with reading(path):
        rows = read_history(path)
        names = dict.fromkeys([*NEEDED, *(rows[0] if rows else ())])
        columns = {name: np.array([row[name] for row in rows]) for name in names}
    if not rows:
        raise InputError(f"{run_dir}: no epoch is finished yet; train the run first")
    return columns


def describe_run(run_dir: str | Path) -> str:
    """Return a summary of a run of any problem: network, optimizer, epochs, losses, scores.

    Of an ensemble: of its first member that has begun, with a line for each of the others.
    """
    from seistomo.training.checkpoint import load_checkpoint
    from seistomo.training.directory import member_folders

    run_dir = Path(run_dir)
    members = list(filter(is_run, member_folders(run_dir)))
    if members:
        text = describe_run(members[0]).partition("\n")[2]
        others = [(path.name, _best_epoch(run_history(path))) for path in members[1:]]
        lines = f"{text}\n{aligned(others, 12)}" if others else text
        return f"{run_dir}: ensemble of {counted(len(members), 'seistomo run')}\n{lines}"
    history = run_history(run_dir)
    content = load_checkpoint(run_dir / "checkpoint.pt")
    with reading(run_dir / "metrics.json"):
        parameters = json.loads(read_text(run_dir / "metrics.json"))["parameters"]
    facts = run_facts(run_dir, history, "last", content.progress.epoch, parameters)
    if content.data_identity:
        facts.append(("Trained on", f"data set {content.data_identity}"))
    return f"{run_dir}: seistomo run\n{aligned(facts)}"


def run_facts(
    run_dir: Path, history: History, checkpoint: str, epoch: int, parameters: int
) -> Facts:
    """Describe a run: network, optimizer, epochs, time, best validation loss."""
    with reading(run_dir / "config.toml"):
        config = tomllib.loads(_config_of(run_dir))
    optimizer = config.get("optimizer", {})
    rate = optimizer.get("learning_rate")
    rate = "its own learning rate" if rate is None else f"learning rate {rate:g}"
    options = "".join(f", {name} {value}" for name, value in optimizer.get("options", {}).items())
    network = config.get("network", {}).get("name", "network")
    facts = [
        ("Run", run_dir.name),
        ("Checkpoint", f"{checkpoint}, after epoch {epoch}"),
        ("Network", f"{network}, {parameters:,} weights"),
        ("Optimizer", f"{optimizer.get('name')}, {rate}{options}"),
        ("Epochs", f"{history['epoch'][-1]:.0f}, {history['seconds'][-1]:.0f} s of optimizer time"),
    ]
    if np.isfinite(history["validation_loss"]).any():
        facts.append(("Best epoch", _best_epoch(history)))
    return facts


def _best_epoch(history: History) -> str:
    """Return the epoch with the lowest validation loss and its scores; of none the last one."""
    losses = history["validation_loss"]
    if not np.isfinite(losses).any():
        return f"{history['epoch'][-1]:.0f}"
    best = int(np.nanargmin(losses))
    found = {name: values[best] for name, values in history.items()}
    text = f"{found['epoch']:.0f}: validation loss {scientific(losses[best])}"
    if "mse" in found:
        text += f" (m/s)², RMSE {np.sqrt(found['mse']):.0f} m/s"
    for name, word in (("ssim", "SSIM"), ("accuracy", "accuracy")):
        text += f", {word} {found[name]:.3f}" if name in found else ""
    return text


def scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{digits}"


def _config_of(run_dir: Path) -> str:
    """Return a run's configuration, of an ensemble its first member's."""
    from seistomo.training.directory import member_folders

    return read_text([*member_folders(run_dir), run_dir][0] / "config.toml")


def _describe_evaluation(folder: Path) -> str:
    """Return scores of an evaluation or a refinement beside those that it is compared with."""
    file = folder / "metrics.json"
    with reading(file):
        metrics = json.loads(read_text(file))
        refined = "start" in metrics
        facts = [("refined" if refined else "prediction", _scores(metrics))]
        others = ("start", "baseline", "oracle_1d") if refined else ("baseline", "oracle_1d")
        facts += [(name, _scores(metrics[name])) for name in others if name in metrics]
        if "ensemble" in metrics:
            facts.append(("ensemble", _ensemble(metrics["ensemble"])))
        samples = counted(metrics["samples"], "sample")
        what = "refinement" if refined else "evaluation"
        heading = f"{folder}: {what} of {samples} ({metrics['split']})"
    return f"{heading}\n{aligned(facts)}"


def _scores(scores: Mapping[str, Any]) -> str:
    names = {
        "rmse": "RMSE {:.0f} m/s",
        "mae": "MAE {:.0f} m/s",
        "ssim": "SSIM {:.3f}",
        "salt_iou": "salt IoU {:.3f}",
        "data_misfit_far": "misfit of far traces {:.3g}",
    }
    found = {key: scores.get(key) for key in names}
    return ", ".join(names[key].format(value) for key, value in found.items() if value is not None)


def _ensemble(found: Mapping[str, Any]) -> str:
    single = found["single"]["rmse"]
    return (
        f"members alone RMSE {single['mean']:.0f} ± {single['std']:.0f} m/s; truth within 1 σ in"
        f" {found['within_1_std']:.0%}, within 2 σ in {found['within_2_std']:.0%} of the pixels"
    )


def _describe_predictions(path: Path, check: bool) -> str:
    """Return what a predictions file holds, and of which data set and run."""
    with open_velocity(path) as file:
        # Other programs may have written the file without saying where it comes from.
        data, identity, run, checkpoint = (
            file.attributes.get(name, "unknown")
            for name in ("data", "data_identity", "run", "checkpoint")
        )
        facts = [("data set", f"{data} ({identity})"), ("run", f"{run}, {checkpoint} checkpoint")]
        if file.has_std:
            shown = range(0, file.samples, -(-file.samples // 200))
            std = file.read_velocity_std(shown).mean()
            facts.append(("deviation", f"velocity_std, {std:.0f} m/s in the mean"))
    return f"{describe_dataset(path, check=check)}\n{aligned(facts, 12)}"


def aligned(facts: Facts, width: int = 0) -> str:
    width = width or 2 + max(len(name) for name, _ in facts)
    return "\n".join(f"{name:<{width}}{text}" for name, text in facts)
