import numpy as np
import pytest

from seistomo.dataset.exchange.crops import CropOptions
from seistomo.dataset.exchange.importing import ImportOptions, import_velocity
from seistomo.errors import InputError
from seistomo.evaluation import plot, plotting, velocity_plots

RAMP = (1500 + np.add.outer(np.arange(30.0) * 50, np.arange(40.0) * 10)).astype(np.float32)


@pytest.fixture
def drawn(monkeypatch):
    """Names and arguments of the figures drawn, without the cost of drawing them."""
    calls = []

    def record(name):
        return lambda *arguments: calls.append((name, arguments)) or name

    for name in ("models", "crops"):
        monkeypatch.setattr(velocity_plots.figures, f"{name}_figure", record(name))
    monkeypatch.setattr(plotting.figures, "save", lambda figure, path: path)
    return calls


@pytest.fixture
def files(tmp_path):
    """Return a velocity file of part of a model, and one of crops of a smaller part of it."""
    np.save(tmp_path / "ramp.npy", RAMP)
    made = []
    for name, crops in (
        ("whole", CropOptions(depth_range=(50, None), x_range=(20, None))),
        ("crops", CropOptions(size=(10, 12), depth_range=(100, None), x_range=(70, None))),
    ):
        out = tmp_path / f"{name}.h5"
        import_velocity([tmp_path / "ramp.npy"], out, ImportOptions(spacing=10, crops=crops))
        made.append(out)
    return made


def test_a_sheet_of_models(drawn, files, tmp_path):
    plot(files[1:], tmp_path / "a.png", samples="1,3")
    name, (velocity, depth, x, labels, surveys, limits) = drawn[0]
    assert name == "models"
    np.testing.assert_array_equal(velocity, [RAMP[10:20, 19:31], RAMP[20:30, 19:31]])
    np.testing.assert_allclose(depth, np.arange(10) * 10.0)
    np.testing.assert_allclose(x, np.arange(12) * 10.0)
    assert labels == ["1: imported", "3: imported"]
    assert surveys is None
    assert limits == (RAMP[10:, 7:31].min(), RAMP[10:, 7:31].max())


def test_crops_stand_where_they_were_cut(drawn, files, tmp_path):
    plot(files, tmp_path / "a.png", samples="0,3")
    name, (velocity, depth, x, corners, size, labels, title) = drawn[0]
    assert name == "crops"
    np.testing.assert_array_equal(velocity, RAMP[5:, 2:])
    # In the coordinates of the file that both came from.
    assert (depth[0], x[0]) == (50, 20)
    assert corners == [(100, 70), (200, 190)]
    assert size == (90, 110)
    assert labels == ["0", "3"]
    assert title.startswith("ramp.npy: 2 pieces of 10 x 12")


@pytest.mark.parametrize(
    ("chosen", "options", "words"),
    [
        ("c", {"kind": "crops"}, "name two velocity files"),
        ("wc", {"kind": "models"}, "drawn of one velocity file"),
        ("c", {"kind": "gathers"}, "can be drawn as models, crops"),
        ("c", {"shots": "0"}, "holds velocity models, no gathers"),
        ("c", {"samples": "9"}, "samples = 9"),
        ("wo", {}, "none of its models was cut from"),
    ],
)
def test_bad_requests_are_told_in_one_line(files, tmp_path, chosen, options, words):
    np.save(tmp_path / "other.npy", RAMP)
    import_velocity([tmp_path / "other.npy"], tmp_path / "other.h5", ImportOptions(spacing=10))
    by_letter = {"w": files[0], "c": files[1], "o": tmp_path / "other.h5"}
    with pytest.raises(InputError, match=words) as raised:
        plot([by_letter[letter] for letter in chosen], tmp_path / "a.png", **options)
    assert "\n" not in str(raised.value)


def test_too_many_models_for_a_sheet_are_refused(tmp_path):
    np.save(tmp_path / "many.npy", np.stack([RAMP] * 101))
    import_velocity([tmp_path / "many.npy"], tmp_path / "v.h5", ImportOptions(spacing=10))
    with pytest.raises(InputError, match="names 101, this figure shows 1 to 100"):
        plot([tmp_path / "v.h5"], tmp_path / "a.png", samples=":")
