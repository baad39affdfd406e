import numpy as np
import pytest

from seistomo.evaluation import figures

EPOCHS = np.arange(1, 6)
BASELINE = {"loss": 6e8, "ssim": 0.6}


def run(start=6e8, slowness=1.0):
    return {
        "epoch": EPOCHS,
        "seconds": slowness * EPOCHS,
        "validation_loss": start / EPOCHS,
        "ssim": 0.6 + 0.05 * EPOCHS,
    }


def curves(axes):
    return [line for line in axes.lines if len(line.get_xdata()) == len(EPOCHS)]


@pytest.mark.parametrize(
    ("against", "label"), [("epoch", "Epoch"), ("seconds", "Optimizer time (s)")]
)
def test_each_method_has_a_panel_with_a_line_a_repeat(against, label):
    methods = {"Adam": [run(), run()], "SQGN": [run(slowness=3.0)] * 3}
    figure = figures.tomography_curves_figure(methods, against, BASELINE)
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert set(panels) == {"Adam", "SQGN"}
    assert (len(curves(panels["Adam"])), len(curves(panels["SQGN"]))) == (2, 3)
    line = curves(panels["SQGN"])[0]
    np.testing.assert_array_equal(line.get_xdata(), run(slowness=3.0)[against])
    np.testing.assert_allclose(line.get_ydata(), run()["validation_loss"] / 1e8)
    # What is compared has the same axes.
    assert panels["Adam"].get_ylim() == panels["SQGN"].get_ylim()
    assert panels["Adam"].get_xlim() == panels["SQGN"].get_xlim()
    assert panels["Adam"].get_xlabel() == label
    low, high = panels["Adam"].get_ylim()
    assert low < 6 / 5
    assert high > 6


def test_a_run_that_leaps_up_does_not_flatten_the_others():
    broken = {**run(), "validation_loss": np.array([1e12, np.nan, np.inf, 4e8, 3e8])}
    figure = figures.tomography_curves_figure({"SGN": [broken]}, "epoch", BASELINE)
    assert figure.axes[0].get_ylim()[1] < 20


def test_predictions_stand_beside_the_reference_on_its_colours():
    depth, x = 20.0 * np.arange(8), 20.0 * np.arange(10)
    reference = np.linspace(1500, 4500, 80, dtype=np.float32).reshape(8, 10)
    case = figures.Comparison(
        "Sample 3, salt",
        reference,
        {"Adam": reference + 500, "SQGN": reference},
        {"Adam": 0.5, "SQGN": 1.0},
        {"Adam": 500.0, "SQGN": 0.0},
        reference > 4000,
    )
    figure = figures.comparison_figure([case, case], depth, x)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 6
    assert {axes.images[0].get_clim() for axes in panels} == {(1500.0, 4500.0)}
    assert all(len(axes.collections) == 1 for axes in panels)
    assert [axes.get_title() for axes in panels[:3]] == [
        "Sample 3, salt",
        "SSIM 0.50, 500 m/s",
        "SSIM 1.00, 0 m/s",
    ]
    assert panels[3].get_xlabel() == "x (m)"
    assert panels[0].get_ylabel() == "Depth (m)"
