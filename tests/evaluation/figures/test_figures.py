from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.figures import style

DEPTH, X = np.arange(20) * 25.0, np.arange(24) * 25.0
SURVEY = {
    "source_x": np.array([0.0, 300.0, 575.0]),
    "source_depth": np.full(3, 25.0),
    "receiver_x": np.linspace(0, 575, 8),
    "receiver_depth": np.full(8, 50.0),
}


@pytest.fixture
def cases(models):
    random = np.random.default_rng(2)
    # One prediction reaches beyond its reference, one keeps inside, one strays both ways.
    shrunk = 2500 + np.array([2, 0.5, 1])[:, None, None] * (models[:3] - 2500)
    predictions = (shrunk + random.normal(0, 50, shrunk.shape)).astype(np.float32)
    return [
        figures.Case(f"Case {n}", models[n], predictions[n], 0.5, 50.0, models[n] > 4000)
        for n in range(3)
    ]


def sections(figure):
    return [axes for axes in figure.axes if axes.images]


def points(line):
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def test_predictions_share_a_scale_in_each_row(cases):
    figure = figures.predictions_figure(cases, DEPTH, X)
    panels = sections(figure)
    assert len(panels) == 9
    scales = []
    for row, case in zip(np.reshape(panels, (3, 3)), cases, strict=True):
        reference, prediction, difference = (axes.images[0] for axes in row)
        assert reference.get_clim() == prediction.get_clim()
        low, high = reference.get_clim()
        assert low <= case.reference.min() <= case.reference.max() <= high
        bottom, top = difference.get_clim()
        assert bottom == -top < 0
        np.testing.assert_array_equal(difference.get_array(), case.prediction - case.reference)
        scales.append((low, high))
    assert len(set(scales)) == 3


def test_predictions_are_in_metres_at_true_proportions_with_depth_down(cases):
    panels = np.reshape(sections(figures.predictions_figure(cases, DEPTH, X)), (3, 3))
    assert {axes.get_xlabel() for axes in panels[-1]} == {"x (m)"}
    assert {axes.get_ylabel() for axes in panels[:, 0]} == {"Depth (m)"}
    for axes in panels.flat:
        assert axes.get_aspect() == 1
        bottom, top = axes.get_ylim()
        assert bottom > top
        assert axes.images[0].get_extent() == [-12.5, 587.5, 487.5, -12.5]


def test_predictions_say_scores_and_units(cases):
    figure = figures.predictions_figure(cases, DEPTH, X)
    texts = [axes.get_title() for axes in sections(figure)]
    assert "SSIM 0.50, RMSE 50 m/s" in texts
    bars = [child for axes in figure.axes for child in axes.child_axes]
    assert len(bars) == 6
    assert {bar.get_title(loc="left") for bar in bars} == {"m/s"}


def test_salt_is_outlined_only_where_it_is(cases):
    panels = np.reshape(sections(figures.predictions_figure(cases, DEPTH, X)), (3, 3))
    outlined = [[len(axes.collections) for axes in row] for row in panels]
    assert outlined == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]


def history(epochs=5, factor=1.0):
    epoch = np.arange(1.0, epochs + 1)
    return {
        "epoch": epoch,
        "seconds": 2 * factor * epoch,
        "train_loss": 1e9 / epoch,
        "validation_loss": factor * np.array([9.0, 5.0, 4.0, 3.0, 6.0])[:epochs] * 1e8,
        "ssim": 0.1 * epoch,
    }


def test_convergence_has_units_and_a_logarithmic_loss():
    figure = figures.convergence_figure({"run": history()}, {"loss": 7e8, "ssim": 0.3})
    (loss, loss_time), (ssim, ssim_time) = np.reshape(figure.axes, (2, 2))
    assert loss.get_yscale() == loss_time.get_yscale() == "log"
    assert ssim.get_yscale() == "linear"
    assert "(m/s)²" in loss.get_ylabel()
    assert "SSIM" in ssim.get_ylabel()
    assert ssim.get_xlabel() == "Epoch"
    assert ssim_time.get_xlabel() == "Optimizer time (s)"


def test_convergence_draws_history_baseline_and_best_epoch():
    record = history()
    figure = figures.convergence_figure({"run": record}, {"loss": 7e8, "ssim": 0.3})
    loss, loss_time, ssim, _ = figure.axes
    lines = {line.get_label(): points(line) for line in loss.lines}
    np.testing.assert_array_equal(lines["training"], [record["epoch"], record["train_loss"]])
    np.testing.assert_array_equal(lines["validation"][1], record["validation_loss"])
    assert lines["mean training model"][1].tolist() == [7e8, 7e8]
    assert [values.tolist() for values in lines["best epoch"]] == [[4.0], [3e8]]
    np.testing.assert_array_equal(points(loss_time.lines[0])[0], record["seconds"])
    np.testing.assert_array_equal(points(ssim.lines[0])[1], record["ssim"])
    shown = {text.get_text() for text in figure.legends[0].get_texts()}
    assert shown == {"training", "validation", "best epoch", "mean training model"}


