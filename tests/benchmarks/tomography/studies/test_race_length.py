import math

import pytest

from seistomo.benchmarks.tomography.studies.race_length import (
    epochs_that_fit,
    seconds_to,
    stop_at,
    stop_at_pace,
)


def test_a_length_is_that_of_the_first_epochs_whatever_came_after(history):
    # The first epoch warms up for 3 s; the others take 2 s.
    found = history([1.0] * 40, pace=2.0, start=3.0)
    known = [number for number in range(1, 41) if stop_at_pace(100.0)(found[:number])]
    assert known[0] == 2
    # 95 s planned: 7 s for two epochs, 2 s for each further one.
    assert epochs_that_fit(found[:2], 100.0) == 2 + 44
    assert epochs_that_fit(found, 100.0) == 46
    assert epochs_that_fit(found, 4.0) == 1
    with pytest.raises(ValueError, match="not shown its pace"):
        epochs_that_fit(found[:1], 100.0)


def test_a_run_ends_with_the_last_epoch_that_fits(history):
    found = history([1.0] * 9, pace=3.0)
    ends = [number for number in range(1, 10) if stop_at(13.0)(found[:number])]
    assert ends[0] == 4


def test_the_target_is_first_met_at_the_end_of_an_epoch(history):
    found = history([9.0, 5.0, 7.0, 4.0], pace=2.0)
    assert seconds_to(found, 5.0) == 4.0
    assert seconds_to(found, 4.5) == 8.0
    assert seconds_to(found, 3.0) == math.inf
    assert seconds_to([], 3.0) == math.inf
