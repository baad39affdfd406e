import signal
import time

import pytest

from seistomo.benchmarks.tomography.budget import Budget, Pace, TimeIsUpError, next_level

PACES = {"a": Pace(loading=1.0, epoch=1.0), "b": Pace(loading=1.0, epoch=3.0)}


@pytest.mark.parametrize(
    ("levels", "paces", "remaining", "expected"),
    [
        ({"a": 0, "b": 0}, {}, 10, 1),
        ({"a": 1, "b": 0}, {}, 10, 1),
        ({"a": 7, "b": 3}, PACES, 10, 7),
        # Nine tenths of 40 s, less 2 s of loading, are 8 epochs of 4 s for both.
        ({"a": 1, "b": 1}, PACES, 40, 9),
        # Of much time a round takes so many that 2 s of loading are a tenth of it.
        ({"a": 1, "b": 1}, PACES, 1000, 6),
        ({"a": 1, "b": 1}, PACES, 6, None),
        ({"a": 1, "b": 1}, PACES, 7, 2),
        ({"a": 20, "b": 20}, PACES, 1000, None),
        ({"a": 18, "b": 18}, PACES, 1e6, 20),
        ({"a": 3, "b": 1}, PACES, 0, None),
    ],
)
def test_all_get_as_many_epochs_as_there_is_time_for(levels, paces, remaining, expected):
    assert next_level(levels, paces, 20, remaining) == expected


# Shells start what is put in the background with interrupts ignored.
@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_time_that_is_up_interrupts_the_work(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        budget = Budget(0.1)
        started = time.monotonic()
        with pytest.raises(TimeIsUpError), budget.enforced():
            time.sleep(10)
        assert time.monotonic() < started + 5
        assert budget.remaining() < 0
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_work_that_is_done_in_time_is_left_alone():
    with Budget(60).enforced():
        pass
    with Budget().enforced():
        assert not Budget().limited
    assert 29 < Budget(60).remaining() <= 30
    assert 509 < Budget(600).remaining() <= 510


def test_ctrl_c_is_still_an_interrupt():
    with pytest.raises(KeyboardInterrupt), Budget(60).enforced():
        raise KeyboardInterrupt
