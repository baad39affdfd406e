"""What a report says about data set, run and environment, as (name, text) pairs."""

import platform
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader
from seistomo.training import Run

Facts = list[tuple[str, str]]

PACKAGES = ("seistomo", "torch", "numpy", "scipy", "scikit-image", "h5py", "matplotlib", "deepwave")


def data_facts(data: DatasetReader) -> Facts:
    """Describe a data set: samples, models, survey, recording."""
    grid, survey = data.config.velocity, data.config.survey
    counts = [f"{len(data.indices(name))} {name}" for name in ("train", "validation", "test")]
    families = Counter(data.families(data.indices("all")))
    sources, receivers, times = data.gather_shape
    return [
        ("File", f"{data.path.name} ({data.identity})"),
        ("Samples", f"{data.samples}: {', '.join(counts)}; seed {data.config.dataset.seed}"),
        ("Families", ", ".join(f"{name} {count}" for name, count in sorted(families.items()))),
        (
            "Models",
            f"{grid.shape[0]} × {grid.shape[1]} nodes (depth × x) every {grid.spacing:g} m,"
            f" {grid.depth_extent:g} × {grid.x_extent:g} m, {grid.minimum:g} to"
            f" {grid.maximum:g} m/s",
        ),
        ("Survey", f"{sources} sources, {receivers} receivers"),
        (
            "Recording",
            f"{times} samples every {1000 * survey.time_step:g} ms"
            f" ({data.time[-1]:.3g} s); {survey.wavelet_name}",
        ),
    ]


def run_facts(run: Run, history: Mapping[str, NDArray], checkpoint: str) -> Facts:
    """Describe a run: network, optimizer, epochs, time, best validation loss."""
    optimizer = run.config.optimizer
    options = "".join(f", {name} {value}" for name, value in optimizer.options.items())
    own = optimizer.learning_rate is None
    rate = "its own learning rate" if own else f"learning rate {optimizer.learning_rate:g}"
    facts = [
        ("Run", run.path.name),
        ("Checkpoint", f"{checkpoint}, after epoch {run.epoch}"),
        ("Network", f"{run.config.network.name}, {parameter_count(run):,} weights"),
        ("Optimizer", f"{optimizer.name}, {rate}{options}"),
        ("Epochs", f"{history['epoch'][-1]:.0f}, {history['seconds'][-1]:.0f} s of optimizer time"),
    ]
    losses = history["validation_loss"]
    if np.isfinite(losses).any():
        best = int(np.nanargmin(losses))
        rmse, ssim = np.sqrt(history["mse"][best]), history["ssim"][best]
        text = (
            f"{history['epoch'][best]:.0f}: validation loss {power_of_ten(losses[best])} (m/s)²,"
            f" RMSE {rmse:.0f} m/s, SSIM {ssim:.3f}"
        )
        facts.append(("Best epoch", text))
    return facts


def environment_facts() -> Facts:
    """Return the versions that the evaluation ran with."""
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return [("Python", f"{platform.python_version()}, {platform.system()}"), ("Packages", packages)]


def reproduction(
    run_dir: str | Path,
    data_path: str | Path,
    out_dir: str | Path,
    options: Sequence[tuple[str, object]],
    other_data: str | None = None,
) -> list[str]:
    """Return the commands that make data set, run and evaluation again.

    Parameters
    ----------
    run_dir, data_path, out_dir
        As given to `evaluate`.
    options
        Options of the evaluation with their values; those that are None are left out.
    other_data
        Identity of the data set that the run was trained on, if it is another one.
    """
    run, data, out = (shlex.quote(str(path)) for path in (run_dir, data_path, out_dir))
    config = shlex.quote(str(Path(run_dir) / "config.toml"))
    chosen = "".join(f" {name} {value}" for name, value in options if value is not None)
    evaluate = f"seistomo evaluate {run} --data {data} --out {out}{chosen}"
    if other_data is None:
        return [
            f"seistomo simulate {config} --out {data}",
            f"seistomo train {config} --data {data} --out {run}",
            evaluate,
        ]
    return [
        f"# The run was trained on another data set, {other_data}:",
        f"seistomo simulate {config} --out training.h5",
        f"seistomo train {config} --data training.h5 --out {run}",
        "# The data set evaluated; save its configuration, below, as data.toml:",
        f"seistomo simulate data.toml --out {data}",
        evaluate,
    ]


def parameter_count(run: Run) -> int:
    """Return the number of weights of a run's network."""
    return sum(parameter.numel() for parameter in run.network.parameters())


def power_of_ten(value: float) -> str:
    """Return a number as 8.5·10⁸."""
    mantissa, exponent = f"{value:.2e}".split("e")
    digits = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}·10{digits}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
