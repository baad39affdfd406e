import numpy as np

from seistomo.evaluation.figures import tomography_race_figure

SECONDS = np.arange(1.0, 6.0)


def run(losses, slowness=1.0):
    return {
        "seconds": slowness * SECONDS,
        "validation_loss": 1e8 * np.asarray(losses),
        "ssim": 0.5 + 0.01 * SECONDS,
    }


def test_each_run_is_a_line_with_a_dot_where_it_meets_the_target():
    adam = [run([9, 5, 4, 3, 2]), run([9, 8, 7, 6, 5])]
    figure = tomography_race_figure({"Adam": adam, "SQGN": [run([4, 3, 2, 1, 1], 2.0)]}, 3e8)
    loss, ssim = figure.axes
    lines = [line for line in loss.lines if len(line.get_xdata()) == 5]
    assert len(lines) == 3
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    np.testing.assert_allclose(lines[2].get_xdata(), 2 * SECONDS)
    dots = [line for line in loss.lines if line.get_marker() == "o"]
    assert [(float(d.get_xdata()[0]), float(d.get_ydata()[0])) for d in dots] == [
        (4.0, 3.0),
        (4.0, 3.0),
    ]
    assert len([line for line in ssim.lines if line.get_marker() == "o"]) == 2
    [target] = [line for line in loss.lines if line.get_linestyle() == "--"]
    assert target.get_ydata()[0] == 3.0
    low, high = loss.get_ylim()
    assert low < 1
    assert high <= 9, "first epochs must not flatten the rest"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Adam", "SQGN"]


def test_numbers_that_are_not_finite_are_left_out():
    figure = tomography_race_figure({"SGN": [run([np.inf, np.nan, 4, 3, 2])]}, 3e8)
    assert np.isfinite(figure.axes[0].get_ylim()).all()
