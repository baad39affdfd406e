"""Figures tell the truth: positions, units, scales, and what is drawn is what was given."""

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.figures import style
from seistomo.evaluation.figures.gathers import with_gain

DEPTH, X, TIME = np.arange(20) * 25.0, np.arange(24) * 25.0, np.arange(16) * 0.01
SURVEY = {
    "source_x": np.array([0.0, 300.0, 575.0]),
    "source_depth": np.full(3, 25.0),
    "receiver_x": np.linspace(0, 575, 8),
    "receiver_depth": np.full(8, 50.0),
}
RECORDS = np.random.default_rng(3).normal(size=(1, 3, 8, 16)).astype(np.float32)


def sections(figure):
    return [axes for axes in figure.axes if axes.images]


def shots(figure):
    """Axes with a gather, and the mesh in each."""
    found = [
        (axes, [c for c in axes.collections if isinstance(c, QuadMesh)]) for axes in figure.axes
    ]
    return [(axes, meshes[0]) for axes, meshes in found if axes.get_xlabel() == "Receiver x (m)"]


def points(line):
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def make_cases(models, methods=("prediction",)):
    random = np.random.default_rng(2)
    cases = []
    for n in range(3):
        guesses = {m: (models[n] + random.normal(0, 90, (20, 24))).astype("f4") for m in methods}
        scores = dict.fromkeys(methods, 0.5), dict.fromkeys(methods, 50.0)
        cases.append(figures.Case(f"Case {n}", models[n], guesses, *scores, models[n] > 4000))
    return cases


@pytest.mark.parametrize("methods", [("prediction",), ("adam", "sqgn")])
def test_all_predictions_of_a_page_share_one_scale(models, methods):
    cases = make_cases(models, methods)
    figure = figures.predictions_figure(cases, DEPTH, X)
    panels = np.reshape(sections(figure), (3, 3))
    speeds = panels[:, :2] if len(methods) == 1 else panels
    assert len({axes.images[0].get_clim() for axes in speeds.flat}) == 1
    low, high = speeds[0, 0].images[0].get_clim()
    assert low <= min(case.reference.min() for case in cases)
    assert max(case.reference.max() for case in cases) <= high
    for row, case in zip(panels, cases, strict=True):
        np.testing.assert_array_equal(row[0].images[0].get_array(), case.reference)
        np.testing.assert_array_equal(row[1].images[0].get_array(), case.predictions[methods[0]])
        # The outline of salt is drawn where there is some: in the second model.
        assert {len(axes.collections) for axes in row} == {int(case.salt.any())}
        assert row[1].get_title() == "SSIM 0.50, RMSE 50 m/s"
        for axes in row:
            assert axes.get_aspect() == 1
            assert axes.images[0].get_extent() == [-12.5, 587.5, 487.5, -12.5], "depth down, in m"
    assert {axes.get_xlabel() for axes in panels[-1]} == {"x (m)"}
    assert {axes.get_ylabel() for axes in panels[:, 0]} == {"Depth (m)"}
    bars = {axes.get_xlabel() for axes in figure.axes if "m/s" in axes.get_xlabel()}
    assert "P-wave velocity (m/s)" in bars


def test_differences_are_prediction_minus_reference_on_one_even_scale(models):
    cases = make_cases(models)
    panels = np.reshape(sections(figures.predictions_figure(cases, DEPTH, X)), (3, 3))
    ((low, high),) = {axes.images[0].get_clim() for axes in panels[:, 2]}
    assert low == -high < 0
    for axes, case in zip(panels[:, 2], cases, strict=True):
        difference = case.predictions["prediction"] - case.reference
        np.testing.assert_array_equal(axes.images[0].get_array(), difference)


def history(epochs=5, factor=1.0, score="ssim"):
    epoch = np.arange(1.0, epochs + 1)
    return {
        "epoch": epoch,
        "seconds": 2 * factor * epoch,
        "train_loss": 1e9 / epoch,
        "validation_loss": factor * np.array([9.0, 5.0, 4.0, 3.0, 6.0])[:epochs] * 1e8,
        score: 0.1 * epoch,
    }


