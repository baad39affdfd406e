import numpy as np
import pytest

from seistomo.dataset import write_predictions
from seistomo.errors import InputError
from seistomo.evaluation import describe_run, evaluate, predict
from seistomo.evaluation.describe import describe
from seistomo.training import train


@pytest.fixture
def trained(config, data_path, tmp_path):
    train(config, data_path, tmp_path / "trained")
    return tmp_path / "trained"


def test_a_run_tells_epochs_weights_and_scores(trained):
    text = describe_run(trained)
    assert "seistomo run" in text
    assert "last, after epoch 2" in text
    assert "weights" in text
    assert "adam, its own learning rate" in text
    assert "validation loss" in text
    assert describe(trained) == text
    assert describe(trained, config=True).startswith("[velocity]")


def test_data_evaluation_and_predictions_are_described(
    fake_run, run_dir, data_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("seistomo.evaluation.scoring.write_figures", lambda *arguments: [])
    metrics = evaluate(run_dir, data_path, tmp_path / "out")
    predict(run_dir, data_path, tmp_path / "p.h5")
    assert "35" in describe(data_path)
    assert describe(data_path, config=True).startswith("[velocity]")
    text = describe(tmp_path / "out")
    assert f"RMSE {metrics['rmse']:.0f} m/s" in text
    assert f"RMSE {metrics['baseline']['rmse']:.0f} m/s" in text
    assert "35, 20 x 24 nodes" in describe(tmp_path / "p.h5")


def test_predictions_of_unknown_origin_are_described(tmp_path):
    velocity, axis = np.full((1, 2, 3), 2000, np.float32), np.arange(3.0)
    write_predictions(tmp_path / "p.h5", velocity, np.arange(1), axis[:2], axis, {})
    text = describe(tmp_path / "p.h5")
    assert "1, 2 x 3 nodes" in text
    assert "unknown" in text


def test_what_is_not_ours_is_refused(run_dir, tmp_path):
    (tmp_path / "text.txt").write_text("no")
    for path, message in ((tmp_path / "gone", "no such file"), (tmp_path / "text.txt", "HDF5")):
        with pytest.raises(InputError, match=message):
            describe(path)
    with pytest.raises(InputError, match="only data sets and velocity files have checksums"):
        describe(run_dir, check=True)
