"""The benchmark's figures: scores by condition, and models under some of them."""

from collections.abc import Sequence

import numpy as np

from seistomo.benchmarks.generalization.conditions import GROUPS, SAME_MODELS, Condition
from seistomo.benchmarks.generalization.folder import MODELS_FIGURE, SCORES_FIGURE
from seistomo.benchmarks.generalization.scoring import ConditionScores
from seistomo.benchmarks.generalization.sources import Sources
from seistomo.dataset import open_dataset
from seistomo.evaluation.figures import (
    Case,
    ConditionRow,
    generalization_figure,
    predictions_figure,
    save,
)
from seistomo.evaluation.prediction import predicted_batches
from seistomo.training import Run

# Groups whose worst condition is shown, beside the reference.
SHOWN = ("records", "physics", "other", "crops")


def draw_results(
    run: Run,
    sources: Sources,
    conditions: Sequence[Condition],
    results: Sequence[ConditionScores],
) -> None:
    """Draw both figures into the folder of results.

    Parameters
    ----------
    run
        The trained run.
    sources
        Where each condition's data are.
    conditions, results
        Conditions and their scores, in the same order, the reference first.
    """
    folder = sources.folder.path
    rows = [condition_row(scores) for scores in results]
    save(generalization_figure(rows), folder / SCORES_FIGURE)
    cases = []
    for place, sample in chosen(results):
        cases.append(_case(run, sources, conditions[place], results[place], sample))
    grid = run.config.velocity
    depth, x = (np.arange(nodes) * grid.spacing for nodes in grid.shape)
    save(predictions_figure(cases, depth, x), folder / MODELS_FIGURE)


def condition_row(scores: ConditionScores) -> ConditionRow:
    """Return what the figure of scores shows of a condition."""
    baseline, oracle = scores.summary["baseline"], scores.summary["oracle_1d"]
    return ConditionRow(
        label=scores.label,
        group=GROUPS[scores.group],
        rmse=scores.column("rmse"),
        ssim=scores.column("ssim"),
        rmse_all=scores.summary["rmse"],
        baseline_rmse=baseline["rmse"],
        baseline_ssim=baseline["ssim"],
        oracle_rmse=oracle["rmse"],
        oracle_ssim=oracle["ssim"],
    )


def chosen(results: Sequence[ConditionScores]) -> list[tuple[int, int]]:
    """Return which conditions are shown, and which sample of each: (condition, sample).

    The reference, and of each of `SHOWN` the condition of the least skill. Of the reference's
    models always the same one, of median SSIM there; of others the one of their own median SSIM.
    """
    typical = _median(results[0])
    pairs = [(0, typical)]
    for group in SHOWN:
        places = [place for place, scores in enumerate(results) if scores.group == group]
        if places:
            worst = min(places, key=lambda place: results[place].skill)
            sample = typical if group in SAME_MODELS else _median(results[worst])
            pairs.append((worst, sample))
    return pairs


def _median(scores: ConditionScores) -> int:
    order = np.argsort(scores.column("ssim"), kind="stable")
    return int(order[len(order) // 2])


def _case(
    run: Run, sources: Sources, condition: Condition, scores: ConditionScores, sample: int
) -> Case:
    path, rows = sources.data_of(condition)
    with open_dataset(path) as data:
        row = rows[[sample]]
        _, predicted = next(predicted_batches(run, data, row, condition.corruption))
        reference, salt = data.read_velocity(row)[0], data.read_salt_mask(row)[0]
    return Case(
        label=condition.label,
        reference=reference,
        prediction=predicted[0],
        ssim=float(scores.column("ssim")[sample]),
        rmse=float(scores.column("rmse")[sample]),
        salt=salt,
    )
