import shutil

import numpy as np
import pytest

from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, plot, plotting, predict


@pytest.fixture
def drawn(monkeypatch):
    """Names and arguments of the figures drawn, without the cost of drawing them."""
    calls = []

    def record(name):
        return lambda *arguments: calls.append((name, arguments)) or name

    for name in ("overview", "models", "gathers", "curves", "predictions"):
        monkeypatch.setattr(plotting.figures, f"{name}_figure", record(name))
    monkeypatch.setattr(plotting.figures, "save", lambda figure, path: path)
    return calls


def test_a_data_set_is_drawn_to_a_file(data_path, tmp_path):
    out = plot([data_path], tmp_path / "new" / "data.png")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_runs_are_drawn_to_a_file(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "other")
    plot([run_dir, tmp_path / "other"], tmp_path / "runs.svg")
    text = (tmp_path / "runs.svg").read_text()
    assert text.startswith("<?xml")


@pytest.mark.parametrize(
    ("kind", "name"), [("auto", "overview"), ("models", "models"), ("gathers", "gathers")]
)
def test_kinds_of_a_data_set(drawn, data_path, tmp_path, kind, name):
    plot([data_path], tmp_path / "a.png", kind=kind)
    assert [call[0] for call in drawn] == [name]


def test_chosen_samples_and_shots(drawn, data_path, tmp_path, models):
    plot([data_path], tmp_path / "a.png", kind="models", samples="1,5:7")
    np.testing.assert_array_equal(drawn[0][1][0], models[[1, 5, 6]])
    assert drawn[0][1][3] == ["1: salt", "5: salt", "6: folds"]
    plot([data_path], tmp_path / "a.png", kind="gathers", samples=[4], shots=[2], clip=95)
    gathers, _, _, titles, shots, clip = drawn[1][1]
    assert gathers[0, 0, 0, 0] == 4
    assert (titles, shots, clip) == (["Gathers of sample 4: layers"], [2], 95)


@pytest.fixture
def recorded_twice(data_path, tmp_path):
    """Two data sets of the same models: the second's gathers are twice the first's."""
    with open_dataset(data_path) as data:
        rows = range(data.samples)
        velocity, gathers, config = data.read_velocity(rows), data.read_gathers(rows), data.config
    (tmp_path / "b").mkdir()
    paths = [tmp_path / "once.h5", tmp_path / "b" / "twice.h5"]
    for path, factor in zip(paths, (1, 2), strict=True):
        write_dataset(path, config, velocity, factor * gathers)
    return paths


