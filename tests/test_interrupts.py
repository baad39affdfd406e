"""Ctrl-C and SIGTERM at the right moment."""

import os
import signal
import threading

import pytest

from seistomo.interrupts import (
    handle_signals,
    interrupts_held,
    interrupts_noted,
    raise_if_interrupted,
    signal_word,
)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def strike(request):
    """Return a call that sends the signal here; handlers that are not put back are noticed."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    handle_signals()
    handlers = [signal.getsignal(number) for number in signals]
    yield lambda: os.kill(os.getpid(), request.param)
    assert [signal.getsignal(number) for number in signals] == handlers
    handle_signals()
    for number, handler in zip(signals, before, strict=True):
        signal.signal(number, handler)


def test_a_signal_is_an_interrupt_of_its_name(strike):
    with pytest.raises(KeyboardInterrupt):
        strike()
    assert signal_word() in ("interrupted", "terminated")


def test_noted_interrupts_are_raised_once_where_the_code_looks(strike):
    seen = []

    def block():
        with interrupts_noted():
            strike()
            strike()
            seen.append("goes on")
            try:
                raise_if_interrupted()
            finally:
                seen.append("tidies up")
                raise_if_interrupted()
                strike()
                seen.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert seen == ["goes on", "tidies up", "to the end"]


def test_what_nobody_looked_for_is_raised_at_the_end_alone(strike):
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        strike()
    raise_if_interrupted()
    with interrupts_noted():
        raise_if_interrupted()

    def block():
        with interrupts_noted():
            strike()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


@pytest.mark.parametrize("outer", [False, True])
def test_held_interrupts_come_at_the_end_of_the_outermost_block(strike, outer):
    done = []

    def block():
        with interrupts_held():
            strike()
            done.append("inside")
        done.append("after")

    def noting():
        with interrupts_noted():
            block()
            with interrupts_noted():
                done.append("nor at the end of a block inside")

    with pytest.raises(KeyboardInterrupt):
        noting() if outer else block()
    assert len(done) == (3 if outer else 1)


def test_other_threads_are_left_alone(strike):
    failures = []

    def work():
        try:
            with interrupts_noted(), interrupts_held():
                raise_if_interrupted()
        except BaseException as error:
            failures.append(error)

    def block():
        with interrupts_noted():
            strike()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    with pytest.raises(KeyboardInterrupt):
        block()
    assert not failures
