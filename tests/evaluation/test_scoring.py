import csv
import json

import numpy as np
import pytest

from seistomo.dataset import open_dataset, read_predictions, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, predict, scoring
from seistomo.evaluation.metrics import sample_scores
from seistomo.training import train

FILES = {"metrics.json", "samples.csv", "predictions.h5", "report.html", "figures"}
FIGURES = {"predictions.png", "ssim_histogram.png", "rmse_depth.png", "convergence.png"}


@pytest.fixture
def no_figures(monkeypatch):
    """Leave out the slow part where a test is about something else."""
    monkeypatch.setattr(scoring, "write_figures", lambda *arguments: [])


def test_writes_what_it_promises(fake_run, run_dir, data_path, tmp_path, models):
    metrics = evaluate(run_dir, data_path, tmp_path / "out")
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == FILES
    assert {path.name for path in (out / "figures").iterdir()} == FIGURES
    assert json.loads((out / "metrics.json").read_text()) == metrics
    with open_dataset(data_path) as data:
        rows = data.indices("test")
    velocity, indices, attributes = read_predictions(out / "predictions.h5")
    np.testing.assert_array_equal(indices, rows)
    np.testing.assert_array_equal(velocity, fake_run.error(models[rows], rows).astype(np.float32))
    assert attributes["data_identity"] == fake_run.data_identity
    with (out / "samples.csv").open(newline="") as file:
        assert [int(row["index"]) for row in csv.DictReader(file)] == rows.tolist()


@pytest.mark.usefixtures("no_figures")
def test_scores_equal_direct_ones(fake_run, run_dir, data_path, tmp_path, models, config):
    metrics = evaluate(run_dir, data_path, tmp_path / "out")
    with open_dataset(data_path) as data:
        test, train_rows = data.indices("test"), data.indices("train")
    mean = models[train_rows].mean(axis=0)
    span = config.velocity.maximum - config.velocity.minimum
    for scores, guess in (
        (metrics, fake_run.error(models[test], test).astype(np.float32)),
        (metrics["baseline"], np.repeat(mean[None], len(test), axis=0)),
    ):
        direct = sample_scores(guess, models[test], span, 4000.0)
        assert scores["mse"] == pytest.approx(direct["mse"].mean(), rel=1e-5)
        assert scores["ssim"] == pytest.approx(direct["ssim"].mean(), abs=1e-6)
        assert scores["salt_iou"] == pytest.approx(np.nanmean(direct["salt_iou"]))
    assert metrics["samples"] == len(test) == 5
    assert metrics["split"] == "test"
    assert metrics["trained_on_this_data"] is True


@pytest.mark.usefixtures("no_figures")
def test_a_perfect_network_scores_perfectly(fake_run, run_dir, data_path, tmp_path):
    fake_run.error = lambda velocity, rows: velocity
    metrics = evaluate(run_dir, data_path, tmp_path / "out", split="all")
    assert metrics["mse"] == metrics["mae"] == metrics["loss"] == 0
    assert metrics["ssim"] == pytest.approx(1)
    assert metrics["salt_iou"] == 1
    assert metrics["samples"] == 35
    assert metrics["baseline"]["mse"] > 0


@pytest.mark.usefixtures("no_figures")
def test_memory_is_bounded_by_the_batch_size(fake_run, run_dir, data_path, tmp_path):
    evaluate(run_dir, data_path, tmp_path / "out", split="all")
    assert max(fake_run.batches) == 3
    assert sum(fake_run.batches) == 35


@pytest.mark.usefixtures("no_figures")
def test_existing_output_is_refused_before_any_work(fake_run, run_dir, data_path, tmp_path):
    out = tmp_path / "out"
    evaluate(run_dir, data_path, out)
    before = (out / "metrics.json").read_bytes()
    fake_run.batches.clear()
    with pytest.raises(InputError, match="overwrite"):
        evaluate(run_dir, data_path, out)
    assert not fake_run.batches
    evaluate(run_dir, data_path, out, split="validation", overwrite=True)
    assert (out / "metrics.json").read_bytes() != before


