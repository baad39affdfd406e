"""Scores of predicted velocity models, per sample and over a data set.

Definitions: ``mse`` is the mean over pixels and samples of the squared difference, (m/s)²;
``rmse`` its root and ``mae`` the mean absolute difference, m/s; ``loss`` is Eq. 9 of the SQGN
paper, the squared difference summed over pixels and averaged over samples, (m/s)²; ``ssim`` is
the mean structural similarity (Wang et al. 2004), with the data range of the config's velocity
bounds; ``salt_iou`` is the mean intersection over union of predicted and true salt over the
samples that hold salt.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from seistomo.dataset import DatasetReader
from seistomo.training.scores import mean_squared_error, structural_similarity

CANDIDATES = {"prediction": "", "baseline": "baseline_", "oracle_1d": "oracle_1d_"}
"""What is scored, and how its columns begin: the network, the mean training model, each sample's
own lateral mean."""


class ScoreName(NamedTuple):
    """How a score is called, in tables and on axes."""

    name: str
    unit: str = ""
    one: float = 1.0  # what is one of the unit
    higher: bool = False  # whether more is better

    @property
    def label(self) -> str:
        name = self.name[:1].upper() + self.name[1:]
        return f"{name} ({self.unit})" if self.unit else name

    @property
    def heading(self) -> str:
        return f"{self.name}, {self.unit}" if self.unit else self.name


SCORE_NAMES = {
    "accuracy": ScoreName("accuracy", "%", 0.01, higher=True),
    "loss": ScoreName("loss"),
    "train_loss": ScoreName("training loss"),
    "error": ScoreName("error without noise"),
    "rmse": ScoreName("RMSE", "m/s"),
    "ssim": ScoreName("SSIM", higher=True),
    "salt_iou": ScoreName("salt IoU", higher=True),
    "mae": ScoreName("MAE", "m/s"),
    "mse": ScoreName("MSE", "(m/s)²"),
    "data_misfit_far": ScoreName("data misfit, far traces"),
    "data_misfit": ScoreName("data misfit, all traces"),
    "evaluation.loss": ScoreName("loss, Eq. 9", "(m/s)²"),
    "tomography.loss": ScoreName("loss", "10⁸ (m/s)²", 1e8),
    "tomography.train_loss": ScoreName("training loss", "10⁸ (m/s)²", 1e8),
}
"""By score; those of one problem, or of reports, have its name in front."""
SCORES = ("mse", "rmse", "mae", "ssim", "salt_iou")
MISFITS = ("data_misfit", "data_misfit_far")
"""Scores of an evaluation that shot over the models again: `seistomo.evaluation.misfit`."""
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


def rank_correlation(one: Array, other: Array) -> float | None:
    """Return Spearman's rank correlation where ``one`` is known; None of too few, or all alike."""
    known = ~np.isnan(one)
    one, other = one[known], other[known]
    if len(one) < 3 or not np.ptp(one) or not np.ptp(other):
        return None
    return float(spearmanr(one, other).statistic)


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


def or_none(value: float) -> float | None:
    """Return a number as JSON holds it: None where there is none (NaN)."""
    return None if math.isnan(value) else float(value)


class ScoreTable:
    """The scores of every sample, for the prediction and what it is compared with.

    Filled batch by batch; only numbers a sample are kept. Parameters as for `sample_scores`;
    ``mean_model`` is the baseline [depth, x], m/s.
    """

    def __init__(self, mean_model: Models, data_range: float, salt_threshold: float) -> None:
        self.mean_model, self.settings = mean_model, (data_range, salt_threshold)
        self._squares = {name: np.zeros(len(mean_model)) for name in CANDIDATES}
        self._frames: list[pd.DataFrame] = []

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
        columns = {"index": indices, "family": families}
        baseline = np.broadcast_to(self.mean_model, reference.shape)
        models = (prediction, baseline, lateral_mean(reference))
        for (name, prefix), candidate in zip(CANDIDATES.items(), models, strict=True):
            scores = sample_scores(candidate, reference, *self.settings)
            if has_salt is not None:
                scores["salt_iou"][~has_salt] = np.nan
            columns |= {prefix + score: values for score, values in scores.items()}
            if not prefix:
                columns["salt_fraction"] = np.mean(reference > self.settings[1], axis=(1, 2))
            squares = (candidate.astype(np.float64) - reference) ** 2
            self._squares[name] += squares.mean(axis=2).sum(axis=0)
        self._frames.append(pd.DataFrame(columns))

    @property
    def samples(self) -> pd.DataFrame:
        """A row a sample: ``samples.csv``; NaN where there is no such score."""
        if len(self._frames) > 1:
            self._frames = [pd.concat(self._frames, ignore_index=True)]
        return self._frames[0]

    def __len__(self) -> int:
        return sum(map(len, self._frames))

    def column(self, score: str, candidate: str = "prediction") -> Array:
        """Return a score of each sample [sample]; NaN where there is none."""
        return self.samples[CANDIDATES[candidate] + score].to_numpy()

    @property
    def rmse_depth(self) -> dict[str, Array]:
        """By candidate, the RMSE over samples and x [depth], m/s."""
        return {name: np.sqrt(total / len(self)) for name, total in self._squares.items()}

    def summary(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``: scores over all samples and by family."""
        families = self.samples.groupby("family")
        by_family = {str(name): self._summary_of(rows) for name, rows in families}
        return {**self._summary_of(self.samples), "by_family": by_family}

    def _summary_of(self, rows: pd.DataFrame) -> dict[str, Any]:
        means, summaries = rows.mean(numeric_only=True), {}
        for name, prefix in CANDIDATES.items():
            found = {score: or_none(means[prefix + score]) for score in SCORES}
            found |= {"rmse": math.sqrt(found["mse"]), "loss": found["mse"] * self.mean_model.size}
            for score in MISFITS:
                if (column := prefix + score) in rows:
                    median = or_none(rows[column].median())
                    found |= {score: or_none(means[column]), f"{score}_median": median}
            summaries[name] = found
        return {"samples": len(rows), **summaries.pop("prediction"), **summaries}
