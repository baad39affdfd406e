"""Rules of the Levenberg–Marquardt damping against their formulas."""

import math

import pytest

from seistomo.optim.damping import Damping
from seistomo.optim.errors import OptimizerError


def values(damping, steps, ratio=None, failed=False):
    state, found = damping.begin(), []
    for _ in range(steps):
        found.append(damping.value(state))
        state = damping.after(state, ratio, failed)
    return found


def test_constant_stays():
    assert values(Damping(0.3), 50, ratio=-1.0) == [0.3] * 50


def test_linear_decay_goes_in_equal_steps_from_first_to_last():
    found = values(Damping(0.2, "linear", floor=0.1, decay_steps=5), 8)
    assert found == pytest.approx([0.2, 0.155, 0.11, 0.065, 0.02, 0.02, 0.02, 0.02])


def test_cosine_decay_is_a_quarter_wave_above_the_floor():
    found = values(Damping(0.2, "cosine", floor=0.01, decay_steps=10), 13)
    wave = [0.2 * math.cos(math.pi / 2 * t / 10) for t in range(1, 10)]
    assert found == pytest.approx([*wave, 0.002, 0.002, 0.002, 0.002])


def test_decay_may_end_at_zero():
    for rule in ("linear", "cosine"):
        damping = Damping(0.2, rule, floor=0.0, decay_steps=4)
        assert values(damping, 6)[3:] == pytest.approx([0, 0, 0], abs=1e-15)
        assert damping.smallest == 0


def test_trust_region_multiplies_by_its_factors():
    damping = Damping(1.0, "trust_region")
    state = damping.begin()
    expected = 1.0
    for ratio, factor in [
        (0.1, 3 / 2), (-5.0, 3 / 2), (-math.inf, 3 / 2), (0.25, 1), (0.5, 1), (0.75, 1),
        (0.8, 2 / 3), (3.0, 2 / 3), (None, 1),
    ]:  # fmt: skip
        state = damping.after(state, ratio, failed=False)
        expected *= factor
        assert damping.value(state) == pytest.approx(expected)


def test_trust_region_stops_at_its_floor_and_comes_back():
    damping = Damping(1e-4, "trust_region", floor=0.05)
    state = damping.begin()
    for _ in range(40):
        state = damping.after(state, 1.0, failed=False)
    assert damping.value(state) == pytest.approx(5e-6)
    state = damping.after(state, 0.0, failed=False)
    assert damping.value(state) == pytest.approx(7.5e-6)


def test_paper_floor_is_the_default():
    assert Damping(1e-4, "trust_region").smallest == pytest.approx(1e-6)
    assert Damping(1e-4).smallest == 1e-4


@pytest.mark.parametrize("rule", ["constant", "linear", "trust_region"])
def test_failures_raise_every_rule_once_each(rule):
    damping = Damping(1.0, rule, decay_steps=100 if rule == "linear" else None, floor=None)
    plain, state = damping.begin(), damping.begin()
    for count in range(1, 5):
        plain = damping.after(plain, None, failed=False)
        state = damping.after(state, -2.0, failed=True)
        raised = damping.value(state) / damping.value(plain)
        assert raised == pytest.approx(1.5**count)


def test_schedules_come_back_after_a_failure():
    damping = Damping(1.0)
    state = damping.after(damping.after(damping.begin(), None, True), None, True)
    seen = []
    for _ in range(4):
        seen.append(damping.value(state))
        state = damping.after(state, None, False)
    assert seen == pytest.approx([2.25, 1.5, 1.0, 1.0])


def test_damping_stays_finite_however_long_nothing_works():
    assert values(Damping(1.0, "trust_region"), 3000, failed=True)[-1] == pytest.approx(1e12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initial": -1.0}, "damping = -1.0: must be"),
        ({"initial": math.nan}, "damping = nan"),
        ({"initial": "a"}, "damping = 'a'"),
        ({"rule": "exponential"}, "damping_rule = 'exponential': must be one of constant"),
        ({"initial": 0, "rule": "trust_region"}, "damping = 0: must be positive"),
        ({"rule": "trust_region", "floor": 1.5}, "damping_floor = 1.5: must be a number from 0"),
        ({"floor": 0.5}, "damping_floor = 0.5: means nothing"),
        ({"rule": "cosine"}, "decay_steps = None: must be a whole number from 2"),
        ({"rule": "linear", "decay_steps": 1}, "decay_steps = 1: must be a whole number from 2"),
        ({"decay_steps": 5}, "decay_steps = 5: only with damping_rule = linear or cosine"),
    ],
)
def test_bad_options_are_named(options, said):
    with pytest.raises(OptimizerError, match=said):
        Damping(**{"initial": 1.0, **options})
