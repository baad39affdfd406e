import numpy as np
import pytest

from seistomo.evaluation.metrics import ScoreAccumulator
from seistomo.evaluation.verdict import judge


def verdict_of(prediction, reference, **request):
    scores = ScoreAccumulator(reference.mean(axis=0), 3200.0, 4000.0)
    scores.add(prediction.astype(np.float32), reference)
    table = scores.table(np.arange(len(reference)), ["layers"] * len(reference))
    asked = {"split": "test", "noise_snr": None, "dead_traces": None}
    origin = {"trained_on_this_data": True, "baseline_of_run": False}
    return judge(table, {**table.summary(), **asked, **origin, **request})


def test_near_the_truth_is_good(models):
    verdict = verdict_of(models + 5, models)
    assert verdict.kind == "good"
    assert "beats the mean training model" in verdict.headline
    assert "35 of 35" in verdict.details[0]
    assert "varies sideways" in verdict.details[1]


def test_the_mean_model_itself_is_no_success(models):
    verdict = verdict_of(np.repeat(models.mean(axis=0)[None], 35, axis=0), models)
    assert verdict.kind == "bad"
    assert "does not beat" in verdict.headline
    assert "nearer to the truth" in verdict.details[1]


def test_worse_than_the_mean_model_is_bad(models):
    noise = np.random.default_rng(0).normal(0, 900, models.shape)
    assert verdict_of(models + noise, models).kind == "bad"


def test_better_in_one_score_only_is_said(models):
    # Salt and pepper ruins the structure, not the error.
    noise = np.random.default_rng(0).choice([-120, 120], models.shape)
    verdict = verdict_of(models + noise, models)
    assert verdict.kind == "unclear"
    assert "in RMSE, but not in SSIM" in verdict.headline


def test_one_lucky_sample_in_many_is_no_clear_margin(models):
    prediction = np.repeat(models.mean(axis=0)[None], 35, axis=0)
    prediction[1] = models[1]
    verdict = verdict_of(prediction, models)
    assert verdict.kind == "unclear"
    assert "clear margin" in verdict.headline


def test_a_single_sample_is_never_clear(models):
    scores = ScoreAccumulator(models.mean(axis=0), 3200.0, 4000.0)
    scores.add(models[:1] + 1, models[:1])
    table = scores.table(np.arange(1), ["layers"])
    metrics = {**table.summary(), "split": "test", "noise_snr": None, "dead_traces": None}
    metrics |= {"trained_on_this_data": True, "baseline_of_run": False}
    verdict = judge(table, metrics)
    assert verdict.kind == "unclear"
    assert any("Only 1 sample" in caution for caution in verdict.cautions)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"split": "train"}, "trained on"),
        ({"split": "validation"}, "chosen on these samples"),
        ({"noise_snr": 3.0}, "3 dB"),
        ({"dead_traces": 0.25}, "25%"),
        ({"trained_on_this_data": False}, "another data set"),
        ({}, "same simulator"),
    ],
)
def test_cautions(models, request_, words):
    verdict = verdict_of(models + 5, models, **request_)
    assert any(words in caution for caution in verdict.cautions)
