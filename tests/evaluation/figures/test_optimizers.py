import numpy as np
import pytest

from seistomo.evaluation import figures

EPOCHS = np.arange(1, 6)


def run(end=0.97, slowness=1.0):
    accuracy = end - 0.5 * np.exp(-EPOCHS)
    return {
        "epoch": EPOCHS,
        "seconds": slowness * EPOCHS,
        "test_loss": 1 - accuracy,
        "test_accuracy": accuracy,
    }


def lines(axes):
    return [line for line in axes.lines if len(line.get_xdata()) == len(EPOCHS)]


@pytest.mark.parametrize(
    ("against", "label"), [("epoch", "Epoch"), ("seconds", "Optimizer time (s)")]
)
def test_learning_curves_have_a_panel_a_method_and_a_line_a_repeat(against, label):
    methods = {"SGD": [run(), run()], "Adam": [run(slowness=2.0)] * 3}
    figure = figures.learning_curves_figure(methods, against)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert set(panels) == {"SGD", "Adam"}
    assert len(lines(panels["SGD"])) == 2
    right = figure.axes[-1]
    assert len(lines(right)) == 3
    line = lines(right)[0]
    np.testing.assert_array_equal(line.get_xdata(), run(slowness=2.0)[against])
    np.testing.assert_allclose(line.get_ydata(), 100 * run()["test_accuracy"])
    assert line.get_color() != lines(panels["SGD"])[0].get_color()
    assert panels["SGD"].get_xlabel() == label
    assert panels["SGD"].get_ylim() == panels["Adam"].get_ylim()


def test_a_run_that_is_stuck_is_in_the_picture():
    good, stuck = run(), {**run(), "test_accuracy": np.full(5, 0.11), "test_loss": np.full(5, 2.3)}
    figure = figures.learning_curves_figure({"SGD": [stuck], "Adam": [good]})
    low, high = figure.axes[-1].get_ylim()
    assert low < 11
    assert high == 100
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < 2.3 < top


def test_losses_that_are_not_finite_do_not_matter():
    broken = {**run(), "test_loss": np.array([1, np.nan, np.inf, 1, 1])}
    figure = figures.learning_curves_figure({"SGD": [broken]})
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_sensitivity_marks_the_baseline_and_stretches_towards_all_right():
    curve = figures.SensitivityCurve("SQGN: λ", {0.1: [0.97, 0.98], 1.0: [0.9]}, 0.1)
    figure = figures.sensitivity_figure([curve, curve])
    axes = figure.axes[0]
    means = axes.lines[0]
    np.testing.assert_array_equal(means.get_xdata(), [0.1, 1.0])
    np.testing.assert_allclose(means.get_ydata(), [2.5, 10.0])
    ring = axes.lines[-1]
    assert ring.get_xdata() == [0.1]
    labels = [axes.yaxis.get_major_formatter()(tick, 0) for tick in axes.yaxis.get_majorticklocs()]
    assert labels == ["98", "95", "90", "80", "50", "10"]
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_a_race_marks_where_each_meets_the_target():
    fast, slow = run(0.98), run(0.98, slowness=4.0)
    figure = figures.race_figure({"Adam": [slow], "SQGN": [fast], "SGD": [run(0.9)]}, 0.97)
    [axes] = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    first = EPOCHS[np.flatnonzero(fast["test_accuracy"] >= 0.97)[0]]
    assert [list(dot.get_xdata()) for dot in dots] == [[4.0 * first], [first]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Adam", "SQGN", "SGD"]


def test_stuck_runs_are_counted_where_they_ended():
    figure = figures.stuck_figure({"code": [0.1] * 3 + [0.9], "safe": [0.91] * 4})
    counts = [[bar.get_height() for bar in axes.patches] for axes in figure.axes]
    assert [sum(heights) for heights in counts] == [4, 4]
    assert counts[0][5] == 3
    assert "safe, 4 runs" in figure.axes[1].get_title()
