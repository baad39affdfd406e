"""A limit of time that work keeps to: it plans by it, and is interrupted where a plan was wrong."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

# Part of the time that is kept for scores, tables and figures, and seconds that they take at least.
KEPT, KEPT_SECONDS = 0.15, 30.0
# Part of the rest that is planned for: paces change.
PLANNED = 0.9
# Loading data and building a run may take this part of a round.
LOADING = 0.1


class TimeIsUpError(Exception):
    """The time is over; what was finished is kept."""


class Budget:
    """Seconds that a command may take, from now on.

    Parameters
    ----------
    seconds
        How many; infinite: no limit.
    """

    def __init__(self, seconds: float = math.inf):
        self.seconds = seconds
        self._started = time.monotonic()

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return math.isfinite(self.seconds)

    def remaining(self) -> float:
        """Return the seconds left for work, those for scores and tables set aside."""
        if not self.limited:
            return math.inf
        kept = max(KEPT * self.seconds, min(KEPT_SECONDS, self.seconds / 2))
        return self.seconds - kept - (time.monotonic() - self._started)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Interrupt the work inside a ``with`` block, as Ctrl-C does, when the time is over.

        Raises
        ------
        TimeIsUpError
            In place of that interrupt.
        """
        if not self.limited:
            yield
            return
        if self.remaining() <= 0:
            raise TimeIsUpError
        with _interruptible():
            alarm = _Alarm()
            timer = threading.Timer(self.remaining(), alarm.ring)
            timer.daemon = True
            try:
                try:
                    timer.start()
                    yield
                finally:
                    timer.cancel()
                    # An interrupt that is on its way arrives here, and is swallowed here.
                    with suppress(KeyboardInterrupt):
                        alarm.silence()
            except KeyboardInterrupt:
                if alarm.rang:
                    raise TimeIsUpError from None
                raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take interrupts inside a ``with`` block where the shell has them ignored (``command &``)."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    ):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Alarm:
    """Sends this process an interrupt, at most once and never after it was silenced."""

    def __init__(self) -> None:
        self.rang = self._silent = False
        self._lock = threading.Lock()

    def ring(self) -> None:
        with self._lock:
            if not self._silent:
                self.rang = True
                os.kill(os.getpid(), signal.SIGINT)

    def silence(self) -> None:
        with self._lock:
            self._silent = True
        # Time for Python to raise what was sent a moment ago.
        time.sleep(0.01)


@dataclass(frozen=True)
class Pace:
    """What a run costs.

    Attributes
    ----------
    loading
        Seconds from its call to its first step, and from its last to the end.
    epoch
        Seconds an epoch, with validation and checkpoint.
    """

    loading: float
    epoch: float


def next_level(
    levels: Mapping[str, int], paces: Mapping[str, Pace], epochs: int, remaining: float
) -> int | None:
    """Return the number of epochs that all runs are to reach next; None: there is no more.

    Runs that are behind catch up first. Then a round gives each as many more, so many that
    loading is a small part of it, and no more than there is time for. Without paces it is one.

    Parameters
    ----------
    levels
        Epochs done by each run.
    paces
        What each costs, as far as it is known.
    epochs
        How many there are to be.
    remaining
        Seconds left.
    """
    lowest, highest = min(levels.values()), max(levels.values())
    if lowest >= epochs or remaining <= 0:
        return None
    if lowest < highest:
        return min(highest, epochs)
    if any(name not in paces for name in levels):
        return lowest + 1
    known = [paces[name] for name in levels]
    more = _epochs_that_fit(known, remaining)
    if more < 1:
        return None
    loading, epoch = sum(p.loading for p in known), sum(p.epoch for p in known)
    group = max(1, math.ceil((1 / LOADING - 1) * loading / epoch))
    return min(epochs, lowest + (more if more < 2 * group else group))


def _epochs_that_fit(paces: Sequence[Pace], remaining: float) -> int:
    loading, epoch = sum(p.loading for p in paces), sum(p.epoch for p in paces)
    return math.floor((PLANNED * remaining - loading) / epoch)
