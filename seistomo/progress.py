"""Progress bars and messages, all on standard error."""

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

# Bars are drawn by one process; tqdm's lock between processes outlives a killed one.
tqdm.set_lock(threading.RLock())

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Turn progress bars and messages off (or on again) for this process."""
    global _quiet
    _quiet = quiet


def say(message: str) -> None:
    """Print one message on standard error, above any progress bar, unless quiet."""
    if not _quiet:
        tqdm.write(message, file=sys.stderr)


def warn(message: str) -> None:
    """Print one warning on standard error; quiet does not silence it."""
    tqdm.write(f"warning: {message}", file=sys.stderr)


def counted(number: int, what: str, plural: str = "") -> str:
    """Return a number of things in words: "1 model", "2 models", "3 pairs of files"."""
    return f"{number} {what if number == 1 else plural or what + 's'}"


def bar(
    iterable: Iterable | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    description: str = "",
    unit: str = "it",
    leave: bool = True,
) -> tqdm:
    """Return a tqdm progress bar on standard error with the time left.

    Parameters
    ----------
    iterable
        What to iterate over; without one, call ``update`` on the result.
    total, initial
        Number of steps in all, and how many are already done (after a resume).
    description, unit
        What is counted.
    leave
        Whether the finished bar stays on the screen.
    """
    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=description,
        unit=unit,
        leave=leave,
        disable=_quiet,
        file=sys.stderr,
        dynamic_ncols=True,
        mininterval=0.2 if sys.stderr.isatty() else 5.0,
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
