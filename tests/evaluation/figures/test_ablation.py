import numpy as np
import pytest

from seistomo.evaluation.figures import AblationRow, ablation_figure


def markers(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker and len(line.get_xdata())]


def test_each_variant_has_its_runs_their_mean_and_spread():
    rows = [AblationRow("baseline", [300.0, 310.0, 320.0], [0.5, 0.52, 0.54])]
    rows.append(AblationRow("gain", [290.0], [0.6]))
    figure = ablation_figure({"Adam": rows})
    ssim, rmse = figure.axes
    assert [text.get_text() for text in ssim.get_yticklabels()] == ["baseline", "gain"]
    bottom, top = ssim.get_ylim()
    assert bottom > top, "rows run downward"
    means = {float(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in markers(rmse, "D")}
    assert means == {0.0: pytest.approx(310), 1.0: 290.0}
    np.testing.assert_array_equal(markers(ssim, "o")[0].get_xdata(), [0.5, 0.52, 0.54])
    [bar] = [line for line in rmse.lines if line.get_linewidth() == 4]
    assert tuple(bar.get_xdata()) == pytest.approx((300, 320))
    [first] = [line for line in ssim.lines if line.get_linestyle() == "--"]
    assert first.get_xdata()[0] == pytest.approx(0.52)


def test_two_methods_stand_beside_each_other():
    one, two = ([AblationRow(name, [300.0], [0.5])] for name in ("baseline", "baseline"))
    figure = ablation_figure({"Adam": one, "SQGN": [*two, AblationRow("ema", [1.0], [0.1])]})
    places = [float(line.get_ydata()[0]) for line in markers(figure.axes[0], "D")]
    assert len(set(places)) == 3
    assert max(places[:2]) < 0.5 < places[2]
