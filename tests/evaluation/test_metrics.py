import csv
import json
import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from seistomo.evaluation.metrics import ScoreAccumulator, salt_iou, sample_scores, summarize

RANGE, THRESHOLD = 3000.0, 4000.0


@pytest.fixture
def pair(models):
    random = np.random.default_rng(0)
    noise = random.normal(0, 80, models.shape).astype(np.float32)
    return (models + noise)[:9], models[:9]


def accumulate(prediction, reference, batch, mean_model=None):
    mean_model = reference.mean(axis=0) if mean_model is None else mean_model
    scores = ScoreAccumulator(mean_model, RANGE, THRESHOLD)
    for start in range(0, len(reference), batch):
        scores.add(prediction[start : start + batch], reference[start : start + batch])
    names = ["salt" if index % 4 == 1 else "layers" for index in range(len(reference))]
    return scores.table(np.arange(len(reference)), names)


def test_errors_match_literal_sums(pair):
    prediction, reference = pair
    scores = sample_scores(prediction, reference, RANGE, THRESHOLD)
    for sample, (one, other) in enumerate(zip(prediction, reference, strict=True)):
        squares = absolutes = 0.0
        for p, r in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            squares += (p - r) ** 2
            absolutes += abs(p - r)
        pixels = one.size
        assert scores["mse"][sample] == pytest.approx(squares / pixels, rel=1e-9)
        assert scores["rmse"][sample] == pytest.approx(math.sqrt(squares / pixels), rel=1e-9)
        assert scores["mae"][sample] == pytest.approx(absolutes / pixels, rel=1e-9)


def test_ssim_is_scikit_images_with_the_configs_range(pair):
    prediction, reference = pair
    ours = sample_scores(prediction, reference, RANGE, THRESHOLD)["ssim"]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for sample, (one, other) in enumerate(zip(prediction, reference, strict=True)):
        theirs = structural_similarity(one, other, data_range=RANGE, **settings)
        observed = structural_similarity(one, other, data_range=float(np.ptp(other)), **settings)
        assert ours[sample] == pytest.approx(theirs, abs=1e-5)
        assert abs(ours[sample] - observed) > 1e-3


def test_loss_is_equation_9(pair):
    prediction, reference = pair
    h, y = prediction.astype(float).ravel(), reference.astype(float).ravel()
    summary = accumulate(prediction, reference, 4).summary()
    assert summary["loss"] == pytest.approx((h - y) @ (h - y) / len(reference), rel=1e-6)
    assert summary["loss"] == pytest.approx(summary["mse"] * 480)


def test_rmse_is_the_root_of_the_mean_not_the_mean_of_roots(models):
    reference = models[:2]
    prediction = reference + np.array([0, 100], np.float32)[:, None, None]
    summary = summarize(sample_scores(prediction, reference, RANGE, THRESHOLD), 480)
    assert summary["mse"] == pytest.approx(5000)
    assert summary["rmse"] == pytest.approx(math.sqrt(5000))
    assert summary["mae"] == pytest.approx(50)


def slab(columns):
    model = np.full((12, 12), 2000, np.float32)
    model[:, columns] = 4400
    return model


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        (slice(0, 4), slice(0, 4), 1.0),
        (slice(2, 6), slice(0, 4), 2 / 6),
        (slice(6, 8), slice(0, 4), 0.0),
        (slice(0, 0), slice(0, 4), 0.0),
        (slice(0, 12), slice(0, 3), 3 / 12),
    ],
)
def test_salt_iou_of_slabs(predicted, true, expected):
    iou = salt_iou(slab(predicted)[None], slab(true)[None], THRESHOLD)
    assert iou == pytest.approx([expected])


