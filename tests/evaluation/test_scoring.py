"""Scores are what their definitions say, and an evaluation holds them whole or not at all."""

import csv
import json
import math

import numpy as np
import pytest

from seistomo.dataset import open_dataset, read_predictions, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, score_run, scoring
from seistomo.evaluation.metrics import (
    SCORES,
    ScoreTable,
    mean_training_model,
    salt_iou,
    sample_scores,
)
from seistomo.training import load_run, train
from seistomo.training.gather_statistics import gather_statistics

RANGE, THRESHOLD = 3000.0, 4000.0
FILES = {"metrics.json", "samples.csv", "predictions.h5", "report.html", "figures"}
FIGURES = {"predictions.png", "ssim_histogram.png", "rmse_depth.png", "convergence.png"}


@pytest.fixture
def pair(models):
    random = np.random.default_rng(0)
    noise = random.normal(0, 80, models.shape).astype(np.float32)
    return (models + noise)[:9], models[:9]


def tabulate(prediction, reference, batch=4, mean_model=None):
    table = ScoreTable(reference[:5].mean(axis=0), RANGE, THRESHOLD)
    for start in range(0, len(reference), batch):
        rows = np.arange(start, min(start + batch, len(reference)))
        names = ["salt" if index % 4 == 1 else "layers" for index in rows]
        table.add(prediction[rows], reference[rows], rows, names)
    return table


def test_errors_match_literal_sums(pair):
    scores = sample_scores(*pair, RANGE, THRESHOLD)
    for sample, (one, other) in enumerate(zip(*pair, strict=True)):
        squares = absolutes = 0.0
        for p, r in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True):
            squares += (p - r) ** 2
            absolutes += abs(p - r)
        assert scores["mse"][sample] == pytest.approx(squares / one.size, rel=1e-9)
        assert scores["rmse"][sample] == pytest.approx(math.sqrt(squares / one.size), rel=1e-9)
        assert scores["mae"][sample] == pytest.approx(absolutes / one.size, rel=1e-9)


def test_overlap_of_salt_is_counted_by_hand():
    reference, prediction = np.full((2, 2, 1, 4), 2000.0, np.float32)
    reference[0, 0, :3] = 4500
    prediction[:, 0, 1:] = 4500
    iou = salt_iou(prediction, reference, THRESHOLD)
    assert iou[0] == 0.5
    assert np.isnan(iou[1])


def test_summaries_follow_the_definitions(pair):
    prediction, reference = pair
    table = tabulate(prediction, reference)
    summary = table.summary()
    h, y = prediction.astype(float).ravel(), reference.astype(float).ravel()
    assert summary["loss"] == pytest.approx((h - y) @ (h - y) / len(reference), rel=1e-6)
    assert summary["loss"] == pytest.approx(summary["mse"] * 480)
    # The root of the mean, not the mean of roots.
    assert summary["rmse"] == pytest.approx(math.sqrt(summary["mse"]))
    variance = reference.astype(float).var(axis=2).mean(axis=1)
    np.testing.assert_allclose(table.column("mse", "oracle_1d"), variance, rtol=1e-4)
    constant = np.repeat(reference[:5].mean(axis=0)[None], len(reference), axis=0)
    expected = sample_scores(constant, reference, RANGE, THRESHOLD)
    for name, values in expected.items():
        np.testing.assert_allclose(table.column(name, "baseline"), values, rtol=1e-6)
    for name, rmse in table.rmse_depth.items():
        assert np.mean(rmse**2) == pytest.approx(table.column("mse", name).mean(), rel=1e-9)
    families = summary["by_family"]
    assert sum(part["samples"] for part in families.values()) == summary["samples"] == 9
    total = sum(part["samples"] * part["baseline"]["mse"] for part in families.values())
    assert total / 9 == pytest.approx(summary["baseline"]["mse"])
    assert families["layers"]["salt_iou"] is None
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_batches_do_not_matter(pair):
    whole, single = (tabulate(*pair, batch) for batch in (9, 1))
    assert json.dumps(whole.summary()) == json.dumps(single.summary())


def test_the_mean_model_is_of_the_training_split_alone(tmp_path, config, models):
    gathers = np.ones((len(models), 3, 5, 16), np.float32)
    write_dataset(tmp_path / "plain.h5", config, models, gathers)
    with open_dataset(tmp_path / "plain.h5") as data:
        rows = data.indices("train")
    poisoned = np.full_like(models, 4321)
    poisoned[rows] = models[rows]
    write_dataset(tmp_path / "poisoned.h5", config, poisoned, gathers)
    with open_dataset(tmp_path / "poisoned.h5") as data:
        np.testing.assert_allclose(mean_training_model(data), models[rows].mean(axis=0), rtol=1e-6)


