import math
from dataclasses import replace

import pytest

from seistomo.benchmarks.history import EpochEntry, RunResult
from seistomo.benchmarks.paper import ADAM_BASELINE, SQGN_BASELINE
from seistomo.benchmarks.tables import MeasuredRow, format_table, markdown_table, spread


def run(accuracy, loss=0.1, epochs=25, seconds=0.01, **kept):
    entries = [
        EpochEntry(n, 60 * n, 60 * n * seconds, 1.0, loss, accuracy, 0.1, 0.0, 0.0)
        for n in range(1, epochs + 1)
    ]
    return RunResult(tuple(entries), **kept)


ADAM = MeasuredRow("Adam", 0.01, [run(0.97, seconds=0.01), run(0.95, seconds=0.03)], ADAM_BASELINE)
SQGN = MeasuredRow("SQGN", 0.1, [run(0.978, 0.08, seconds=0.1, restarts=2)], SQGN_BASELINE)


def cells(table):
    lines = [line.strip("|").split("|") for line in table.splitlines()]
    return [[cell.strip() for cell in line] for line in lines]


def test_a_row_shows_what_was_measured_beside_the_paper():
    heading, _, adam, sqgn = cells(markdown_table([ADAM, SQGN], ADAM))
    named = list(zip(heading, adam, sqgn, strict=True))
    assert named == [
        ("method", "Adam", "SQGN"),
        ("learning rate", "0.01", "0.1"),
        ("epochs", "25", "25"),
        ("paper", "100", "100"),
        ("loss", "0.100 ± 0.000", "0.080"),
        ("paper", "0.088", "0.082"),
        ("accuracy, %", "96.00 ± 1.41", "97.80"),
        ("paper", "97.3", "97.8"),
        ("ms/iteration", "20.0", "100.0"),
        ("/ Adam's", "1.00", "5.00"),
        ("paper", "1.0", "8.1"),
        ("runs", "2", "1"),
        ("restarts", "0", "2"),
        ("stuck", "0", "0"),
    ]


def test_what_the_paper_does_not_say_is_left_open():
    own = MeasuredRow("mine", 1.0, [run(0.1, 2.3), run(0.9, 2.3, epochs=3)])
    _, _, row = cells(markdown_table([own]))
    expected = "mine|1|3 to 25|–|2.300 ± 0.000|–|50.00 ± 56.57|–|10.0|–|–|2|0|1"
    assert "|".join(row) == expected
    partly = MeasuredRow("SQGN", 0.1, [run(0.9)], replace(SQGN_BASELINE, loss=None, seconds=None))
    assert cells(markdown_table([partly], ADAM))[2].count("–") == 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_said(bad):
    row = MeasuredRow("SGD", 1.0, [run(0.1, bad, diverged="x"), run(0.1, 2.3)])
    assert "not finite" in markdown_table([row])
    assert row.summary()["stuck"] == 2


def test_columns_line_up():
    lines = format_table([("a", "long heading"), ("a long name", "1")]).splitlines()
    assert lines == [
        "| a           | long heading |",
        "|-------------|-------------:|",
        "| a long name |            1 |",
    ]


def test_spread_is_of_the_sample():
    assert spread([1.0, 3.0], 2) == "2.00 ± 1.41"
    assert spread([1.0], 1) == "1.0"


def test_a_summary_holds_both():
    summary = SQGN.summary()
    assert summary["test_accuracy"] == {"mean": 0.978, "std": 0.0}
    assert summary["seconds_per_iteration"] == pytest.approx(0.1)
    assert summary["restarts"] == 2
    assert summary["paper"] == {
        "epochs": 100,
        "test_loss": 0.082,
        "test_accuracy": 0.978,
        "seconds_per_iteration": 0.057,
    }
    assert MeasuredRow("mine", 1.0, [run(0.9)]).summary()["paper"] is None


def test_bars_in_cells_do_not_end_them():
    table = format_table([["row", "value"], ["|T| = |S|", "1"]])
    assert r"| \|T\| = \|S\| |" in table.splitlines()[2]
