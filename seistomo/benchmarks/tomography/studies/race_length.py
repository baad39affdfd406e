"""How long a run of the race is: as many epochs as fit into its seconds, measured on its first.

A cosine must know its end beforehand. So a run begins with an end that is far away, where a cosine
is as good as constant, until its pace is known; then the number of epochs is decided once, kept on
record, and the schedule goes on with it.
"""

import math
from collections.abc import Callable, Sequence

from seistomo.training import EpochRow

# Epochs, and share of the seconds, from which a pace is known.
PACE_EPOCHS, PACE_SHARE = 2, 0.05
# Share of the seconds that epochs are planned for: a run that gets slower is cut off near its end.
PLANNED = 0.95
FAR_AWAY = 100_000
"""Epochs of a run whose length is not decided."""

Stop = Callable[[Sequence[EpochRow]], bool]


def stop_at(seconds: float) -> Stop:
    """Return when to leave a run: at the last epoch that ends within its seconds."""

    def over(history: Sequence[EpochRow]) -> bool:
        done = history[-1].seconds
        return done + done / len(history) > seconds

    return over


def stop_at_pace(seconds: float) -> Stop:
    """Return when a run that is to have so many seconds has shown its pace."""

    def known(history: Sequence[EpochRow]) -> bool:
        done = history[-1].seconds
        return done >= seconds or (len(history) >= PACE_EPOCHS and done >= PACE_SHARE * seconds)

    return known


def epochs_that_fit(history: Sequence[EpochRow], seconds: float) -> int:
    """Return how many epochs a run is to have.

    Parameters
    ----------
    history
        Of its first epochs, up to where `stop_at_pace` ends it or beyond.
    seconds
        Optimizer time that it may take.

    Raises
    ------
    ValueError
        If the pace is not known yet.
    """
    known = stop_at_pace(seconds)
    for done in range(1, len(history) + 1):
        if known(history[:done]):
            return _planned(history[:done], seconds)
    raise ValueError("the run has not shown its pace")


def seconds_to(history: Sequence[EpochRow], loss: float) -> float:
    """Return the optimizer time at the end of the first epoch with so low a validation loss.

    Infinity if there is none.
    """
    return next((row.seconds for row in history if row.validation_loss <= loss), math.inf)


def _planned(history: Sequence[EpochRow], seconds: float) -> int:
    first, last = history[0], history[-1]
    if last.epoch == first.epoch:
        return last.epoch
    # The first epoch also warms up.
    pace = (last.seconds - first.seconds) / (last.epoch - first.epoch)
    more = math.floor((PLANNED * seconds - last.seconds) / pace)
    return last.epoch + max(0, more)
