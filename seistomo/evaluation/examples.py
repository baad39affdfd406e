"""Which samples stand for the others in the figure of predictions."""

from collections.abc import Sequence

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
    predictions: Sequence[NDArray[np.float32]],
    salt_threshold: float,
) -> list[Case]:
    """Return the cases of a figure of predictions.

    Parameters
    ----------
    data
        Where the reference models are; its velocity bounds are the SSIM range.
    labels
        What each case is an example of; may be empty text.
    indices
        Row of each case in the data set.
    predictions
        Predicted velocity [depth, x] of each case, m/s.
    salt_threshold
        Speed above which a pixel is salt, m/s.
    """
    references = data.read_velocity(indices)
    data_range = data.config.velocity.maximum - data.config.velocity.minimum
    scores = sample_scores(np.stack(predictions), references, data_range, salt_threshold)
    return [
        Case(
            label=f"{label}: sample {index}, {family}" if label else f"Sample {index}, {family}",
            reference=reference,
            prediction=np.asarray(prediction),
            ssim=float(ssim),
            rmse=float(rmse),
            salt=reference > salt_threshold,
        )
        for label, index, family, reference, prediction, ssim, rmse in zip(
            labels,
            indices,
            data.families(indices),
            references,
            predictions,
            scores["ssim"],
            scores["rmse"],
            strict=True,
        )
    ]