def test_a_single_run_shows_both_losses_its_best_epoch_and_the_baseline():
    record = history()
    baseline = {"loss": 7e8, "ssim": 0.3}
    figure = figures.curves_figure({"run": [record]}, baseline=baseline)
    loss, loss_time, ssim, ssim_time = figure.axes
    assert loss.get_yscale() == loss_time.get_yscale() == "log"
    assert "10⁸ (m/s)²" in loss.get_ylabel()
    assert (ssim.get_xlabel(), ssim_time.get_xlabel()) == ("Epoch", "Optimizer time (s)")
    lines = {line.get_label(): points(line) for line in loss.lines}
    np.testing.assert_allclose(lines["training"], [record["epoch"], record["train_loss"] / 1e8])
    np.testing.assert_allclose(lines["validation"][1], record["validation_loss"] / 1e8)
    np.testing.assert_allclose(lines["mean training model"][1], 7)
    assert [values.tolist() for values in lines["best epoch"]] == [[4.0], [3.0]]
    np.testing.assert_array_equal(points(loss_time.lines[0])[0], record["seconds"])
    np.testing.assert_array_equal(points(ssim.lines[0])[1], record["ssim"])
    assert legend(figure) == ["training", "validation", "best epoch", "mean training model"]


def test_methods_have_a_colour_and_repeats_a_line_each():
    one = figures.curves_figure({"adam": [history()], "sqgn": [history(factor=3)]})
    assert legend(one) == ["adam", "sqgn", "dotted: training"]
    runs = {"adam": [history(), history(factor=2)], "sqgn": [history(factor=3)]}
    figure = figures.curves_figure(runs, "seconds")
    loss, ssim = figure.axes
    assert legend(figure) == ["adam", "sqgn"]
    assert [line.get_color() for line in ssim.lines] == [*[style.RUNS[0]] * 2, style.RUNS[1]]
    assert len(loss.lines) == 3


def test_the_accuracy_axis_is_zoomed_and_stuck_runs_are_counted():
    good = [
        history(score="accuracy") | {"accuracy": np.linspace(0.8, end, 5)} for end in (0.97, 0.98)
    ]
    stuck = history(score="accuracy") | {"accuracy": np.full(5, 0.1)}
    methods = {"adam": good, "sgd": [stuck]}
    accuracy = figures.curves_figure(methods, "epoch", split="test").axes[1]
    assert accuracy.get_ylabel() == "Accuracy (%), test"
    assert accuracy.get_ylim()[0] > 80
    assert [text.get_text() for text in accuracy.texts] == ["1 run below"]


def test_a_race_shows_each_runs_best_so_far_and_where_it_meets_the_target():
    leaps = history() | {"error": np.array([5.0, 2.0, 7.0, 1.0, 3.0]) * 1e-5}
    good, late = (
        history(score="accuracy") | {"accuracy": np.linspace(0.8, end, 5)} for end in (1, 0.9)
    )
    figure = figures.curves_figure(
        {"adam": [leaps], "sgn": [leaps]}, "seconds", target={"error": 2e-5}
    )
    (error,) = figure.axes
    np.testing.assert_allclose(points(error.lines[0])[1], np.array([5, 2, 2, 1, 1]) * 1e-5)
    figure = figures.curves_figure(
        {"adam": [good], "sgd": [late]}, "epoch", target={"accuracy": 0.9}
    )
    (accuracy,) = figure.axes
    met = [
        points(line)
        for line in accuracy.lines
        if line.get_marker() == "o" and len(line.get_xdata())
    ]
    assert [at.tolist() for at, _ in met] == [[3.0], [5.0]]
    assert "target" in legend(figure)


