import shutil

import h5py
import numpy as np
import pytest

from seistomo.dataset import open_dataset, read_predictions
from seistomo.errors import InputError
from seistomo.evaluation import predict


def test_predicts_every_sample_in_order(fake_run, run_dir, data_path, tmp_path, models):
    count = predict(run_dir, data_path, tmp_path / "out.h5")
    velocity, indices, attributes = read_predictions(tmp_path / "out.h5")
    assert count == len(velocity) == 35
    np.testing.assert_array_equal(indices, np.arange(35))
    expected = fake_run.error(models, indices).astype(np.float32)
    np.testing.assert_array_equal(velocity, expected)
    assert attributes["checkpoint"] == "best"
    assert {path.name for path in tmp_path.iterdir()} == {"data.h5", "run", "out.h5"}


def test_predicts_a_split(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "out.h5", split="validation")
    _, indices, _ = read_predictions(tmp_path / "out.h5")
    with open_dataset(data_path) as data:
        np.testing.assert_array_equal(indices, data.indices("validation"))


def test_file_has_coordinates_and_units(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["x"], np.arange(24) * 25.0)
        np.testing.assert_array_equal(file["depth"], np.arange(20) * 25.0)
        assert file["velocity"].attrs["units"] == "m/s"


def test_existing_file_is_kept(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "out.h5", split="test")
    with pytest.raises(InputError, match="--overwrite"):
        predict(run_dir, data_path, tmp_path / "out.h5")
    assert len(read_predictions(tmp_path / "out.h5")[0]) == 5
    predict(run_dir, data_path, tmp_path / "out.h5", overwrite=True)
    assert len(read_predictions(tmp_path / "out.h5")[0]) == 35


def test_only_predictions_are_replaced(fake_run, run_dir, data_path, tmp_path):
    (tmp_path / "notes.h5").write_text("mine")
    shutil.copy(data_path, tmp_path / "other.h5")
    for name in ("notes.h5", "other.h5"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(InputError, match="is not a predictions file"):
            predict(run_dir, data_path, tmp_path / name, overwrite=True)
        assert (tmp_path / name).read_bytes() == before


def test_data_and_run_are_not_written_to(fake_run, run_dir, data_path, tmp_path):
    (tmp_path / "link.h5").symlink_to(data_path)
    before = data_path.read_bytes()
    for name, owner in (
        ("data.h5", "data set"),
        ("link.h5", "data set"),
        ("run/../data.h5", "data set"),
        ("run/best.pt", "run"),
        ("run", "run"),
    ):
        with pytest.raises(InputError, match=f"belongs to the {owner}"):
            predict(run_dir, data_path, tmp_path / name, overwrite=True)
    assert data_path.read_bytes() == before


def test_a_folder_is_not_a_file(fake_run, run_dir, data_path, tmp_path):
    with pytest.raises(InputError, match="exists"):
        predict(run_dir, data_path, tmp_path, overwrite=True)
