"""`plot` draws the right samples of whatever it is given, or says in one line why not."""

import numpy as np
import pytest

from seistomo.dataset import open_dataset, write_dataset
from seistomo.dataset.exchange.crops import CropOptions
from seistomo.dataset.exchange.importing import ImportOptions, import_velocity
from seistomo.dataset.selection import select
from seistomo.errors import InputError
from seistomo.evaluation import evaluate, plot, plotting, predict
from seistomo.velocity import draw_model

RAMP = (1500 + np.add.outer(np.arange(30.0) * 50, np.arange(40.0) * 10)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """Names and arguments of the figures drawn, without the cost of drawing them."""
    calls = []

    def record(name):
        return lambda *arguments: calls.append((name, arguments)) or name

    names = ("overview", "models", "gathers", "curves", "predictions", "shots", "crops")
    for name in (*names, "profiles"):
        monkeypatch.setattr(plotting.figures, f"{name}_figure", record(name))
    monkeypatch.setattr(plotting.figures, "save", lambda figure, path: path)
    return calls


def test_samples_and_shots_of_a_data_set_are_chosen(drawn, data_path, tmp_path, models):
    plot([data_path], tmp_path / "a.png")
    plot([data_path], tmp_path / "a.png", kind="models", samples="1,5:7")
    plot([data_path], tmp_path / "a.png", kind="gathers", samples=[4], shots=[2], clip=90)
    assert [name for name, _ in drawn] == ["overview", "models", "gathers"]
    np.testing.assert_array_equal(drawn[1][1][0], models[[1, 5, 6]])
    assert drawn[1][1][3] == ["1: salt", "5: salt", "6: folds"]
    gathers, _, _, titles, shots, clip = drawn[2][1]
    assert gathers[0, 0, 0, 0] == 4
    assert (titles, shots, clip) == (["Gathers of sample 4: layers"], [2], 90)


def test_a_configuration_shows_the_models_that_it_would_draw(drawn, config, tmp_path):
    (tmp_path / "own.toml").write_text(config.to_toml())
    plot([tmp_path / "own.toml"], tmp_path / "a.png", samples="2,0")
    plot(["quickstart"], tmp_path / "a.png", samples="0")
    velocity, _, x, labels, _, limits = drawn[0][1]
    model = draw_model(config.velocity, config.dataset.seed, 2)
    np.testing.assert_array_equal(velocity[0], model.velocity)
    assert labels[0] == f"2: {model.family}"
    assert (x[-1], limits) == (575.0, (1450.0, 4650.0))
    assert len(drawn[1][1][0]) == 1


def test_speeds_against_depth_are_compared_between_models_of_any_kind(
    drawn, config, data_path, tmp_path, models
):
    (tmp_path / "own.toml").write_text(config.to_toml())
    paths = [tmp_path / "own.toml", data_path]
    plot(paths, tmp_path / "a.png", kind="profiles", samples="1,2")
    (sets,) = drawn[0][1]
    assert list(sets) == ["own.toml", "data"]
    np.testing.assert_array_equal(sets["data"][0], models[[1, 2]])
    own = draw_model(config.velocity, config.dataset.seed, 2)
    np.testing.assert_array_equal(sets["own.toml"][0][1], own.velocity)


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


def test_a_shot_is_compared_between_data_sets(drawn, recorded_twice, tmp_path):
    plot(recorded_twice, tmp_path / "a.png", samples=[4], shots=[1], clip=90)
    velocity, _, _, records, _, surveys, names, clip, _ = drawn[0][1]
    with open_dataset(recorded_twice[0]) as data:
        np.testing.assert_array_equal(velocity, data.read_velocity([4])[0])
        np.testing.assert_array_equal(records[0], data.read_gathers([4])[0, 1])
        assert surveys[1]["source_x"] == data.read_survey(4)["source_x"][1]
    np.testing.assert_array_equal(records[1], 2 * records[0])
    assert (names, clip) == (["once", "twice"], 90)


def test_what_cannot_be_compared_is_refused(recorded_twice, data_path, tmp_path):
    out = tmp_path / "a.png"
    with open_dataset(data_path) as data:
        other = write_dataset(
            tmp_path / "other.h5", data.config, data.read_velocity([1]), data.read_gathers([1])
        )
    for paths, options, words in (
        ([recorded_twice[0], other], {}, "has another velocity model than that of"),
        (recorded_twice, {"samples": "0:2"}, "samples = 0:2: several data sets"),
        (recorded_twice, {"kind": "models"}, "can be drawn as gathers"),
        (recorded_twice[:1], {"kind": "models", "shots": "0"}, "kind models shows no gathers"),
    ):
        with pytest.raises(InputError, match=words):
            plot(paths, out, **options)
    assert plot(recorded_twice, out).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def predictions(fake_run, run_dir, data_path, tmp_path):
    predict(run_dir, data_path, tmp_path / "predictions.h5")
    return tmp_path / "predictions.h5"


def test_predictions_stand_beside_their_references(drawn, predictions, fake_run, models, tmp_path):
    plot([predictions], tmp_path / "a.png", samples=[7, 1])
    plot([predictions], tmp_path / "a.png")
    cases = drawn[0][1][0]
    assert [case.label for case in cases] == ["Sample 7, faults", "Sample 1, salt"]
    np.testing.assert_array_equal(cases[1].reference, models[1])
    expected = fake_run.error(models[[1]], np.array([1]))[0]
    np.testing.assert_allclose(cases[1].predictions[""], expected)
    assert cases[1].rmse[""] == pytest.approx(30 * np.sin(1), rel=1e-4)
    np.testing.assert_array_equal(cases[1].salt, models[1] > 4000)
    cases = drawn[1][1][0]
    assert [case.label.split(":")[0] for case in cases][:3] == ["Best", "Median", "Worst"]
    ssim = [case.ssim[""] for case in cases]
    assert ssim[0] >= ssim[1] >= ssim[2]


@pytest.mark.usefixtures("no_report")
def test_an_evaluation_is_drawn_like_its_predictions(drawn, fake_run, run_dir, data_path, tmp_path):
    evaluate(run_dir, data_path, tmp_path / "out")
    plot([tmp_path / "out"], tmp_path / "a.png")
    assert drawn[0][0] == "predictions"
    with pytest.raises(InputError, match="samples = 0"):
        plot([tmp_path / "out"], tmp_path / "a.png", samples=[0])


def test_predictions_need_their_own_data_set_wherever_it_is(
    drawn, predictions, data_path, tmp_path, config, models
):
    data_path.rename(tmp_path / "moved.h5")
    with pytest.raises(InputError, match="name it after the predictions"):
        plot([predictions], tmp_path / "a.png")
    plot([predictions, tmp_path / "moved.h5"], tmp_path / "a.png")
    plot([predictions], tmp_path / "a.png", kind="models", samples="3")
    assert [name for name, _ in drawn] == ["predictions", "models"]
    write_dataset(tmp_path / "b.h5", config, models, np.ones((35, 3, 5, 16), np.float32))
    with pytest.raises(InputError, match="is not the data set"):
        plot([predictions, tmp_path / "b.h5"], tmp_path / "a.png")


@pytest.fixture
def files(tmp_path):
    """Return velocity files of part of a model, of crops of a smaller part, and of another."""
    for name in ("ramp", "other"):
        np.save(tmp_path / f"{name}.npy", RAMP)
    made = []
    for source, crops in (
        ("ramp", CropOptions(depth_range=(50, None), x_range=(20, None))),
        ("ramp", CropOptions(size=(10, 12), depth_range=(100, None), x_range=(70, None))),
        ("other", CropOptions()),
    ):
        made.append(tmp_path / f"{len(made)}.h5")
        options = ImportOptions(spacing=10, crops=crops)
        import_velocity([tmp_path / f"{source}.npy"], made[-1], options)
    return made


def test_velocity_files_are_sheets_of_models_or_show_where_they_were_cut(drawn, files, tmp_path):
    plot(files[1:2], tmp_path / "a.png", samples="1,3")
    plot(files[:2], tmp_path / "a.png", samples="0,3")
    velocity, depth, _, labels, surveys, limits = drawn[0][1]
    np.testing.assert_array_equal(velocity, [RAMP[10:20, 19:31], RAMP[20:30, 19:31]])
    np.testing.assert_allclose(depth, np.arange(10) * 10.0)
    assert (labels, surveys) == (["1: imported", "3: imported"], None)
    assert limits == (RAMP[10:, 7:31].min(), RAMP[10:, 7:31].max())
    velocity, depth, x, corners, size, labels, title = drawn[1][1]
    np.testing.assert_array_equal(velocity, RAMP[5:, 2:])
    # In the coordinates of the file that both came from.
    assert (depth[0], x[0]) == (50, 20)
    assert corners == [(100, 70), (200, 190)]
    assert (size, labels) == ((90, 110), ["0", "3"])
    assert title.startswith("ramp.npy: 2 pieces of 10 x 12 nodes (90 x 110 m)")


@pytest.mark.parametrize(
    ("chosen", "options", "words"),
    [
        ([1], {"kind": "crops"}, "name two velocity files"),
        ([0, 1], {"kind": "models"}, "drawn of one velocity file"),
        ([1], {"kind": "gathers"}, "can be drawn as models, crops"),
        ([0, 2], {}, "none of its models was cut from"),
    ],
)
def test_bad_requests_of_velocity_files(files, tmp_path, chosen, options, words):
    with pytest.raises(InputError, match=words):
        plot([files[number] for number in chosen], tmp_path / "a.png", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie"}, "kind = pie: must be one of"),
        ({"kind": "convergence"}, "can be drawn as overview, models, gathers"),
        ({"clip": 0}, "clip = 0"),
        ({"kind": "gathers", "samples": "0:20"}, "shows 1 to 6"),
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
        ([tmp_path / "empty"], "is itself no data set or run"),
        ([tmp_path / "text.txt"], "not an HDF5 file"),
        ([data_path, run_dir], "several paths"),
    ):
        with pytest.raises(InputError, match=message):
            plot(paths, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"must end in \.png or"):
        plot([data_path], tmp_path / "a.jpeg")


def test_numbers_and_slices():
    for wanted, numbers in (("0:3", [0, 1, 2]), ("::4, 1", [0, 4, 1]), ("-2:", [6, 7])):
        assert select(wanted, 8, "samples") == numbers
    for wanted in ("x", "8", "-1", [9], "5:2"):
        with pytest.raises(InputError, match="samples = "):
            select(wanted, 8, "samples")
