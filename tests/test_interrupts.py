"""Ctrl-C at the right moment."""

import os
import signal
import threading

import pytest

from seistomo.interrupts import interrupts_held, interrupts_noted, raise_if_interrupted


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def _python_handler():
    """Undo what a shell does to background jobs; notice handlers that are not put back."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_noted_interrupts_are_raised_once_where_the_code_looks():
    seen = []

    def block():
        with interrupts_noted():
            ctrl_c()
            ctrl_c()
            seen.append("goes on")
            try:
                raise_if_interrupted()
            finally:
                seen.append("tidies up")
                raise_if_interrupted()
                ctrl_c()
                seen.append("to the end")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert seen == ["goes on", "tidies up", "to the end"]


def test_what_nobody_looked_for_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        ctrl_c()
    raise_if_interrupted()
    with interrupts_noted():
        raise_if_interrupted()


def test_an_error_is_not_hidden_by_a_noted_interrupt():
    def block():
        with interrupts_noted():
            ctrl_c()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()


def test_held_interrupts_come_at_the_end_of_the_block():
    done = []

    def block():
        with interrupts_held():
            ctrl_c()
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == [1]


def test_inside_a_noting_block_nothing_is_held():
    done = []

    def block():
        with interrupts_noted():
            with interrupts_held():
                ctrl_c()
            done.append("not here")
            with interrupts_noted():
                done.append("nor at the end of a block inside")
            raise_if_interrupted()
            done.append("here")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert "here" not in done
    assert len(done) == 2


def test_other_threads_are_left_alone():
    failures = []

    def work():
        try:
            with interrupts_noted(), interrupts_held():
                raise_if_interrupted()
        except BaseException as error:
            failures.append(error)

    def block():
        with interrupts_noted():
            ctrl_c()
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

    with pytest.raises(KeyboardInterrupt):
        block()
    assert not failures
