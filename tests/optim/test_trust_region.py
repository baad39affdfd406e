"""Ratio, radius and iteration bound against Algorithm 4.1 of Nocedal and Wright."""

import math

import pytest

from seistomo.optim.trust_region import next_iteration_bound, next_radius, reduction_ratio

EPSILON = 2**-52


def test_ratio_is_actual_over_predicted():
    assert reduction_ratio(5.0, 4.0, 2.0, EPSILON) == 0.5
    assert reduction_ratio(5.0, 6.0, 2.0, EPSILON) == -0.5


def test_ratio_of_what_is_not_finite_is_the_worst():
    for trial in (math.nan, math.inf, -math.inf):
        assert reduction_ratio(5.0, trial, 2.0, EPSILON) == -math.inf


@pytest.mark.parametrize("predicted", [0.0, -1.0, math.nan, 1e-15])
def test_ratio_that_says_nothing_is_left_out(predicted):
    assert reduction_ratio(5.0, 4.9, predicted, EPSILON) is None
    assert reduction_ratio(0.0, -1e-20, 1e-20, EPSILON) == 1.0


@pytest.mark.parametrize(
    ("ratio", "at_boundary", "expected"),
    [
        (0.2, True, 1.0), (0.2, False, 1.0), (-math.inf, True, 1.0),
        (0.25, True, 4.0), (0.5, True, 4.0), (0.75, True, 4.0),
        (0.9, True, 8.0), (0.9, False, 4.0), (None, True, 4.0),
    ],
)  # fmt: skip
def test_radius(ratio, at_boundary, expected):
    assert next_radius(4.0, ratio, at_boundary, largest=100.0) == expected


def test_radius_stays_below_the_largest():
    assert next_radius(4.0, 1.0, True, largest=5.0) == 5.0


def test_iteration_bound_grows_and_shrinks_by_the_same_ladder():
    up, down = [1], [30]
    while up[-1] < 30:
        up.append(next_iteration_bound(up[-1], 0.9, True, 1, 30))
    while down[-1] > 1:
        down.append(next_iteration_bound(down[-1], 0.1, True, 1, 30))
    assert up == [1, 2, 3, 5, 8, 12, 18, 27, 30]
    assert down == [30, 20, 13, 8, 5, 3, 2, 1]


@pytest.mark.parametrize("bound", range(3, 13))
@pytest.mark.parametrize("ratio", [-math.inf, -1.0, 0.2, 0.5, 0.9, 2.0, None])
@pytest.mark.parametrize("at_bound", [True, False])
def test_iteration_bound_stays_within_its_limits(bound, ratio, at_bound):
    new = next_iteration_bound(bound, ratio, at_bound, 3, 12)
    assert 3 <= new <= 12
    if ratio is None or 0.25 <= ratio <= 0.75 or (ratio > 0.75 and not at_bound):
        assert new == bound