def test_models_share_one_scale_show_the_survey_and_their_titles_do_not_touch(models):
    labels = [f"{n}: a name longer than its model is wide" for n in range(12)]
    figure = figures.models_figure(models[:12], DEPTH, X, labels, [SURVEY] * 12, (1450, 4650))
    panels = sections(figure)
    assert {axes.images[0].get_clim() for axes in panels} == {(1450, 4650)}
    receivers, sources = (points(line) for line in panels[3].lines)
    np.testing.assert_array_equal(receivers, [SURVEY["receiver_x"], SURVEY["receiver_depth"]])
    np.testing.assert_array_equal(sources, [SURVEY["source_x"], SURVEY["source_depth"]])
    assert panels[3].get_ylim() == (487.5, -12.5)
    assert legend(figure) == ["3 sources", "8 receivers"]
    figure.draw_without_rendering()
    assert all(axes.get_title().startswith(f"{n}: ") for n, axes in enumerate(panels))
    boxes = [axes.title.get_window_extent() for axes in panels[:4]]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_frames_stand_around_the_nodes_of_their_pieces():
    velocity = np.random.default_rng(0).uniform(1500, 4500, (20, 80))
    depth, x = 100 + np.arange(20) * 25.0, np.arange(80) * 25.0
    corners = [(100.0, 0.0), (200.0, 1250.0)]
    figure = figures.crops_figure(velocity, depth, x, corners, (225.0, 475.0), ["0", "7"], "two")
    axes = figure.axes[0]
    bottom, top = axes.get_ylim()
    assert bottom > top
    frames = {(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in axes.patches}
    # Half a cell of 25 m beyond the outer nodes.
    assert frames == {(-12.5, 87.5, 500.0, 250.0), (1237.5, 187.5, 500.0, 250.0)}
    assert [text.get_text() for text in axes.texts] == ["0", "7"]


def test_gathers_stand_raw_beside_themselves_with_gain_in_seconds_downwards():
    figure = figures.gathers_figure(RECORDS, TIME, [SURVEY], ["Sample 0"], [0, 2], clip=90)
    panels = shots(figure)
    gained = with_gain(RECORDS[0, [0, 2]])
    reach = np.percentile(np.abs(RECORDS[0, [0, 2]]), 90)
    for place, shot in enumerate((0, 2)):
        (raw, mesh), (_, beside) = panels[2 * place : 2 * place + 2]
        assert raw.get_ylim() == (TIME[-1], TIME[0])
        assert mesh.get_clim() == pytest.approx((-reach, reach))
        np.testing.assert_array_equal(mesh.get_array(), RECORDS[0, shot].T)
        np.testing.assert_array_equal(beside.get_array(), gained[place].T)
        assert points(raw.lines[0])[0].tolist() == [SURVEY["source_x"][shot]]
        assert raw.get_title() == f"source {shot} at {SURVEY['source_x'][shot]:.0f} m"
    assert panels[0][0].get_ylabel() == "Time (s)"
    default = figures.gathers_figure(RECORDS, TIME, [SURVEY], [""])
    assert [axes.get_title()[:8] for axes, _ in shots(default)][::2] == ["source 0", "source 1"]


def test_gain_lifts_late_arrivals_and_leaves_silence():
    time = np.arange(200)
    record = np.where(time > 60, np.sin(time) * np.exp(-time / 30), 0.0)
    gained = with_gain(record)
    for values, fades in ((record, 8), (gained, 0)):
        assert np.abs(values[70:90]).max() > fades * np.abs(values[150:170]).max()
    assert np.abs(gained[70:90]).max() < 2 * np.abs(gained[150:170]).max()
    assert not gained[:40].any()
    assert not with_gain(0 * record).any()


def test_the_overview_holds_models_shots_and_the_wavelet(models, tmp_path):
    labels, surveys = ["0: a", "1: b"], [SURVEY] * 2
    given = (models[:2], DEPTH, X, labels, surveys, RECORDS[0])
    overview = figures.overview_figure(*given, TIME)
    assert [axes.get_title() for axes in sections(overview)] == labels
    assert len(shots(overview)) == 4
    figures.save(overview, tmp_path / "overview.png")
    time = np.arange(80) * 0.006
    wavelet = (1 - 2 * (np.pi * 8 * (time - 0.2)) ** 2) * np.exp(-((np.pi * 8 * (time - 0.2)) ** 2))
    limits = (1450.0, 4650.0)
    sheet = figures.overview_figure(*given, time[:16], [1], limits=limits, wavelet=wavelet)
    assert {axes.images[0].get_clim() for axes in sections(sheet)} == {limits}
    assert shots(sheet)[0][0].get_title() == "source 1 at 300 m"
    named = {axes.get_xlabel(): axes for axes in sheet.axes}
    np.testing.assert_allclose(points(named["Time (s)"].lines[0]), [time, wavelet])
    spectrum = named["Frequency (Hz)"]
    assert spectrum.get_title() == "peak at 8.0 Hz"
    frequency, strength = points(spectrum.lines[0])
    # Of a Ricker wavelet: (f / 8)² exp(1 - (f / 8)²).
    expected = (frequency / 8) ** 2 * np.exp(1 - (frequency / 8) ** 2)
    np.testing.assert_allclose(strength, expected, atol=5e-3)


def test_saved_figures_are_the_same_whatever_the_users_settings(tmp_path):
    def draw(name):
        figure = figures.rmse_depth_figure({"prediction": np.linspace(50, 300, 20)}, DEPTH)
        return figures.save(figure, tmp_path / f"{name}.png").read_bytes()

    with pytest.raises(InputError, match=r"\.png or \.pdf or \.svg"):
        figures.save(style.new_figure(), tmp_path / "a.bmp")
    plain = draw("plain")
    with mpl.rc_context({"font.size": 30, "image.origin": "lower", "savefig.dpi": 10}):
        assert draw("other") == plain
        assert mpl.rcParams["font.size"] == 30
