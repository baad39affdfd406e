"""What the scores say, in words that do not flatter."""

import math
from dataclasses import dataclass

import numpy as np

from seistomo.evaluation.metrics import ScoreTable

FEW = 20
"""Below this many samples the report warns that the scores are uncertain."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of an evaluation in words.

    Attributes
    ----------
    kind
        ``good``, ``unclear`` or ``bad``: against the mean training model.
    headline
        One sentence.
    details, cautions
        What supports it, and what to keep in mind; a sentence or two each.
    """

    kind: str
    headline: str
    details: tuple[str, ...]
    cautions: tuple[str, ...]


def judge(table: ScoreTable, metrics: dict) -> Verdict:
    """Compare the prediction with the mean training model and the lateral mean.

    A score beats another when the mean of the paired differences over the samples, of the
    squared error or the SSIM, exceeds two of its standard errors.

    Parameters
    ----------
    table
        Scores of each sample.
    metrics
        The content of ``metrics.json``.
    """
    gains = [_gain(table, "mse", -1), _gain(table, "ssim", 1)]
    clear = [gain > 2 * error for gain, error in gains]
    if all(clear):
        kind, headline = "good", "The prediction beats the mean training model."
    elif any(clear):
        better, other = ("RMSE", "SSIM") if clear[0] else ("SSIM", "RMSE")
        lack = "not clearly" if min(gain for gain, _ in gains) > 0 else "not"
        kind, headline = (
            "unclear",
            f"The prediction beats the mean training model in {better}, but {lack} in {other}.",
        )
    elif all(gain > 0 for gain, _ in gains):
        kind, headline = (
            "unclear",
            "The prediction scores better than the mean training model, but not by a clear margin:"
            " the differences lie within two standard errors.",
        )
    else:
        kind, headline = (
            "bad",
            "The prediction does not beat the mean training model: these scores show nothing"
            " learnt from the recorded waves.",
        )
    return Verdict(kind, headline, _details(table, metrics), _cautions(metrics))


def _gain(table: ScoreTable, score: str, sign: int) -> tuple[float, float]:
    """Return mean and standard error of how much better the prediction is than the baseline."""
    difference = sign * (table.scores["prediction"][score] - table.scores["baseline"][score])
    count = len(difference)
    error = float(np.std(difference, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return float(np.mean(difference)), error


def _details(table: ScoreTable, metrics: dict) -> tuple[str, ...]:
    baseline, oracle = metrics["baseline"], metrics["oracle_1d"]
    nearer = int(
        np.count_nonzero(table.scores["prediction"]["mse"] < table.scores["baseline"]["mse"])
    )
    sentences = [
        f"RMSE {metrics['rmse']:.0f} m/s against {baseline['rmse']:.0f} m/s"
        f" ({metrics['rmse'] / baseline['rmse']:.2f} of it), SSIM {metrics['ssim']:.2f} against"
        f" {baseline['ssim']:.2f}; nearer to the truth on {nearer} of {metrics['samples']} samples."
        if baseline["rmse"] > 0
        else "The mean training model is exact here: all models are alike."
    ]
    beats = metrics["rmse"] < oracle["rmse"]
    sentences.append(
        "It is nearer to the truth than each model's own lateral mean"
        f" ({oracle['rmse']:.0f} m/s), so it recovers structure that varies sideways."
        if beats
        else "Each model's own lateral mean, which only someone who knows the answer can draw, is"
        f" nearer to the truth ({oracle['rmse']:.0f} m/s)."
    )
    if metrics["salt_iou"] is None:
        sentences.append("No sample holds salt.")
    else:
        count = int(np.count_nonzero(table.salt_fraction))
        found = "Salt is found" if metrics["salt_iou"] >= 0.005 else "No salt is found"
        sentences.append(
            f"{found}: IoU {metrics['salt_iou']:.2f} with the true salt over {count} samples that"
            f" hold some; the mean training model reaches {baseline['salt_iou']:.2f}."
        )
    return tuple(sentences)


def _cautions(metrics: dict) -> tuple[str, ...]:
    cautions = []
    if metrics["split"] in ("train", "all") and metrics["trained_on_this_data"]:
        cautions.append(
            "These samples include those the network was trained on: the scores say little about"
            " new ones."
        )
    if metrics["split"] == "validation" and metrics["trained_on_this_data"]:
        cautions.append(
            "The best checkpoint was chosen on these samples, so the scores flatter a little."
        )
    if not metrics["trained_on_this_data"]:
        cautions.append(
            "The network was trained on another data set. The mean training model here is that of"
            + (" the run." if metrics["baseline_of_run"] else " the data set evaluated.")
        )
    if metrics["noise_snr"] is not None:
        cautions.append(f"White noise was added to the gathers, {metrics['noise_snr']:g} dB.")
    if metrics["dead_traces"]:
        cautions.append(f"{metrics['dead_traces']:.0%} of the traces were set to zero.")
    if metrics["samples"] < FEW:
        cautions.append(
            f"Only {metrics['samples']} samples: another draw would give noticeably other numbers."
        )
    if metrics["trained_on_this_data"]:
        cautions.append(
            "Training and test data come from the same simulator, grid and wavelet, and real data"
            " do not: expect lower scores there."
        )
    return tuple(cautions)
