import numpy as np
import pytest

from seistomo.evaluation.figures import ConditionRow, generalization_figure


def row(label, group, shift=0.0):
    ssim = np.linspace(0.4, 0.8, 21) - shift
    rmse = np.linspace(200, 600, 21) + 1000 * shift
    return ConditionRow(label, group, rmse, ssim, 420.0 + 1000 * shift, 500.0, 0.45, 90.0, 0.9)


def test_each_condition_has_a_row_under_its_heading():
    rows = [row("own", "Reference"), row("noise", "Records", 0.1), row("dead", "Records", 0.2)]
    figure = generalization_figure([*rows, row("style", "Other", 0.3)])
    left, right = figure.axes
    labels = {
        t.get_text(): y for t, y in zip(left.get_yticklabels(), left.get_yticks(), strict=True)
    }
    assert list(labels) == ["own", "noise", "dead", "style"]
    places = list(labels.values())
    assert places == sorted(places)
    assert places[2] - places[1] == pytest.approx(1)
    assert places[1] - places[0] > 2, "room for a heading"
    bottom, top = left.get_ylim()
    assert bottom > top, "rows run downward"
    headings = {text.get_text(): text.xy[1] for text in left.texts}
    assert list(headings) == ["Reference", "Records", "Other"]
    assert list(headings.values()) == [places[row] - 1 for row in (0, 1, 3)]
    dots = {
        float(line.get_ydata()[0]): float(line.get_xdata()[0])
        for line in right.lines
        if line.get_marker() == "o"
    }
    assert [dots[place] for place in places] == pytest.approx([0.6, 0.5, 0.4, 0.3])
    guesses = [
        sorted({line.get_xdata()[0] for line in left.lines if line.get_marker() == marker})
        for marker in "|d"
    ]
    assert guesses == [[500.0], [90.0]]
    assert left.get_xlabel().startswith("RMSE (m/s)")


def test_lines_span_the_samples():
    figure = generalization_figure([row("own", "Reference")])
    spans = [
        tuple(line.get_xdata())
        for line in figure.axes[0].lines
        if line.get_marker() == "None" and len(line.get_xdata()) == 2 and line.get_xdata()[0] > 1
    ]
    thin, thick = spans[0], spans[1]
    assert thin == pytest.approx((220, 580))
    assert thick == pytest.approx((300, 500))
