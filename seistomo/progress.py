"""Progress bars and messages, all on standard error, which may break without a harm to the work."""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from seistomo.errors import shortened

# Bars are drawn by one process; tqdm's lock between processes outlives a killed one.
tqdm.set_lock(threading.RLock())

# Seconds between the lines of a bar in a log file.
LOG_INTERVAL = 30.0
_quiet = False


class _StandardError:
    """``sys.stderr`` as it is now; where it is closed, full or broken, nothing is written."""

    def write(self, text: str) -> int:
        self._try(lambda: sys.stderr.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda: sys.stderr.flush())

    def isatty(self) -> bool:
        return bool(self._try(lambda: sys.stderr.isatty()))

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    @staticmethod
    def _try(action: Any) -> Any:
        try:
            return action()
        except (AttributeError, ValueError):  # None or closed.
            return None
        except OSError:
            if sys.stderr is sys.__stderr__:
                # What is buffered must not fail again when the program ends.
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            return None


_stderr = _StandardError()


def set_quiet(quiet: bool) -> None:
    """Turn progress bars and messages off (or on again) for this process."""
    global _quiet
    _quiet = quiet


def say(message: str, *, always: bool = False) -> None:
    """Print one message above any progress bar, unless quiet."""
    if always or not _quiet:
        tqdm.write(message, file=_stderr)


def warn(message: str) -> None:
    """Print one warning; quiet does not silence it."""
    say(shortened(f"warning: {message}"), always=True)


def flush() -> None:
    """Write what is buffered; a stream that breaks then must not change the exit status."""
    _stderr.flush()


def counted(number: int, what: str, plural: str = "") -> str:
    """Return a number of things in words: "1 model", "2 models", "3 pairs of files"."""
    return f"{number} {what if number == 1 else plural or what + 's'}"


def duration(seconds: float) -> str:
    """Return a time span in the unit that suits it."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


class _LogBar(tqdm):
    """A bar in a log file: a line of its own now and then, and at the end."""

    _told = 0.0

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self._told = self._told or time.monotonic()
        if msg is None and time.monotonic() - self._told >= LOG_INTERVAL:
            self._line()

    def clear(self, nolock: bool = False) -> None:
        """Leave the lines that are there."""

    def close(self) -> None:
        if not self.disable and self.leave:
            self._line()
        self.leave = False
        super().close()

    def _line(self) -> None:
        self._told = time.monotonic()
        self.fp.write(f"{self}\n")


def bar(
    iterable: Iterable | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    description: str = "",
    unit: str = "it",
    leave: bool = True,
) -> tqdm:
    """Return a tqdm progress bar with the time left; without an iterable, call its ``update``.

    ``initial`` steps of ``total`` were done before; ``leave`` keeps the finished bar on the screen.
    """
    screen = _stderr.isatty()
    kind = tqdm if screen else _LogBar
    return kind(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        leave=leave,
        disable=_quiet,
        file=_stderr,
        dynamic_ncols=screen,
        mininterval=0.2 if screen else 5.0,
        bar_format=None
        if screen
        else "{l_bar}{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]",
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Silence progress inside a ``with`` block (tests, nested calls)."""
    before = _quiet
    set_quiet(True)
    try:
        yield
    finally:
        set_quiet(before)