def test_convergence_of_several_runs_tells_them_apart():
    figure = figures.convergence_figure({"adam": history(), "sqgn": history(factor=3)})
    loss = figure.axes[0]
    solid = [line for line in loss.lines if line.get_label() in ("adam", "sqgn")]
    assert len({line.get_color() for line in solid}) == 2
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["adam", "sqgn", "dotted: training"]


def test_convergence_without_validation_still_shows_training(tmp_path):
    record = history()
    record["validation_loss"] = record["ssim"] = np.full(5, np.nan)
    figure = figures.convergence_figure({"run": record})
    assert "best epoch" not in [line.get_label() for line in figure.axes[0].lines]
    figures.save(figure, tmp_path / "a.png")


def test_histogram_counts_every_sample():
    random = np.random.default_rng(0)
    ssim, baseline = random.uniform(0.5, 0.95, 40), random.uniform(0.3, 0.7, 40)
    figure = figures.ssim_histogram_figure(ssim, baseline)
    (axes,) = figure.axes
    heights = [patch.get_xy()[:, 1].max() for patch in axes.patches]
    assert max(heights) <= 40
    assert axes.get_xlabel().startswith("SSIM")
    assert axes.get_ylabel() == "Samples"
    texts = {text.get_text() for text in figure.legends[0].get_texts()}
    means = (
        f"prediction, mean {ssim.mean():.2f}",
        f"mean training model, mean {baseline.mean():.2f}",
    )
    assert texts == set(means)
    low, high = axes.get_xlim()
    assert low <= baseline.min()
    assert high == 1


def test_error_against_depth_points_down():
    rmse = {name: np.linspace(50, 300, 20) for name in ("prediction", "baseline", "oracle_1d")}
    (axes,) = figures.rmse_depth_figure(rmse, DEPTH).axes
    assert axes.get_ylim() == (DEPTH[-1], DEPTH[0])
    assert axes.get_xlim()[0] == 0
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("RMSE (m/s)", "Depth (m)")
    np.testing.assert_array_equal(points(axes.lines[0]), [rmse["prediction"], DEPTH])


def test_models_share_one_scale_and_show_the_survey(models):
    labels = [f"{n}: layers" for n in range(8)]
    figure = figures.models_figure(models[:8], DEPTH, X, labels, [SURVEY] * 8, (1450, 4650))
    panels = sections(figure)
    assert [axes.get_title() for axes in panels] == labels
    assert {axes.images[0].get_clim() for axes in panels} == {(1450, 4650)}
    for axes in panels:
        receivers, sources = (points(line) for line in axes.lines)
        np.testing.assert_array_equal(receivers, [SURVEY["receiver_x"], SURVEY["receiver_depth"]])
        np.testing.assert_array_equal(sources, [SURVEY["source_x"], SURVEY["source_depth"]])
        assert axes.get_ylim() == (487.5, -12.5)
    bar = next(axes for axes in figure.axes if "velocity" in axes.get_ylabel())
    assert bar.get_ylabel() == "P-wave velocity (m/s)"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["3 sources", "8 receivers"]


@pytest.mark.parametrize("count", [3, 12, 36])
@pytest.mark.parametrize("family", ["salt", "curvefault_b", "a name longer than its model is wide"])
def test_titles_of_models_side_by_side_do_not_touch(models, count, family):
    labels = [f"{n}: {family}" for n in range(count)]
    shown = np.resize(models, (count, *models.shape[1:]))
    figure = figures.models_figure(shown, DEPTH, X, labels, [SURVEY] * count)
    figure.draw_without_rendering()
    panels = sections(figure)
    boxes = [axes.title.get_window_extent() for axes in panels]
    rows = {}
    for box in boxes:
        rows.setdefault(round(box.y0), []).append(box)
    for row in rows.values():
        for one, other in pairwise(sorted(row, key=lambda box: box.x0)):
            assert one.x1 < other.x0
    assert all(axes.get_title().startswith(f"{n}: ") for n, axes in enumerate(panels))
    assert min(axes.title.get_fontsize() for axes in panels) >= 6


