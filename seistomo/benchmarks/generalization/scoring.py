"""Scores of a run under one condition, kept in a file so that they are computed once."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seistomo.benchmarks.generalization.conditions import Condition
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.evaluation.corruption import Corruption
from seistomo.evaluation.fit import check_fit
from seistomo.evaluation.metrics import ScoreAccumulator, ScoreTable
from seistomo.evaluation.prediction import predicted_batches
from seistomo.files import written_whole
from seistomo.training import Run

KEPT = ("mse", "rmse", "ssim", "salt_iou")
"""Scores that are kept for each sample."""


@dataclass(frozen=True)
class ConditionScores:
    """What a run reaches under one condition.

    Attributes
    ----------
    name, label, group, note
        Those of the condition.
    summary
        As ``metrics.json`` of an evaluation has it (docs/evaluation.md): scores over all samples,
        also under ``baseline``, ``oracle_1d`` and ``by_family``.
    per_sample, baseline_per_sample
        `KEPT` scores of prediction and mean training model, [sample]; None where there is none.
    """

    name: str
    label: str
    group: str
    note: str
    summary: dict[str, Any]
    per_sample: dict[str, list[float | None]]
    baseline_per_sample: dict[str, list[float | None]]

    @property
    def skill(self) -> float:
        """1 − MSE / MSE of the mean training model: 1 is perfect, 0 no better than it."""
        return 1 - self.summary["mse"] / self.summary["baseline"]["mse"]

    def column(self, score: str, *, baseline: bool = False) -> NDArray[np.float64]:
        """Return one score of each sample [sample], NaN where there is none."""
        values = (self.baseline_per_sample if baseline else self.per_sample)[score]
        return np.array([math.nan if value is None else value for value in values])

    def deviation(self, score: str) -> float | None:
        """Return the standard deviation of a score over samples; None of a single one."""
        return _deviation(self.column(score))

    def change_from(self, reference: "ConditionScores", score: str) -> tuple[float, float | None]:
        """Return the mean change of a score, sample by sample, and its standard error.

        Both are of the same models in the same order; a single one has no standard error.
        """
        change = self.column(score) - reference.column(score)
        deviation = _deviation(change)
        error = None if deviation is None else deviation / math.sqrt(len(change))
        return float(change.mean()), error


def score_condition(
    run: Run, data: DatasetReader, rows: NDArray[np.int64], corruption: Corruption
) -> ScoreTable:
    """Predict and score samples of a data set, beside the mean model that the run was trained on.

    The salt of a sample counts where its salt mask says that there is some: other rocks may be as
    fast.

    Parameters
    ----------
    run
        The trained run.
    data, rows
        The data set and the rows that are scored, int64 [sample].
    corruption
        What is done to the gathers.

    Raises
    ------
    InputError
        If the run does not fit the data set or its predictions are not finite.
    """
    check_fit(run, data)
    bounds = run.config.velocity
    scores = ScoreAccumulator(
        run.normalization.mean_velocity,
        bounds.maximum - bounds.minimum,
        run.config.evaluation.salt_threshold,
    )
    for part, predicted in predicted_batches(run, data, rows, corruption):
        scores.add(predicted, data.read_velocity(rows[part]))
    table = scores.table(rows, data.families(rows))
    without_salt = [not data.read_salt_mask([row]).any() for row in rows]
    for candidate in table.scores.values():
        candidate["salt_iou"][without_salt] = math.nan
    return table


def condition_scores(condition: Condition, table: ScoreTable) -> ConditionScores:
    """Return what is kept of a condition's scores."""
    prediction, baseline = (
        {score: _cells(table.scores[name][score]) for score in KEPT}
        for name in ("prediction", "baseline")
    )
    return ConditionScores(
        condition.name,
        condition.label,
        condition.group,
        condition.note,
        table.summary(),
        prediction,
        baseline,
    )


def write_scores(path: Path, scores: ConditionScores) -> None:
    """Write scores as JSON; the file appears whole or not at all."""
    text = json.dumps(asdict(scores), indent=1, allow_nan=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_scores(path: Path) -> ConditionScores:
    """Read what `write_scores` wrote.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    try:
        return ConditionScores(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); remove it and run again") from None


def _deviation(values: NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _cells(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]