def test_samples_without_salt_do_not_count():
    prediction = np.stack([slab(slice(0, 4)), slab(slice(0, 2)), slab(slice(0, 0))])
    reference = np.stack([slab(slice(0, 0)), slab(slice(0, 4)), slab(slice(0, 0))])
    iou = salt_iou(prediction, reference, THRESHOLD)
    np.testing.assert_array_equal(np.isnan(iou), [True, False, True])
    summary = summarize(sample_scores(prediction, reference, RANGE, THRESHOLD), 144)
    assert summary["salt_iou"] == pytest.approx(0.5)


def test_velocity_at_the_threshold_is_not_salt():
    model = np.full((1, 12, 12), THRESHOLD, np.float32)
    assert np.isnan(salt_iou(model, model, THRESHOLD)).all()


def test_no_salt_at_all_is_null_in_json(pair):
    reference = np.minimum(pair[1], 3000)
    summary = accumulate(reference + 10, reference, 4).summary()
    assert summary["salt_iou"] is None
    assert summary["baseline"]["salt_iou"] is None
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_batches_do_not_matter(pair):
    prediction, reference = pair
    mean_model = reference[:5].mean(axis=0)
    whole = accumulate(prediction, reference, 9, mean_model)
    single = accumulate(prediction, reference, 1, mean_model)
    assert json.dumps(whole.summary()) == json.dumps(single.summary())
    np.testing.assert_allclose(
        whole.rmse_depth["prediction"], single.rmse_depth["prediction"], rtol=1e-12
    )


def test_baseline_and_oracle_are_scored_like_predictions(pair):
    prediction, reference = pair
    mean_model = reference[:5].mean(axis=0)
    table = accumulate(prediction, reference, 4, mean_model)
    constant = np.repeat(mean_model[None], len(reference), axis=0)
    expected = sample_scores(constant, reference, RANGE, THRESHOLD)
    for name, values in expected.items():
        np.testing.assert_allclose(table.scores["baseline"][name], values, rtol=1e-6)
    variance = reference.astype(float).var(axis=2).mean(axis=1)
    np.testing.assert_allclose(table.scores["oracle_1d"]["mse"], variance, rtol=1e-4)


def test_families_add_up(pair):
    summary = accumulate(*pair, 4).summary()
    families = summary["by_family"]
    assert sum(part["samples"] for part in families.values()) == summary["samples"] == 9
    for scores in (lambda part: part, lambda part: part["baseline"]):
        total = sum(part["samples"] * scores(part)["mse"] for part in families.values())
        assert total / 9 == pytest.approx(scores(summary)["mse"])
    assert families["layers"]["salt_iou"] is None
    assert families["salt"]["salt_iou"] is not None


def test_error_against_depth_adds_up_to_the_error(pair):
    table = accumulate(*pair, 2)
    for name, rmse in table.rmse_depth.items():
        assert rmse.shape == (20,)
        mse = table.scores[name]["mse"].mean()
        assert np.mean(rmse**2) == pytest.approx(mse, rel=1e-9)


def test_csv_has_a_row_a_sample_with_the_baseline_beside(pair, tmp_path):
    table = accumulate(*pair, 4)
    table.write_csv(tmp_path / "samples.csv")
    with (tmp_path / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    expected = ["index", "family", "mse", "rmse", "mae", "ssim", "salt_iou", "salt_fraction"]
    assert list(rows[0])[:8] == expected
    assert {"baseline_mse", "baseline_ssim", "oracle_1d_rmse"} <= set(rows[0])
    assert rows[0]["salt_iou"] == ""
    assert float(rows[1]["salt_iou"]) > 0.5
    assert float(rows[1]["salt_fraction"]) == pytest.approx((pair[1][1] > THRESHOLD).mean())
    summary = table.summary()
    for name in ("mse", "mae", "ssim"):
        mean = np.mean([float(row[name]) for row in rows])
        assert mean == pytest.approx(summary[name], rel=1e-7)
        mean = np.mean([float(row[f"baseline_{name}"]) for row in rows])
        assert mean == pytest.approx(summary["baseline"][name], rel=1e-7)
