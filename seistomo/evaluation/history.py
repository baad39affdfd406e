"""What training wrote down about each epoch, for figures and reports."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.errors import InputError

COLUMNS = ("epoch", "seconds", "train_loss", "validation_loss", "mse", "ssim")
"""What is used of ``history.csv``; it may hold more."""


def is_run(path: str | Path) -> bool:
    """Tell whether ``path`` is a run directory."""
    return (Path(path) / "history.csv").is_file()


def run_history(run_dir: str | Path) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a run's ``history.csv``, a value an epoch.

    Raises
    ------
    InputError
        If ``run_dir`` is not a run, or one without a finished epoch, or the file is damaged.
    """
    if not is_run(run_dir):
        raise InputError(f"{run_dir}: not a run, it has no history.csv")
    path = Path(run_dir) / "history.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise InputError(f"{run_dir}: no epoch is finished yet; train the run first")
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in COLUMNS}
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: damaged; it must hold numbers for {', '.join(COLUMNS)}"
        ) from None
