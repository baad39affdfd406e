"""The data misfit is what its definition says, and zero for the truth."""

import json

import numpy as np
import pandas as pd
import pytest

from seistomo.config import parse_config
from seistomo.dataset import open_dataset, open_velocity, write_dataset, write_predictions
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError
from seistomo.evaluation import evaluate
from seistomo.evaluation.metrics import rank_correlation
from seistomo.evaluation.misfit import (
    offset_taper,
    resimulate_models,
    trace_energies,
)
from seistomo.simulation import Simulator

SHOOTING = """
[velocity]
shape = [20, 24]
spacing = 25.0
[survey]
sources = 2
receivers = 5
frequency = 5.0
time_samples = 60
time_step = 0.01
source_jitter = 40.0
dead_traces = 0.2
[simulation]
noise_snr = 20.0
[dataset]
samples = 6
storage = "float32"
"""


def line(*x):
    """Return positions with one source at 0."""
    zeros = np.zeros(len(x))
    source = {"source_x": zeros[:1], "source_depth": zeros[:1]}
    return {**source, "receiver_x": np.array(x), "receiver_depth": zeros}


def test_the_taper_leaves_out_what_is_near():
    weights = offset_taper(line(0.0, -75.0, 112.5, 150.0, 900.0), 75.0)
    np.testing.assert_allclose(weights, [[0, 0, 0.5, 1, 1]], atol=1e-12)
    assert offset_taper(line(0.0, 50.0), 0.0).all()
    for bad in (-1.0, np.nan, 2000.0):
        with pytest.raises(InputError, match="near offset = "):
            offset_taper(line(0.0, 900.0), bad)


def test_dead_traces_count_in_neither():
    predicted, observed = np.random.default_rng(0).normal(size=(2, 3, 2, 4, 10))
    observed[0, 1, 2] = 0
    residual, energy = trace_energies(predicted, observed)
    assert residual[0, 1, 2] == energy[0, 1, 2] == 0
    expected = np.linalg.norm(predicted[2, 0, 1] - observed[2, 0, 1]) ** 2
    assert residual[2, 0, 1] == pytest.approx(expected)


def test_a_true_model_leaves_the_noise_and_another_leaves_what_the_definition_says(tmp_path):
    config = parse_config(SHOOTING)
    simulate(config, tmp_path / "data.h5")
    with open_dataset(tmp_path / "data.h5") as data:
        rows = np.array([1, 4, 5])
        truth, grid = data.read_velocity(rows), (data.depth, data.x)
        write_predictions(tmp_path / "truth.h5", truth, rows, *grid, {})
        mean_model = truth.mean(axis=0)
        with open_velocity(tmp_path / "truth.h5") as models:
            found = resimulate_models(data, rows, models, mean_model, near_offset=100.0)
        observed = data.read_gathers(rows)
        surveys = [data.read_survey(row) for row in rows]
    np.testing.assert_allclose(found.samples["data_misfit"], 1 / 101, rtol=0.15)
    simulation = config.simulation.model_copy(update={"noise_snr": None})
    clean = config.model_copy(update={"simulation": simulation})
    for place, row in enumerate(rows):
        predicted = Simulator(clean)(mean_model[None], [row])[0]
        weights = offset_taper(surveys[place], 100.0)[:, :, None]
        for name, factor in (("baseline_data_misfit", 1), ("baseline_data_misfit_far", weights)):
            difference = factor * (predicted - observed[place].astype(float))
            shots = np.square(difference).sum(axis=(1, 2))
            energy = np.square(factor * observed[place].astype(float)).sum(axis=(1, 2))
            assert found.samples[name][place] == pytest.approx(shots.sum() / energy.sum())
            of_shots = found.shots[found.shots["index"] == row]
            np.testing.assert_allclose(of_shots[name], shots / energy)
            np.testing.assert_array_equal(of_shots["source_x"], surveys[place]["source_x"])
    live = np.count_nonzero(observed.any(axis=-1))
    assert found.offsets["traces"].sum() == live < observed[..., 0].size


def test_an_evaluation_says_the_misfit(fake_run, run_dir, data_path, tmp_path):
    out = tmp_path / "out"
    metrics = evaluate(run_dir, data_path, out, resimulate=True, near_offset=40.0)
    samples, shots = (pd.read_csv(out / name) for name in ("samples.csv", "shots.csv"))
    for score in ("data_misfit", "data_misfit_far"):
        assert metrics[score] == pytest.approx(samples[score].mean())
        assert metrics["baseline"][f"{score}_median"] == pytest.approx(
            samples[f"baseline_{score}"].median()
        )
        rank = samples[score].rank().corr(samples["rmse"].rank())
        assert metrics[f"{score}_rank_correlation"] == pytest.approx(rank)
    assert list(shots["index"]) == [row for row in samples["index"] for _ in range(3)]
    assert json.loads((out / "metrics.json").read_text()) == metrics
    pictures = {"misfit_gathers.png", "misfit_rmse.png", "misfit_offset.png"}
    assert pictures < {path.name for path in (out / "figures").iterdir()}
    report = (out / "report.html").read_text()
    assert "Data misfit" in report
    assert "--near-offset 40.0 --resimulate" in report
    with pytest.raises(InputError, match="near offset = 9000"):
        evaluate(run_dir, data_path, tmp_path / "other", resimulate=True, near_offset=9000.0)
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("no_report")
def test_silent_gathers_have_no_misfit(fake_run, run_dir, config, models, tmp_path):
    gathers = np.zeros((len(models), 3, 5, 16), np.float32)
    write_dataset(tmp_path / "silent.h5", config, models, gathers)
    metrics = evaluate(run_dir, tmp_path / "silent.h5", tmp_path / "out", resimulate=True)
    assert metrics["data_misfit"] is None
    assert metrics["data_misfit_rank_correlation"] is None


def test_ranks_are_compared_where_they_can_be():
    misfit, rmse = np.array([0.1, 0.2, 0.4, np.nan]), np.array([10.0, 30.0, 20.0, 5.0])
    assert rank_correlation(misfit, rmse) == pytest.approx(0.5)
    assert rank_correlation(misfit[2:], rmse[2:]) is None
    assert rank_correlation(np.ones(4), rmse) is None
