"""Variants take turns; their times and ratios come out right."""

import pytest

from seistomo.benchmarks.simulate.turns import Choice, Timing, Variant, spread_of, take_turns


def variants(log):
    """Return two variants that say when they ran; each turn takes longer than the one before."""

    def run(label, seconds):
        log.append(label)
        return seconds * len(log)

    return [
        Variant("a", 2, lambda: run("a", 1.0)),
        Variant("b", 4, lambda: run("b", 10.0)),
    ]


def test_every_other_repeat_goes_the_other_way_round():
    log = []
    timings = take_turns(variants(log), 3, "", warm_up=False)
    assert log == ["a", "b", "b", "a", "a", "b"]
    assert [timing.label for timing in timings] == ["a", "b"]
    # Turns 1, 4 and 5 of two models each; turns 2, 3 and 6 of four.
    assert timings[0].seconds == [0.5, 2.0, 2.5]
    assert timings[1].seconds == [5.0, 7.5, 15.0]


def test_a_warm_up_does_not_count():
    log = []
    timings = take_turns(variants(log), 1, "", warm_up=True)
    assert log == ["a", "b", "a", "b"]
    assert timings[0].seconds == [1.5]


def test_ratios_are_within_a_repeat():
    slow, quick = Timing("slow", [2.0, 6.0, 4.0]), Timing("quick", [1.0, 2.0, 4.0])
    assert slow.ratios(quick) == [2.0, 3.0, 1.0]
    assert quick.median == 2.0
    assert spread_of(slow.ratios(quick)) == "2.00 (1.00 to 3.00)"
    assert spread_of([0.123456], 3) == "0.123"


def test_the_table_says_times_ratios_and_facts():
    own = Timing("4", [1.0, 2.0, 3.0], {"error": 0.017})
    other = Timing("2", [0.5, 1.0, 3.0])
    columns = {"error": "{:.1%}".format}
    choice = Choice("accuracy", "simulation.accuracy", [other, own], own, columns)
    lines = [[cell.strip() for cell in row.split("|")] for row in choice.table().splitlines()]
    assert lines[0][1:5] == ["", "s/model", "/ 4", "error"]
    assert lines[2][1:5] == ["2", "1", "0.50 (0.50 to 1.00)", "–"]
    assert lines[3][1:5] == ["4", "2", "1.00 (1.00 to 1.00)", "1.7%"]
    record = choice.record()
    assert record["reference"] == "4"
    assert record["rows"][0]["ratios"] == [0.5, 0.5, 1.0]
    assert record["rows"][1]["error"] == pytest.approx(0.017)
