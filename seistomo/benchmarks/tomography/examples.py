"""Which runs and samples Figure 3 shows, and what they predict."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.scores import predict_samples
from seistomo.benchmarks.tomography.table import SHOWN, MeasuredRow
from seistomo.dataset import DatasetReader
from seistomo.evaluation.figures import Comparison
from seistomo.evaluation.metrics import sample_scores

METHODS = ("adam", "sqgn", "sgn")
"""Optimizers of Figure 3 in its order; others take the places that are left."""
MOST_METHODS = 3
# Shares of the way from the least salt to the most, at which samples are taken.
AMOUNTS = (0.25, 0.5, 0.75)


def choose_rows(rows: Sequence[MeasuredRow]) -> list[tuple[MeasuredRow, Outcome]]:
    """Return the rows to show and the run of each: its first that did not diverge.

    Of an optimizer's rows, that with the lowest mean validation loss at its end: nothing is
    chosen on the test split.
    """
    best: dict[str, MeasuredRow] = {}
    for row in sorted((row for row in rows if row.whole), key=validation_loss):
        best.setdefault(row.row.optimizer, row)
    order = [*METHODS, *(name for name in best if name not in METHODS)]
    chosen = [best[name] for name in order if name in best][:MOST_METHODS]
    return [(row, row.whole[0]) for row in chosen]


def choose_samples(data: DatasetReader, split: str, threshold: float) -> NDArray[np.int64]:
    """Return the samples to show, by the salt in them alone.

    Parameters
    ----------
    data
        The data set.
    split
        Which samples there are to choose from.
    threshold
        Speed above which a pixel is salt, m/s.

    Returns
    -------
    Rows of three samples with little, middling and much salt; without salt the first three.
    """
    indices = data.indices(split)
    salt = np.mean(data.read_velocity(indices) > threshold, axis=(1, 2))
    with_salt = indices[salt > 0]
    if not len(with_salt):
        return indices[: len(AMOUNTS)]
    by_amount = with_salt[np.argsort(salt[salt > 0], kind="stable")]
    places = [round(share * (len(by_amount) - 1)) for share in AMOUNTS]
    return np.array(list(dict.fromkeys(by_amount[places].tolist())), dtype=np.int64)


def build_comparisons(
    chosen: Sequence[tuple[MeasuredRow, Outcome]],
    data: DatasetReader,
    split: str,
    threshold: float,
    device: str,
) -> list[Comparison]:
    """Return the samples of Figure 3 with what each run predicts.

    Parameters
    ----------
    chosen
        Rows and their runs.
    data
        The data set.
    split
        Where samples are taken from.
    threshold
        Speed above which a pixel is salt, m/s.
    device
        Where to predict.
    """
    samples = choose_samples(data, split, threshold)
    references, bounds = data.read_velocity(samples), data.config.velocity
    predictions, scores = {}, {}
    for row, one in chosen:
        predicted = predict_samples(one.path, data, samples, SHOWN, device)
        predictions[row.row.heading] = predicted
        scores[row.row.heading] = sample_scores(
            predicted, references, bounds.maximum - bounds.minimum, threshold
        )
    return [
        Comparison(
            label=f"Sample {sample}, {family}",
            reference=references[number],
            predictions={name: models[number] for name, models in predictions.items()},
            ssim={name: float(found["ssim"][number]) for name, found in scores.items()},
            rmse={name: float(found["rmse"][number]) for name, found in scores.items()},
            salt=references[number] > threshold,
        )
        for number, (sample, family) in enumerate(zip(samples, data.families(samples), strict=True))
    ]


def validation_loss(row: MeasuredRow) -> float:
    """Return the mean validation loss of a row's runs after their last epoch."""
    return float(np.mean([one.history[-1].validation_loss for one in row.whole]))
