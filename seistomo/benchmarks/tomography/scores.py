"""Scores of runs by the ordinary evaluation, kept so that each is worked out once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.benchmarks.tomography.outcome import CHECKPOINTS
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.evaluation.baselines import mean_training_model
from seistomo.evaluation.fit import check_fit
from seistomo.evaluation.metrics import ScoreAccumulator
from seistomo.evaluation.prediction import predicted_batches, split_indices
from seistomo.progress import quietly
from seistomo.training import load_run

SCORES = "scores"


def score_run(
    run_dir: Path, data: DatasetReader, split: str, checkpoint: str, device: str = "auto"
) -> dict[str, Any]:
    """Return the scores that ``seistomo evaluate`` gives a run, without writing anything.

    Parameters
    ----------
    run_dir, data
        The run and the open data set.
    split
        train, validation or test.
    checkpoint
        ``best`` or ``last``.
    device
        auto, cpu, cuda or cuda:N.
    """
    run = load_run(run_dir, checkpoint, device)
    check_fit(run, data)
    indices, bounds = split_indices(data, split), data.config.velocity
    scores = ScoreAccumulator(
        mean_training_model(data, run.normalization.mean_velocity),
        bounds.maximum - bounds.minimum,
        run.config.evaluation.salt_threshold,
    )
    for rows, predicted in predicted_batches(run, data, indices):
        scores.add(predicted, data.read_velocity(indices[rows]))
    summary = scores.table(indices, data.families(indices)).summary()
    return {**summary, "split": split, "checkpoint": checkpoint, "epoch": run.epoch}


def predict_samples(
    run_dir: Path, data: DatasetReader, samples: NDArray[np.int64], checkpoint: str, device: str
) -> NDArray[np.float32]:
    """Return a run's predictions of some samples, velocity [sample, depth, x], m/s."""
    run = load_run(run_dir, checkpoint, device)
    return np.concatenate([batch for _, batch in predicted_batches(run, data, samples)])


class ScoreBook:
    """Scores of the runs in a folder, a file a run in ``scores/``.

    Parameters
    ----------
    folder
        The folder.
    data
        Path of the data set.
    split
        What is scored.
    """

    def __init__(self, folder: BenchmarkFolder, data: str | Path, split: str = "test"):
        self._folder, self._data, self._split = folder, Path(data), split

    def scores(
        self, key: str, run_dir: Path, epochs: Mapping[str, int], device: str
    ) -> dict[str, dict[str, Any]]:
        """Return the scores of a run by checkpoint.

        Parameters
        ----------
        key
            Name of the run.
        run_dir
            Its directory.
        epochs
            Epoch of each checkpoint: what was scored at another one is scored anew.
        device
            Where to predict.
        """
        kept = self._read(key)
        with quietly(), open_dataset(self._data) as data:
            identity = {"data": data.identity, "split": self._split}
            if {name: kept.get(name) for name in identity} != identity:
                kept = dict(identity)
            found = {}
            for name in CHECKPOINTS:
                there = [kept[n] for n in CHECKPOINTS if n in kept]
                same = [one for one in there if one["epoch"] == epochs[name]]
                one = same[0] if same else score_run(run_dir, data, self._split, name, device)
                found[name] = kept[name] = {**one, "checkpoint": name}
        if found != {name: self._read(key).get(name) for name in CHECKPOINTS}:
            self._folder.write_json(f"{SCORES}/{key}", {**identity, **found})
        return found

    def diverged(self, key: str) -> str:
        """Return why a run diverged; empty if it has not."""
        return self._read(key, ".diverged").get("message", "")

    def note_divergence(self, key: str, message: str) -> None:
        """Note that a run diverged: it would again."""
        self._folder.write_json(f"{SCORES}/{key}.diverged", {"message": message})

    def forget(self, key: str) -> None:
        """Forget a run."""
        for kind in ("", ".diverged"):
            self._path(key, kind).unlink(missing_ok=True)

    def _path(self, key: str, kind: str = "") -> Path:
        return self._folder.path / SCORES / f"{key}{kind}.json"

    def _read(self, key: str, kind: str = "") -> dict[str, Any]:
        path = self._path(key, kind)
        try:
            return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError:
            return {}