def test_an_evaluation_holds_what_it_promises(fake_run, run_dir, data_path, tmp_path, models):
    out = tmp_path / "out"
    metrics = evaluate(run_dir, data_path, out)
    assert {path.name for path in out.iterdir()} == FILES
    assert {path.name for path in (out / "figures").iterdir()} == FIGURES
    assert json.loads((out / "metrics.json").read_text()) == metrics
    with open_dataset(data_path) as data:
        test, train_rows = data.indices("test"), data.indices("train")
    velocity, indices, attributes = read_predictions(out / "predictions.h5")
    np.testing.assert_array_equal(indices, test)
    guess = fake_run.error(models[test], test).astype(np.float32)
    np.testing.assert_array_equal(velocity, guess)
    assert attributes["data_identity"] == fake_run.data_identity
    span = fake_run.config.velocity.maximum - fake_run.config.velocity.minimum
    mean = np.repeat(models[train_rows].mean(axis=0)[None], len(test), axis=0)
    for scores, predicted in ((metrics, guess), (metrics["baseline"], mean)):
        direct = sample_scores(predicted, models[test], span, THRESHOLD)
        assert scores["mse"] == pytest.approx(direct["mse"].mean(), rel=1e-5)
        assert scores["ssim"] == pytest.approx(direct["ssim"].mean(), abs=1e-6)
        assert scores["salt_iou"] == pytest.approx(np.nanmean(direct["salt_iou"]))
    with (out / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == test.tolist()
    assert list(rows[0])[:8] == ["index", "family", *SCORES, "salt_fraction"]
    assert {"baseline_mse", "oracle_1d_rmse"} <= set(rows[0])
    for row, model in zip(rows, models[test], strict=True):
        assert (row["salt_iou"] == "") == (not (model > THRESHOLD).any())
    for name in ("mse", "mae", "ssim"):
        mean = np.mean([float(row[name]) for row in rows])
        assert mean == pytest.approx(metrics[name], rel=1e-7)


def test_a_run_is_scored_without_files_under_conditions(fake_run, data_path, models):
    # This network tells how loud the gathers are.
    def loudness(gathers, positions=None):
        return models[: len(gathers)] + 10 * gathers.std(axis=(1, 2, 3))[:, None, None]

    before = sorted(data_path.parent.rglob("*"))
    with open_dataset(data_path) as data:
        plain = score_run(fake_run, data, np.array([3, 1]))
        assert plain.samples["index"].tolist() == [3, 1]
        assert score_run(fake_run, data).summary()["samples"] == 5
        # Judged as the run's own data are: with its bounds and mean model.
        own = score_run(fake_run, data, as_run=True)
        mean = np.broadcast_to(models.mean(axis=0), (5, 20, 24))
        error = np.square(mean.astype(float) - models[data.indices("test")]).mean()
        assert own.summary()["baseline"]["mse"] == pytest.approx(error, rel=1e-6)
        fake_run.__dict__["predict"] = loudness
        noisy = {"noise_snr": 0.0, "dead_traces": 0.2}
        clean, worse, again = (score_run(fake_run, data, **c) for c in ({}, noisy, noisy))
    assert worse.summary() == again.summary()
    assert worse.summary()["mse"] != clean.summary()["mse"]
    assert sorted(data_path.parent.rglob("*")) == before


@pytest.mark.usefixtures("no_report")
def test_a_perfect_network_scores_perfectly_within_the_batch_size(
    fake_run, run_dir, data_path, tmp_path
):
    fake_run.error = lambda velocity, rows: velocity
    metrics = evaluate(run_dir, data_path, tmp_path / "out", split="all")
    assert metrics["mse"] == metrics["mae"] == metrics["loss"] == 0
    assert metrics["ssim"] == pytest.approx(1)
    assert metrics["salt_iou"] == 1
    assert metrics["baseline"]["mse"] > 0
    assert (max(fake_run.batches), sum(fake_run.batches)) == (3, 35)


@pytest.mark.usefixtures("no_report")
def test_only_an_evaluation_is_replaced_and_only_when_asked(fake_run, run_dir, data_path, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    evaluate(run_dir, data_path, out)
    (out / "report.html").touch()
    before = (out / "metrics.json").read_bytes()
    fake_run.batches.clear()
    with pytest.raises(InputError, match="--overwrite"):
        evaluate(run_dir, data_path, out)
    with pytest.raises(InputError, match="not an evaluation"):
        evaluate(run_dir, data_path, run_dir, overwrite=True)
    assert not fake_run.batches
    assert (run_dir / "history.csv").is_file()
    evaluate(run_dir, data_path, out, split="validation", overwrite=True)
    assert (out / "metrics.json").read_bytes() != before


@pytest.mark.parametrize("step", ["write_predictions", "write_report"])
def test_a_failure_midway_leaves_what_was_there(
    fake_run, run_dir, data_path, tmp_path, monkeypatch, step
):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, step, fail)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        evaluate(run_dir, data_path, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_a_real_run_end_to_end(data_path, tmp_path, config):
    train(config, data_path, tmp_path / "run")
    metrics = evaluate(tmp_path / "run", data_path, tmp_path / "out", split="validation")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    # Training scores its validation split after each epoch by the same definitions.
    names, *lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    rows = [dict(zip(names.split(","), map(float, x.split(",")), strict=True)) for x in lines]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert metrics["loss"] == pytest.approx(best["validation_loss"], rel=1e-4)
    assert metrics["ssim"] == pytest.approx(best["ssim"], abs=1e-4)
    assert metrics["epoch"] == best["epoch"]
    run = load_run(tmp_path / "run")
    with open_dataset(data_path) as data:
        table = score_run(run, data, "validation")
        assert run.gathers == gather_statistics(data, data.indices("train"))
    assert table.summary()["mse"] == metrics["mse"]
