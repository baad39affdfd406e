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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.evaluation.baselines import lateral_mean
from seistomo.training.scores import mean_squared_error, structural_similarity

CANDIDATES = ("prediction", "baseline", "oracle_1d")
"""What is scored: the network, the mean training model, each sample's own lateral mean."""
SCORES = ("mse", "rmse", "mae", "ssim", "salt_iou")

Array = NDArray[np.float64]


def salt_iou(
    prediction: NDArray[np.float32], reference: NDArray[np.float32], threshold: float
) -> Array:
    """Return the intersection over union of predicted and true salt of each sample.

    Parameters
    ----------
    prediction, reference
        Velocity [sample, depth, x], m/s.
    threshold
        Speed above which a pixel is salt, m/s.

    Returns
    -------
    Values from 0 to 1 [sample], NaN for samples without true salt.
    """
    predicted, true = prediction > threshold, reference > threshold
    common = np.count_nonzero(predicted & true, axis=(1, 2))
    either = np.count_nonzero(predicted | true, axis=(1, 2))
    has_salt = true.any(axis=(1, 2))
    return np.where(has_salt, common / np.maximum(either, 1), np.nan)


def sample_scores(
    prediction: NDArray[np.float32],
    reference: NDArray[np.float32],
    data_range: float,
    salt_threshold: float,
) -> dict[str, Array]:
    """Return each of `SCORES` for each sample, [sample].

    Parameters
    ----------
    prediction, reference
        Velocity [sample, depth, x], m/s.
    data_range
        ``velocity.maximum - velocity.minimum`` of the config, m/s.
    salt_threshold
        Speed above which a pixel is salt, m/s.
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


def summarize(scores: dict[str, Array], pixels: int) -> dict[str, float | None]:
    """Return the scores over all samples; ``salt_iou`` is None where none holds salt.

    Parameters
    ----------
    scores
        What `sample_scores` returns, [sample] each.
    pixels
        Number of pixels of a model, for Eq. 9.
    """
    mse = float(np.mean(scores["mse"]))
    return {
        "mse": mse,
        "rmse": math.sqrt(mse),
        "mae": float(np.mean(scores["mae"])),
        "ssim": float(np.mean(scores["ssim"])),
        "salt_iou": _mean_or_none(scores["salt_iou"]),
        "loss": mse * pixels,
    }


@dataclass(frozen=True)
class ScoreTable:
    """The scores of every sample, for the prediction and what it is compared with.

    Attributes
    ----------
    indices
        Row of each sample in the data set, int64 [sample].
    family
        Family of each sample's model.
    salt_fraction
        Share of each model that is salt [sample].
    scores
        By candidate and score, [sample].
    rmse_depth
        By candidate, RMSE over samples and x [depth], m/s.
    pixels
        Number of pixels of a model.
    """

    indices: NDArray[np.int64]
    family: Sequence[str]
    salt_fraction: Array
    scores: dict[str, dict[str, Array]]
    rmse_depth: dict[str, Array]
    pixels: int

    def summary(self) -> dict[str, object]:
        """Return the content of ``metrics.json``: scores over all samples and by family."""
        names = np.array(self.family)
        families = {
            name: self._summary_of(np.flatnonzero(names == name)) for name in sorted(set(names))
        }
        return {**self._summary_of(np.arange(len(names))), "by_family": families}

    def write_csv(self, path: Path) -> None:
        """Write a row a sample; a score that does not exist is an empty cell."""
        columns = {"index": self.indices, "family": self.family}
        columns |= self.scores["prediction"]
        columns["salt_fraction"] = self.salt_fraction
        for candidate in CANDIDATES[1:]:
            columns |= {f"{candidate}_{name}": v for name, v in self.scores[candidate].items()}
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in zip(*columns.values(), strict=True):
                writer.writerow([_cell(value) for value in row])

    def _summary_of(self, rows: NDArray[np.int64]) -> dict[str, object]:
        summaries = {
            candidate: summarize({name: v[rows] for name, v in scores.items()}, self.pixels)
            for candidate, scores in self.scores.items()
        }
        prediction = summaries.pop("prediction")
        return {"samples": len(rows), **prediction, **summaries}


class ScoreAccumulator:
    """Scores batches as they come; only numbers a sample are kept.

    Parameters
    ----------
    mean_model
        The mean training model [depth, x], m/s.
    data_range
        ``velocity.maximum - velocity.minimum`` of the config, m/s.
    salt_threshold
        Speed above which a pixel is salt, m/s.
    """

    def __init__(
        self, mean_model: NDArray[np.float32], data_range: float, salt_threshold: float
    ) -> None:
        self._mean_model = mean_model
        self._data_range = data_range
        self._salt_threshold = salt_threshold
        self._scores: dict[str, list[dict[str, Array]]] = {name: [] for name in CANDIDATES}
        self._squares = {name: np.zeros(len(mean_model)) for name in CANDIDATES}
        self._salt: list[Array] = []

    def add(self, prediction: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
        """Score a batch of predicted and true models [sample, depth, x], m/s."""
        candidates = (
            prediction,
            np.broadcast_to(self._mean_model, reference.shape),
            lateral_mean(reference),
        )
        for name, candidate in zip(CANDIDATES, candidates, strict=True):
            scores = sample_scores(candidate, reference, self._data_range, self._salt_threshold)
            self._scores[name].append(scores)
            squares = (candidate.astype(np.float64) - reference) ** 2
            self._squares[name] += squares.mean(axis=2).sum(axis=0)
        self._salt.append(np.mean(reference > self._salt_threshold, axis=(1, 2)))

    def table(self, indices: NDArray[np.int64], family: Sequence[str]) -> ScoreTable:
        """Return the scores of all samples added, which are those of ``indices`` in order."""
        scores = {
            name: {key: np.concatenate([batch[key] for batch in batches]) for key in SCORES}
            for name, batches in self._scores.items()
        }
        return ScoreTable(
            indices=indices,
            family=family,
            salt_fraction=np.concatenate(self._salt),
            scores=scores,
            rmse_depth={n: np.sqrt(total / len(indices)) for n, total in self._squares.items()},
            pixels=self._mean_model.size,
        )


def _mean_or_none(values: Array) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else None


def _cell(value: object) -> object:
    if isinstance(value, np.floating):
        return "" if np.isnan(value) else f"{value:.9g}"
    return value
