"""Ctrl-C where it may not strike in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Noted:
    """The interrupts of the block of `interrupts_noted` that is running."""

    active = False
    came = False


@contextmanager
def interrupts_noted() -> Iterator[None]:
    """Only note Ctrl-C inside a ``with`` block; `raise_if_interrupted` raises it there, once.

    For work with threads and files that an exception at any line would leave half begun. However
    often the user presses Ctrl-C, tidying up takes its course.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if nothing in it has noticed.
    """
    if threading.current_thread() is not threading.main_thread() or _Noted.active:
        # Other threads than the main one get no signals.
        yield
        return
    before = signal.signal(signal.SIGINT, _note)
    _Noted.active, _Noted.came = True, False
    try:
        yield
        raise_if_interrupted()
    finally:
        _Noted.active = False
        signal.signal(signal.SIGINT, before)


def raise_if_interrupted() -> None:
    """Raise the Ctrl-C that came since the block of `interrupts_noted` began.

    Raises
    ------
    KeyboardInterrupt
        In the main thread.
    """
    if _Noted.active and _Noted.came and threading.current_thread() is threading.main_thread():
        _Noted.came = False
        raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Put off Ctrl-C to the end of a ``with`` block, or of a block of `interrupts_noted` around it.

    Code that is called from C, by HDF5 say, must not be left by an exception.
    """
    if threading.current_thread() is not threading.main_thread() or _Noted.active:
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            raise KeyboardInterrupt


def _note(number: int, frame: object) -> None:
    _Noted.came = True
