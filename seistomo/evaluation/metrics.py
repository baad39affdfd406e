"""Scores of predicted velocity models, per sample and over a data set.

Definitions: ``mse`` is the mean over pixels and samples of the squared difference, (m/s)²;
``rmse`` its root and ``mae`` the mean absolute difference, m/s; ``loss`` is Eq. 9 of the SQGN
paper, the squared difference summed over pixels and averaged over samples, (m/s)²; ``ssim`` is
the mean structural similarity (Wang et al. 2004), with the data range of the config's velocity
bounds; ``salt_iou`` is the mean intersection over union of predicted and true salt over the
samples that hold salt.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader
from seistomo.training.scores import mean_squared_error, structural_similarity

CANDIDATES = ("prediction", "baseline", "oracle_1d")
"""What is scored: the network, the mean training model, each sample's own lateral mean."""
SCORES = ("mse", "rmse", "mae", "ssim", "salt_iou")
BATCH = 64

Array = NDArray[np.float64]
Models = NDArray[np.float32]


def salt_iou(prediction: Models, reference: Models, threshold: float) -> Array:
    """Return intersection over union of what is faster than ``threshold``, NaN without true salt.

    Models are [sample, depth, x], m/s; the result is [sample].
    """
    predicted, true = prediction > threshold, reference > threshold
    common = np.count_nonzero(predicted & true, axis=(1, 2))
    either = np.count_nonzero(predicted | true, axis=(1, 2))
    return np.where(true.any(axis=(1, 2)), common / np.maximum(either, 1), np.nan)


def sample_scores(
    prediction: Models, reference: Models, data_range: float, salt_threshold: float
) -> dict[str, Array]:
    """Return each of `SCORES` for each sample, [sample].

    Models are [sample, depth, x]; all arguments are in m/s. ``data_range`` is the config's
    ``velocity.maximum - velocity.minimum``.
    """
    mse = mean_squared_error(prediction, reference)
    difference = prediction.astype(np.float64) - reference
    return {
        "mse": mse,
        "rmse": np.sqrt(mse),
        "mae": np.mean(np.abs(difference), axis=(1, 2)),
        "ssim": structural_similarity(prediction, reference, data_range),
        "salt_iou": salt_iou(prediction, reference, salt_threshold),
    }


def mean_training_model(data: DatasetReader) -> Models | None:
    """Return the mean model [depth, x] of the training split, m/s; None for a set without one."""
    indices = data.indices("train")
    if not len(indices):
        return None
    total = np.zeros(data.velocity_shape)
    for start in range(0, len(indices), BATCH):
        velocity = data.read_velocity(indices[start : start + BATCH])
        total += velocity.sum(axis=0, dtype=np.float64)
    return (total / len(indices)).astype(np.float32)


def lateral_mean(velocity: Models) -> Models:
    """Return each model's own mean over x, spread over x again [sample, depth, x], m/s.

    An oracle: the best 1D earth (in mean square), which only someone who knows the answer
    can draw. A prediction that beats it has found lateral structure.
    """
    mean = velocity.mean(axis=2, keepdims=True, dtype=np.float64)
    return np.broadcast_to(mean, velocity.shape).astype(np.float32)


class ScoreTable:
    """The scores of every sample, for the prediction and what it is compared with.

    Filled batch by batch; only numbers a sample are kept. Parameters as for `sample_scores`;
    ``mean_model`` is the baseline [depth, x], m/s.
    """

    def __init__(self, mean_model: Models, data_range: float, salt_threshold: float) -> None:
        self._mean_model, self._settings = mean_model, (data_range, salt_threshold)
        self._squares = {name: np.zeros(len(mean_model)) for name in CANDIDATES}
        self._scores: dict[str, dict[str, list[Array]]] = {
            name: {score: [] for score in SCORES} for name in CANDIDATES
        }
        self.indices: list[int] = []  # row of each sample in the data set
        self.families: list[str] = []
        self.salt_fraction: list[float] = []  # share of each true model that is salt

    def add(
        self,
        prediction: Models,
        reference: Models,
        indices: Sequence[int],
        families: Sequence[str],
        has_salt: NDArray[np.bool_] | None = None,
    ) -> None:
        """Score a batch of predicted and true models [sample, depth, x], m/s.

        ``has_salt`` [sample] says which hold salt where other rocks may be as fast.
        """
        baseline = np.broadcast_to(self._mean_model, reference.shape)
        for name, candidate in zip(
            CANDIDATES, (prediction, baseline, lateral_mean(reference)), strict=True
        ):
            scores = sample_scores(candidate, reference, *self._settings)
            if has_salt is not None:
                scores["salt_iou"][~has_salt] = np.nan
            for score, values in scores.items():
                self._scores[name][score].append(values)
            squares = (candidate.astype(np.float64) - reference) ** 2
            self._squares[name] += squares.mean(axis=2).sum(axis=0)
        self.indices.extend(map(int, indices))
        self.families.extend(families)
        salt = reference > self._settings[1]
        self.salt_fraction.extend(np.mean(salt, axis=(1, 2)).tolist())

    def __len__(self) -> int:
        return len(self.indices)

    def column(self, score: str, candidate: str = "prediction") -> Array:
        """Return one of `SCORES` of each sample [sample]; NaN where there is none."""
        return np.concatenate(self._scores[candidate][score])

    @property
    def rmse_depth(self) -> dict[str, Array]:
        """By candidate, the RMSE over samples and x [depth], m/s."""
        return {name: np.sqrt(total / len(self)) for name, total in self._squares.items()}

    def summary(self) -> dict[str, object]:
        """Return the content of ``metrics.json``: scores over all samples and by family."""
        names = np.array(self.families)
        families = {name: self._summary_of(names == name) for name in sorted(set(names.tolist()))}
        return {**self._summary_of(np.ones(len(names), bool)), "by_family": families}

    def write_csv(self, path: Path) -> None:
        """Write a row a sample; a score that does not exist is an empty cell."""
        columns = {"index": self.indices, "family": self.families}
        columns |= {score: self.column(score) for score in SCORES}
        columns["salt_fraction"] = self.salt_fraction
        for name in CANDIDATES[1:]:
            columns |= {f"{name}_{score}": self.column(score, name) for score in SCORES}
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow([_cell(value) for value in row])

    def _summary_of(self, chosen: NDArray[np.bool_]) -> dict[str, object]:
        summaries = {}
        for name in CANDIDATES:
            mse = float(np.mean(self.column("mse", name)[chosen]))
            iou = self.column("salt_iou", name)[chosen]
            iou = iou[~np.isnan(iou)]
            summaries[name] = {
                "mse": mse,
                "rmse": math.sqrt(mse),
                "mae": float(np.mean(self.column("mae", name)[chosen])),
                "ssim": float(np.mean(self.column("ssim", name)[chosen])),
                "salt_iou": float(iou.mean()) if len(iou) else None,
                "loss": mse * self._mean_model.size,
            }
        return {"samples": int(chosen.sum()), **summaries.pop("prediction"), **summaries}


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.9g}"
    return value
