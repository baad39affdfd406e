"""Ctrl-C, and SIGTERM that schedulers send, where they may not strike in the middle."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _State:
    """What came, and whether a block of `interrupts_noted` is running."""

    # A signal came to the command line: a library may have swallowed it while it was loaded.
    struck = False
    active = False
    noted = False
    second_strikes = False
    # "interrupted" or "terminated" once a signal has come.
    word = ""


def handle_signals() -> None:
    """Raise KeyboardInterrupt at SIGTERM too, in this process alone, and remember what came."""
    owner = os.getpid()
    _State.word, _State.struck = "", False

    def terminate(number: int, frame: object) -> None:
        if os.getpid() != owner:
            # A worker process ends as if nobody had asked.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
            return
        _State.word = "terminated"
        handler = signal.getsignal(signal.SIGINT)
        # A shell's background job ignores Ctrl-C.
        (handler if callable(handler) else _strike)(number, frame)

    signal.signal(signal.SIGTERM, terminate)
    if callable(signal.getsignal(signal.SIGINT)):
        signal.signal(signal.SIGINT, _strike)


def signal_word() -> str:
    """Return "interrupted" or "terminated" once such a signal has come."""
    return _State.word


@contextmanager
def interrupts_noted(second_strikes: bool = False) -> Iterator[None]:
    """Only note Ctrl-C inside a ``with`` block; `raise_if_interrupted` raises it there, once.

    For work with threads and files that an exception at any line would leave half begun. However
    often the user presses Ctrl-C, tidying up takes its course; with ``second_strikes`` only the
    first is noted. What nothing in the block has noticed is raised at its end.
    """
    if threading.current_thread() is not threading.main_thread() or _State.active:
        # Other threads than the main one get no signals.
        yield
        return
    if _State.struck:
        raise KeyboardInterrupt
    before = signal.signal(signal.SIGINT, _note)
    _State.active, _State.noted, _State.second_strikes = True, False, second_strikes
    try:
        yield
        raise_if_interrupted()
    finally:
        _State.active = False
        signal.signal(signal.SIGINT, before)


def raise_if_interrupted() -> None:
    """Raise, in the main thread, the Ctrl-C that came in the block of `interrupts_noted`."""
    if _State.active and _State.noted and threading.current_thread() is threading.main_thread():
        _State.noted = False
        raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Put off Ctrl-C to the end of a ``with`` block, or of a block of `interrupts_noted` around it.

    Code that is called from C, by HDF5 say, must not be left by an exception.
    """
    if threading.current_thread() is not threading.main_thread() or _State.active:
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            _raise(signal.SIGINT, None)


def _note(number: int, frame: object) -> None:
    if _State.noted and _State.second_strikes:
        _raise(number, frame)
    _State.noted = True
    _State.word = _State.word or "interrupted"


def _strike(number: int, frame: object) -> None:
    _State.struck = True
    _raise(number, frame)


def _raise(number: int, frame: object) -> None:
    _State.word = _State.word or "interrupted"
    raise KeyboardInterrupt