def test_a_shot_is_compared_between_data_sets(recorded_twice, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(plotting.figures, "shots_figure", lambda *args: calls.append(args))
    monkeypatch.setattr(plotting.figures, "save", lambda figure, path: path)
    plot(recorded_twice, tmp_path / "a.png", samples=[4], shots=[1], clip=90)
    velocity, _, _, records, _, surveys, names, clip, _ = calls[0]
    with open_dataset(recorded_twice[0]) as data:
        np.testing.assert_array_equal(velocity, data.read_velocity([4])[0])
        np.testing.assert_array_equal(records[0], data.read_gathers([4])[0, 1])
        assert surveys[1]["source_x"] == data.read_survey(4)["source_x"][1]
    np.testing.assert_array_equal(records[1], 2 * records[0])
    assert (names, clip) == (["once", "twice"], 90)
    plot(recorded_twice, tmp_path / "a.png")
    assert len(calls[1][3]) == 2


def test_a_comparison_of_shots_is_drawn_to_a_file(recorded_twice, tmp_path):
    out = plot(recorded_twice, tmp_path / "shots.png")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_refused(recorded_twice, data_path, tmp_path):
    out = tmp_path / "a.png"
    with open_dataset(data_path) as data:
        other = write_dataset(
            tmp_path / "other.h5", data.config, data.read_velocity([1]), data.read_gathers([1])
        )
    with pytest.raises(InputError, match="its sample 0 has another velocity model than that of"):
        plot([recorded_twice[0], other], out)
    with pytest.raises(InputError, match="samples = 0:2: several data sets are compared by one"):
        plot(recorded_twice, out, samples="0:2")
    with pytest.raises(InputError, match="can be drawn as gathers"):
        plot(recorded_twice, out, kind="models")
    with pytest.raises(InputError, match="shots = 0: a figure of kind models shows no gathers"):
        plot(recorded_twice[:1], out, kind="models", shots="0")


def test_runs_are_named_by_their_directories(drawn, run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "deep" / "run")
    shutil.copytree(run_dir, tmp_path / "sgd")
    plot([run_dir, tmp_path / "sgd"], tmp_path / "a.png")
    assert list(drawn[0][1][0]) == ["run", "sgd"]
    plot([run_dir, tmp_path / "deep" / "run"], tmp_path / "a.png")
    assert len(drawn[1][1][0]) == 2


@pytest.fixture
def predictions(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "predictions.h5")
    return tmp_path / "predictions.h5"


def test_predictions_stand_beside_their_references(drawn, predictions, fake_run, models, tmp_path):
    plot([predictions], tmp_path / "a.png", samples=[7, 1])
    cases = drawn[0][1][0]
    assert [case.label for case in cases] == ["Sample 7, faults", "Sample 1, salt"]
    np.testing.assert_array_equal(cases[1].reference, models[1])
    expected = fake_run.error(models[[1]], np.array([1]))[0]
    np.testing.assert_allclose(cases[1].predictions[""], expected)
    assert cases[1].rmse[""] == pytest.approx(30 * np.sin(1), rel=1e-4)
    np.testing.assert_array_equal(cases[1].salt, models[1] > 4000)


def test_predictions_show_best_median_and_worst(drawn, predictions, fake_run, tmp_path):
    plot([predictions], tmp_path / "a.png")
    cases = drawn[0][1][0]
    assert [case.label.split(":")[0] for case in cases][:3] == ["Best", "Median", "Worst"]
    ssim = [case.ssim[""] for case in cases]
    assert ssim[0] >= ssim[1] >= ssim[2]


def test_an_evaluation_is_drawn_like_its_predictions(
    drawn, fake_run, run_dir, data_path, tmp_path, monkeypatch
):
    monkeypatch.setattr("seistomo.evaluation.scoring.write_figures", lambda *arguments: [])
    evaluate(run_dir, data_path, tmp_path / "out")
    plot([tmp_path / "out"], tmp_path / "a.png")
    assert drawn[0][0] == "predictions"
    with pytest.raises(InputError, match="samples = 0"):
        plot([tmp_path / "out"], tmp_path / "a.png", samples=[0])


def test_a_data_set_that_moved_can_be_named(drawn, predictions, data_path, tmp_path):
    data_path.rename(tmp_path / "moved.h5")
    with pytest.raises(InputError, match="name it after the predictions"):
        plot([predictions], tmp_path / "a.png")
    plot([predictions, tmp_path / "moved.h5"], tmp_path / "a.png")
    assert drawn[0][0] == "predictions"


def test_another_data_set_is_refused(drawn, predictions, config, models, tmp_path):
    from seistomo.dataset import write_dataset

    write_dataset(tmp_path / "b.h5", config, models, np.ones((35, 3, 5, 16), np.float32))
    with pytest.raises(InputError, match="is not the data set"):
        plot([predictions, tmp_path / "b.h5"], tmp_path / "a.png")


def test_existing_figures_are_kept(data_path, tmp_path):
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        plot([data_path], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "kind = pie: must be one of"),
        ({"kind": "convergence"}, "can be drawn as overview, models, gathers"),
        ({"clip": 0}, "clip = 0"),
        ({"samples": "99"}, "samples = 99"),
        ({"samples": "a"}, "samples = a"),
        ({"kind": "gathers", "samples": "0:20"}, "shows 1 to 6"),
        ({"kind": "gathers", "shots": [3]}, "shots = 3"),
    ],
)
def test_bad_requests_are_told_in_one_line(data_path, tmp_path, options, message):
    with pytest.raises(InputError, match=message) as raised:
        plot([data_path], tmp_path / "a.png", **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "a.png").exists()


def test_bad_paths_are_told_in_one_line(data_path, run_dir, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("no")
    for paths, message in (
        ([], "name a data set"),
        ([tmp_path / "gone"], "no such file"),
        ([tmp_path / "empty"], "neither a run"),
        ([tmp_path / "text.txt"], "not an HDF5 file"),
        ([data_path, run_dir], "several paths"),
    ):
        with pytest.raises(InputError, match=message):
            plot(paths, tmp_path / "a.png")
    with pytest.raises(InputError, match="written as one of"):
        plot([data_path], tmp_path / "a.jpeg")
