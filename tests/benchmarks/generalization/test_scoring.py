import math

import numpy as np
import pytest

from seistomo.benchmarks.generalization.conditions import reference_condition
from seistomo.benchmarks.generalization.scoring import (
    condition_scores,
    read_scores,
    score_condition,
    write_scores,
)
from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.evaluation.corruption import Corruption
from seistomo.evaluation.metrics import salt_iou, sample_scores


@pytest.fixture
def table(trained, data_path):
    with open_dataset(data_path) as data:
        return score_condition(trained, data, data.indices("test"), Corruption())


def test_the_baseline_is_what_the_run_was_trained_on(table, trained, data_path, config):
    with open_dataset(data_path) as data:
        mean = data.read_velocity(data.indices("train")).mean(axis=0)
        true = data.read_velocity(data.indices("test"))
        predicted = trained.predict(data.read_gathers(data.indices("test")))
    span = config.velocity.maximum - config.velocity.minimum
    guess = np.broadcast_to(mean, true.shape)
    for name, model in (("baseline", guess), ("prediction", predicted)):
        direct = sample_scores(model.astype(np.float32), true, span, 4225.0)
        assert table.scores[name]["mse"] == pytest.approx(direct["mse"], rel=1e-4)
        assert table.scores[name]["ssim"] == pytest.approx(direct["ssim"], abs=1e-5)


def test_salt_is_scored_where_the_mask_says_so(trained, data_path, monkeypatch):
    with open_dataset(data_path) as data:
        rows = data.indices()
        salty = np.flatnonzero(data.read_salt_mask(rows).any(axis=(1, 2)))
        assert 0 < len(salty) < len(rows)
        found = score_condition(trained, data, rows, Corruption()).scores["baseline"]["salt_iou"]
        np.testing.assert_array_equal(np.flatnonzero(~np.isnan(found)), salty)
        # Rock as fast as salt is none.
        empty = np.zeros((1, *data.velocity_shape), bool)
        monkeypatch.setattr(type(data), "read_salt_mask", lambda *_: empty)
        table = score_condition(trained, data, rows, Corruption())
        true = data.read_velocity(rows)
    assert not np.isnan(salt_iou(true, true, 4225.0)).all()
    assert table.summary()["salt_iou"] is None


def test_worse_records_are_what_the_network_sees(table, trained, data_path):
    with open_dataset(data_path) as data:
        rows = data.indices("test")
        noisy = score_condition(trained, data, rows, Corruption(noise_snr=0))
    assert (noisy.scores["prediction"]["mse"] != table.scores["prediction"]["mse"]).all()
    np.testing.assert_array_equal(noisy.scores["baseline"]["mse"], table.scores["baseline"]["mse"])


def test_files_say_the_same(table, tmp_path):
    scores = condition_scores(reference_condition(True), table)
    path = tmp_path / "scores" / "reference.json"
    write_scores(path, scores)
    again = read_scores(path)
    assert again == scores
    assert again.skill == pytest.approx(
        1 - scores.summary["mse"] / scores.summary["baseline"]["mse"]
    )
    ssim = table.scores["prediction"]["ssim"]
    np.testing.assert_array_equal(again.column("ssim"), ssim)
    np.testing.assert_array_equal(
        again.column("rmse", baseline=True), table.scores["baseline"]["rmse"]
    )
    mean, error = again.change_from(again, "ssim")
    assert mean == error == 0
    path.write_text(path.read_text()[:-30])
    with pytest.raises(InputError, match=r"reference\.json: damaged"):
        read_scores(path)


def test_change_is_taken_sample_by_sample(table):
    scores = condition_scores(reference_condition(True), table)
    worse = condition_scores(reference_condition(True), table)
    steps = np.array([0.1, 0.2, 0.3, 0.2])
    worse.per_sample["ssim"] = list(np.array(scores.per_sample["ssim"]) - steps)
    mean, error = worse.change_from(scores, "ssim")
    assert mean == pytest.approx(-0.2)
    assert error == pytest.approx(steps.std(ddof=1) / math.sqrt(4))
