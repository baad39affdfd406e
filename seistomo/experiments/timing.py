"""Times that can be compared: taken in turns, in one process."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch

from seistomo.progress import bar

Turn = Callable[[], float]
"""Does some work and returns the seconds that a unit of it took."""


def take_turns(
    candidates: Mapping[str, Turn], repeats: int, *, warm_up: bool = True, description: str = ""
) -> dict[str, list[float]]:
    """Return seconds of each candidate, a number a repeat, taken in turns.

    So whatever else the machine does hits all alike; in every other repeat the order is reversed.
    With ``warm_up`` each takes one more turn before, which does not count.
    """
    found: dict[str, list[float]] = {name: [] for name in candidates}
    total = len(candidates) * (repeats + warm_up)
    with bar(total=total, description=description, unit="turn", leave=False) as shown:
        for turn in candidates.values() if warm_up else ():
            turn()
            shown.update()
        for repeat in range(repeats):
            names = list(candidates) if repeat % 2 == 0 else list(reversed(candidates))
            for name in names:
                found[name].append(candidates[name]())
                shown.update()
    return found


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes, which waits for a GPU by itself."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def now(device: torch.device) -> float:
    """Return the time, in seconds, at which all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ratios(seconds: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return seconds in units of the reference's in the same repeat."""
    return [own / other for own, other in zip(seconds, reference, strict=True)]
