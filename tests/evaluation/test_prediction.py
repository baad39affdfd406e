"""Predictions go where they may, say what is unlike training, and are made of the right gathers."""

import shutil

import h5py
import numpy as np
import pytest

from seistomo.dataset import open_dataset, open_velocity, read_predictions, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, predict
from seistomo.evaluation.prediction import read_gathers, unlike_training
from seistomo.progress import set_quiet
from seistomo.training.gather_statistics import gather_statistics


def test_every_sample_is_predicted_in_order(fake_run, run_dir, data_path, tmp_path, models):
    count = predict(run_dir, data_path, tmp_path / "out.h5")
    velocity, indices, attributes = read_predictions(tmp_path / "out.h5")
    assert count == len(velocity) == 35
    np.testing.assert_array_equal(indices, np.arange(35))
    expected = fake_run.error(models, indices).astype(np.float32)
    np.testing.assert_array_equal(velocity, expected)
    assert attributes["checkpoint"] == "best"
    assert {path.name for path in tmp_path.iterdir()} == {"data.h5", "run", "out.h5"}
    with open_velocity(tmp_path / "out.h5") as models:
        np.testing.assert_array_equal(models.x, np.arange(24) * 25.0)
        np.testing.assert_array_equal(models.read_velocity([3]), expected[[3]])
        np.testing.assert_array_equal(models.read_salt_mask([1]), expected[[1]] > 4000)


@pytest.mark.parametrize("raw", [False, True])
def test_speeds_outside_the_bounds_are_counted_and_clipped(
    fake_run, run_dir, data_path, tmp_path, capsys, config, raw
):
    fake_run.error = lambda velocity, rows: np.where(velocity > 4000, 9000, velocity)
    set_quiet(False)
    predict(run_dir, data_path, tmp_path / "p.h5", raw=raw)
    set_quiet(True)
    velocity = read_predictions(tmp_path / "p.h5")[0]
    assert velocity.max() == 9000 if raw else config.velocity.maximum
    count = np.count_nonzero(velocity == velocity.max())
    assert f"{count} of {velocity.size} predicted speeds" in capsys.readouterr().err


def test_an_existing_file_is_kept_unless_asked(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "out.h5", split="test")
    with open_dataset(data_path) as data:
        rows = data.indices("test")
    np.testing.assert_array_equal(read_predictions(tmp_path / "out.h5")[1], rows)
    with pytest.raises(InputError, match="--overwrite"):
        predict(run_dir, data_path, tmp_path / "out.h5")
    predict(run_dir, data_path, tmp_path / "out.h5", overwrite=True)
    assert len(read_predictions(tmp_path / "out.h5")[0]) == 35


@pytest.mark.parametrize("name", ["link.h5", "run/../data.h5", "run", "other.h5", "notes"])
def test_nothing_but_predictions_is_replaced(fake_run, run_dir, data_path, tmp_path, name):
    (tmp_path / "link.h5").symlink_to(data_path)
    (tmp_path / "notes").write_text("mine")
    shutil.copy(data_path, tmp_path / "other.h5")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="--out"):
        predict(run_dir, data_path, tmp_path / name, overwrite=True)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gather_shape": (3, 7, 16)}, "3 x 7 x 16, but .* has 3 x 5 x 16"),
        ({"time_step": 0.008}, r"time_step.*0\.008.*0\.01"),
    ],
)
def test_a_run_of_another_survey_is_refused(
    fake_run, run_dir, data_path, tmp_path, config, change, words
):
    if "time_step" in change:
        survey = config.survey.model_copy(update=change)
        change = {"config": config.model_copy(update={"survey": survey})}
    vars(fake_run).update(change)
    for call in (evaluate, predict):
        with pytest.raises(InputError, match=words):
            call(run_dir, data_path, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_every_key_of_the_survey_that_differs_is_said(
    fake_run, run_dir, data_path, tmp_path, config, capsys
):
    other = {"frequency": 5.0, "source_depth": 40.0}
    survey = config.survey.model_copy(update=other)
    fake_run.config = config.model_copy(update={"survey": survey})
    predict(run_dir, data_path, tmp_path / "out.h5")
    said = capsys.readouterr().err
    assert "survey.frequency = 8.0, but the run was trained with 5.0" in said
    assert "survey.source_depth" in said
    assert said.count("warning") == 2
    with open_dataset(data_path) as data:
        assert len(unlike_training(fake_run, data, data.indices())) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda gathers: 100 * gathers, ["amplitudes are 100 times"]),
        (lambda gathers: gathers[..., ::3][..., np.arange(16) % 6], ["frequencies are"]),
        (lambda gathers: gathers * (np.arange(5) > 1)[:, None], ["40% of the traces are dead"]),
    ],
)
def test_gathers_unlike_those_of_training_are_said(
    fake_run, tmp_path, config, models, change, words
):
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (35, 3, 5, 1))
    gathers = np.sin(2 * np.pi * 12.5 * np.arange(16) * 0.01 + phase)
    for name, recorded in (("train", gathers), ("other", change(gathers))):
        write_dataset(tmp_path / f"{name}.h5", config, models, recorded.astype(np.float32))
    with open_dataset(tmp_path / "train.h5") as data:
        fake_run.gathers = gather_statistics(data, data.indices("train"))
    with open_dataset(tmp_path / "other.h5") as data:
        said = unlike_training(fake_run, data, data.indices())
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))


