"""Which samples stand for the others in the figure of predictions."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader
from seistomo.evaluation.figures import Case
from seistomo.evaluation.metrics import sample_scores


def choose_examples(ssim: NDArray, salt_iou: NDArray) -> dict[str, int]:
    """Return the rows of the best, median and worst sample by SSIM, and one with salt.

    Parameters
    ----------
    ssim
        SSIM [sample].
    salt_iou
        Salt IoU [sample], NaN without salt. The sample with salt is the one with the median
        IoU; it is left out when there is none or it is one of the others.

    Returns
    -------
    Rows by label, in the order named; with few samples some labels are left out.
    """
    order = np.argsort(-ssim, kind="stable")
    wanted = {"Best": order[0], "Median": order[len(order) // 2], "Worst": order[-1]}
    with_salt = np.flatnonzero(~np.isnan(salt_iou))
    if len(with_salt):
        by_iou = with_salt[np.argsort(salt_iou[with_salt], kind="stable")]
        wanted["Median salt"] = by_iou[len(by_iou) // 2]
    chosen: dict[str, int] = {}
    for label, row in wanted.items():
        if int(row) not in chosen.values():
            chosen[label] = int(row)
    return chosen


def build_cases(
    data: DatasetReader,
    labels: Sequence[str],
    indices: Sequence[int],
    predictions: Mapping[str, NDArray[np.float32]],
    salt_threshold: float,
) -> list[Case]:
    """Return the cases of `figures.predictions_figure`.

    ``labels`` say what each sample, a row of ``data``, is an example of, or are empty;
    ``predictions`` [sample, depth, x] in m/s are by method; salt is faster than the threshold, m/s.
    """
    references = data.read_velocity(indices)
    data_range = data.config.velocity.maximum - data.config.velocity.minimum
    scores = {
        method: sample_scores(models, references, data_range, salt_threshold)
        for method, models in predictions.items()
    }
    families = data.families(indices)
    return [
        Case(
            f"{label}: sample {index}, {family}" if label else f"Sample {index}, {family}",
            references[row],
            {method: models[row] for method, models in predictions.items()},
            {method: float(found["ssim"][row]) for method, found in scores.items()},
            {method: float(found["rmse"][row]) for method, found in scores.items()},
            references[row] > salt_threshold,
        )
        for row, (label, index, family) in enumerate(zip(labels, indices, families, strict=True))
    ]
