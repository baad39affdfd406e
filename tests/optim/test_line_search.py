"""The backtracking line search on functions whose answer is known."""

import math

import pytest

from seistomo.optim.line_search import backtrack


def test_whole_step_where_it_is_good_enough():
    found = backtrack(lambda t: (t - 1) ** 2, 1.0, -2.0)
    assert (found.length, found.loss, found.evaluations, found.status) == (1, 0, 1, "accepted")


def test_first_power_of_the_factor_that_meets_armijo():
    # f(t) = (10t − 1)²: f ≤ 1 + c t f'(0) holds for t ≤ (1 − c)/5 alone.
    loss_at = lambda t: (10 * t - 1) ** 2  # noqa: E731
    assert backtrack(loss_at, 1.0, -20.0).length == 1 / 8
    assert backtrack(loss_at, 1.0, -20.0, factor=0.7).length == pytest.approx(0.7**5)
    # With c = 1/2 the bound is t ≤ 1/10: the minimizer.
    assert backtrack(loss_at, 1.0, -20.0, sufficient_decrease=0.5).length == 1 / 16


def test_asks_for_each_length_once_in_order():
    asked = []

    def loss_at(t):
        asked.append(t)
        return 2.0

    found = backtrack(loss_at, 1.0, -1.0)
    assert asked == [0.5**k for k in range(11)]
    assert (found.length, found.loss, found.evaluations, found.status) == (0, 1.0, 11, "failed")


def test_gives_up_after_the_reductions_allowed():
    found = backtrack(lambda t: (1000 * t - 1) ** 2, 1.0, -2000.0, max_reductions=3)
    assert (found.status, found.evaluations) == ("failed", 4)


@pytest.mark.parametrize("slope", [0.0, 1.0, math.nan])
def test_no_descent_without_a_negative_slope(slope):
    def loss_at(t):
        pytest.fail("no loss is needed")

    found = backtrack(loss_at, 3.0, slope)
    assert (found.length, found.loss, found.evaluations, found.status) == (0, 3, 0, "no_descent")


@pytest.mark.parametrize("beyond", [math.nan, math.inf, -math.inf])
def test_backs_off_from_what_is_not_finite(beyond):
    found = backtrack(lambda t: beyond if t > 0.3 else 1 - t, 1.0, -1.0)
    assert (found.length, found.status) == (0.25, "accepted")


def test_equal_loss_is_not_enough():
    assert backtrack(lambda t: 1.0, 1.0, -1.0).status == "failed"
