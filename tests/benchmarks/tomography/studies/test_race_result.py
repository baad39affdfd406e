from dataclasses import replace

import pytest

from seistomo.benchmarks.tomography.studies.race_result import best_of, target_of
from seistomo.errors import InputError


def test_adams_best_ends_lowest_and_the_others_are_first_there(run, tried):
    lost = run([9.0, 2.0], diverged="x")
    found = {
        "adam": tried("adam", run([5.0, 1.5, 4.0]), run([6.0, 5.0, 3.0]), lost),
        "sqgn": tried("sqgn", run([4.0, 3.0, 2.9]), run([4.0, 3.5, 1.0]), lost),
        "sgn": tried("sgn", run([9.0, 8.0]), run([9.0, 7.0]), run([9.5])),
        "svrg": tried("svrg", run([], diverged="x")),
    }
    best = best_of(found)
    assert {name: one and one.trial.number for name, one in best.items()} == {
        "adam": 2,
        "sqgn": 1,
        "sgn": 2,
        "svrg": None,
    }
    with pytest.raises(InputError, match="all of Adam's trials diverged"):
        best_of({"adam": found["svrg"]})


def test_without_a_run_of_adams_there_is_no_target(finishes):
    lost = [replace(one, diverged="x") for one in finishes[0].outcomes]
    with pytest.raises(InputError, match="all of Adam's runs diverged"):
        target_of([replace(finishes[0], outcomes=lost)])