def test_statistics_of_gathers_follow_their_definitions(tmp_path, config, models):
    time = np.arange(16) * config.survey.time_step
    wave = 3 * np.sin(2 * np.pi * 12.5 * time) * np.ones((35, 3, 5, 1))
    wave[:, :, 0] = 0
    write_dataset(tmp_path / "wave.h5", config, models, wave.astype(np.float32))
    with open_dataset(tmp_path / "wave.h5") as data:
        found = gather_statistics(data, np.arange(3))
    expected = {"level": 3 / np.sqrt(2), "frequency": 12.5, "dead": 0.2}
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("what", ["gathers", "predictions"])
def test_what_is_damaged_or_not_finite_is_refused(fake_run, run_dir, data_path, tmp_path, what):
    words = "training diverged"
    if what == "predictions":
        fake_run.error = lambda velocity, rows: np.where(velocity > 2500, np.nan, velocity)
    else:
        words = "sample 4 is damaged"
        with h5py.File(data_path, "r+") as file:
            file["gathers"][4, 1, 2] = np.inf
    before = sorted(tmp_path.iterdir())
    for call in (evaluate, predict):
        with pytest.raises(InputError, match=words):
            call(run_dir, data_path, tmp_path / "out.h5", split="all")
    assert sorted(tmp_path.iterdir()) == before


def test_an_empty_split_is_refused(fake_run, run_dir, tmp_path, config, models):
    write_dataset(tmp_path / "few.h5", config, models[:3], np.ones((3, 3, 5, 16), np.float32))
    with open_dataset(tmp_path / "few.h5") as data:
        missing = next(name for name in ("validation", "test") if not len(data.indices(name)))
    with pytest.raises(InputError, match=f"split = {missing}"):
        predict(run_dir, tmp_path / "few.h5", tmp_path / "out.h5", split=missing)


@pytest.fixture
def noisy(tmp_path, config, models):
    """A data set with a dead trace in each sample."""
    random = np.random.default_rng(1)
    gathers = random.normal(size=(len(models), 3, 5, 16)).astype(np.float32)
    dead = np.zeros((len(models), 3, 5), bool)
    dead[:, 1, 2] = True
    gathers[dead] = 0
    write_dataset(tmp_path / "set.h5", config, models, gathers, dead_trace=dead)
    with open_dataset(tmp_path / "set.h5") as data:
        yield data


def test_a_sample_is_corrupted_alike_in_every_batch(noisy):
    together = read_gathers(noisy, np.array([0, 4, 7]), 5.0, 0.3)
    alone = read_gathers(noisy, np.array([4]), 5.0, 0.3)
    np.testing.assert_array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], together[2])
    clean = noisy.read_gathers([4])
    np.testing.assert_array_equal(read_gathers(noisy, np.array([4]), None, 0.0), clean)


def test_noise_has_the_ratio_asked_for_and_dead_traces_are_zero(noisy):
    rows = np.arange(30)
    clean = noisy.read_gathers(rows).astype(float)
    noise = read_gathers(noisy, rows, 6.0) - clean
    live = ~noisy.read_dead_traces(rows)
    ratio = 20 * np.log10(clean[live].std() / noise[live].std())
    assert ratio == pytest.approx(6.0, abs=0.2)
    silent = (read_gathers(noisy, rows, 3.0, 0.4) == 0).all(axis=-1)
    assert silent[:, 1, 2].all()
    assert set(silent.sum(axis=(1, 2))) <= {6, 7}
    quiet = read_gathers(noisy, rows, None, 0.4)
    np.testing.assert_array_equal((quiet == 0).all(axis=-1), silent)
    np.testing.assert_array_equal(quiet[~silent], clean[~silent].astype(np.float32))


@pytest.mark.parametrize(
    ("options", "name"),
    [({"noise_snr": np.nan}, "noise-snr"), ({"dead_traces": 1.0}, "dead-traces")],
)
def test_corruption_out_of_range_is_refused(fake_run, run_dir, data_path, tmp_path, options, name):
    with pytest.raises(InputError, match=name):
        evaluate(run_dir, data_path, tmp_path / "out", **options)