def test_the_run_directory_is_never_overwritten(fake_run, run_dir, data_path):
    with pytest.raises(InputError, match="not an evaluation"):
        evaluate(run_dir, data_path, run_dir, overwrite=True)
    assert (run_dir / "history.csv").is_file()


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("step", ["write_predictions", "write_figures", "write_report"])
def test_failure_midway_leaves_nothing(fake_run, run_dir, data_path, tmp_path, monkeypatch, step):
    def fail(*arguments):
        raise RuntimeError("in the middle")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(scoring, step, fail)
    with pytest.raises(RuntimeError):
        evaluate(run_dir, data_path, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_predictions_that_are_not_finite_are_refused(fake_run, run_dir, data_path, tmp_path):
    fake_run.error = lambda velocity, rows: np.where(velocity > 2500, np.nan, velocity)
    before = sorted(tmp_path.iterdir())
    for call, name in ((evaluate, "out"), (predict, "out.h5")):
        with pytest.raises(InputError, match="diverged"):
            call(run_dir, data_path, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gather_shape": (3, 7, 16)}, "3 x 7 x 16, but .* has 3 x 5 x 16"),
        ({"velocity_shape": (20, 20)}, "20 x 20, but .* has 20 x 24"),
    ],
)
def test_a_run_of_another_survey_is_refused(
    fake_run, run_dir, data_path, tmp_path, change, message
):
    vars(fake_run).update(change)
    with pytest.raises(InputError, match=message):
        evaluate(run_dir, data_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_sampling_is_refused(fake_run, run_dir, data_path, tmp_path, config):
    survey = config.survey.model_copy(update={"time_step": 0.008})
    fake_run.config = config.model_copy(update={"survey": survey})
    with pytest.raises(InputError, match=r"time_step.*0\.008.*0\.01"):
        predict(run_dir, data_path, tmp_path / "out.h5")


def test_an_empty_split_is_refused(fake_run, run_dir, tmp_path, config, models):
    write_dataset(tmp_path / "few.h5", config, models[:3], np.ones((3, 3, 5, 16), np.float32))
    with open_dataset(tmp_path / "few.h5") as data:
        missing = next(name for name in ("validation", "test") if not len(data.indices(name)))
    with pytest.raises(InputError, match=f"split = {missing}"):
        evaluate(run_dir, tmp_path / "few.h5", tmp_path / "out", split=missing)


@pytest.mark.usefixtures("no_figures")
def test_another_data_set_is_said_to_be_one(fake_run, run_dir, data_path, tmp_path):
    fake_run.data_identity = "0123456789abcdef"
    metrics = evaluate(run_dir, data_path, tmp_path / "out")
    assert metrics["trained_on_this_data"] is False
    report = (tmp_path / "out" / "report.html").read_text()
    assert "trained on another data set" in report
    assert "0123456789abcdef" in report


@pytest.mark.usefixtures("no_figures")
def test_corruption_is_repeated_exactly(fake_run, run_dir, data_path, tmp_path, models):
    # This network tells how loud the gathers are.
    def loudness(gathers):
        return models[: len(gathers)] + 10 * gathers.std(axis=(1, 2, 3))[:, None, None]

    fake_run.__dict__["predict"] = loudness
    clean, noisy, again = (
        evaluate(run_dir, data_path, tmp_path / name, noise_snr=snr, dead_traces=dead)
        for name, snr, dead in (("a", None, None), ("b", 0.0, 0.2), ("c", 0.0, 0.2))
    )
    assert noisy == again
    assert noisy["mse"] != clean["mse"]
    assert (noisy["noise_snr"], noisy["dead_traces"]) == (0.0, 0.2)


def test_a_real_run_end_to_end(data_path, tmp_path, config):
    train(config, data_path, tmp_path / "run")
    metrics = evaluate(tmp_path / "run", data_path, tmp_path / "out", split="validation")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert np.isfinite([metrics[name] for name in ("mse", "rmse", "mae", "ssim", "loss")]).all()
    assert metrics["trained_on_this_data"] is True
    # Training scores its validation split after each epoch by the same definitions.
    last = (tmp_path / "run" / "history.csv").read_text().splitlines()
    names = last[0].split(",")
    rows = [dict(zip(names, map(float, line.split(",")), strict=True)) for line in last[1:]]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert metrics["loss"] == pytest.approx(best["validation_loss"], rel=1e-4)
    assert metrics["ssim"] == pytest.approx(best["ssim"], abs=1e-4)
    assert metrics["epoch"] == best["epoch"]