@pytest.mark.parametrize("shape", [(12, 60), (60, 12)])
def test_models_of_any_shape_can_be_saved(tmp_path, shape):
    models = np.random.default_rng(0).uniform(1500, 4500, (5, *shape)).astype(np.float32)
    depth, x = (np.arange(count) * 10.0 for count in shape)
    figure = figures.models_figure(models, depth, x, list("abcde"), None)
    assert figures.save(figure, tmp_path / "wide.png").stat().st_size > 1000


def gathers_of(shots=3):
    time = np.arange(16) * 0.01
    records = np.random.default_rng(3).normal(size=(1, shots, 8, 16)).astype(np.float32)
    return records, time


def test_gathers_show_seconds_downwards_clipped(tmp_path):
    records, time = gathers_of()
    figure = figures.gathers_figure(records, time, [SURVEY], ["Sample 0"], [0, 2], clip=90)
    panels = [axes for axes in figure.axes if axes.get_title().startswith("source")]
    assert len(panels) == 2
    reach = np.percentile(np.abs(records[0, [0, 2]]), 90)
    for axes, shot in zip(panels, (0, 2), strict=True):
        assert axes.get_ylim() == (time[-1], time[0])
        assert axes.get_xlabel() == "Receiver x (m)"
        (mesh,) = (item for item in axes.collections if isinstance(item, QuadMesh))
        assert mesh.get_clim() == pytest.approx((-reach, reach))
        np.testing.assert_array_equal(mesh.get_array(), records[0, shot].T)
        assert points(axes.lines[0])[0].tolist() == [SURVEY["source_x"][shot]]
    assert panels[0].get_ylabel() == "Time (s)"
    figures.save(figure, tmp_path / "gathers.png")


def test_default_shots_are_first_middle_and_last():
    records, time = gathers_of()
    figure = figures.gathers_figure(records, time, [SURVEY], [""])
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert [title.split()[1] for title in titles] == ["0", "1", "2"]


def test_silent_gathers_can_be_drawn(tmp_path):
    records, time = gathers_of()
    figure = figures.gathers_figure(0 * records, time, [SURVEY], ["dead"])
    figures.save(figure, tmp_path / "silent.png")


def test_receivers_out_of_order_are_drawn_in_place():
    records, time = gathers_of()
    order = np.array([3, 1, 0, 2, 7, 6, 5, 4])
    survey = {**SURVEY, "receiver_x": SURVEY["receiver_x"][order]}
    figure = figures.gathers_figure(records[:, :, order], time, [survey], [""], [0])
    axes = figure.axes[0]
    (mesh,) = (item for item in axes.collections if isinstance(item, QuadMesh))
    np.testing.assert_array_equal(mesh.get_array(), records[0, 0].T)


def test_overview_holds_models_and_gathers(models, tmp_path):
    records, time = gathers_of()
    figure = figures.overview_figure(
        models[:2], DEPTH, X, ["0: a", "1: b"], [SURVEY] * 2, records[0], time
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["0: a", "1: b"]
    assert sum(title.startswith("source") for title in titles) == 3
    figures.save(figure, tmp_path / "overview.png")


def test_velocity_map_has_even_steps_and_dark_ends():
    lab = rgb2lab(style.VELOCITY_MAP(np.arange(256))[None, :, :3])[0]
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() < 1.25 * np.median(steps)
    assert steps.min() > 0.75 * np.median(steps)
    lightness = lab[:, 0]
    assert lightness[0] < 20
    assert lightness[-1] < 40
    turns = np.diff(np.sign(np.diff(lightness)))
    assert np.count_nonzero(turns) == 1


def test_users_settings_do_not_change_the_look(cases, tmp_path):
    figures.save(figures.predictions_figure(cases[:1], DEPTH, X), tmp_path / "plain.png")
    with mpl.rc_context({"font.size": 30, "image.origin": "lower", "savefig.dpi": 10}):
        figures.save(figures.predictions_figure(cases[:1], DEPTH, X), tmp_path / "other.png")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "other.png").read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_saved_figures_are_whole_and_repeatable(tmp_path, suffix):
    for name in ("a", "b"):
        rmse = {"prediction": np.linspace(50, 300, 20)}
        figures.save(figures.rmse_depth_figure(rmse, DEPTH), tmp_path / (name + suffix))
    one, other = sorted(tmp_path.iterdir())
    assert one.read_bytes() == other.read_bytes()


def test_a_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def half(figure, path, **options):
        path.write_bytes(b"half")
        raise RuntimeError

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(RuntimeError):
        figures.save(style.new_figure(), tmp_path / "a.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.png, \.pdf, \.svg"):
        figures.save(style.new_figure(), tmp_path / "a.bmp")
