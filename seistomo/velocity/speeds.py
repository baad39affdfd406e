"""Speeds of layers, drawn uniformly from a range and put in order."""

import numpy as np

# Closer speeds (m/s) would make one layer of two neighbours.
LEAST_CONTRAST = 50.0


def rising_speeds(rng: np.random.Generator, count: int, ends: tuple[float, float]) -> np.ndarray:
    """Draw ``count`` speeds between ``ends`` (m/s), each faster than the one before.

    They are uniform but for a gap of `LEAST_CONTRAST`, or of half of what the range gives each.

    Returns
    -------
    Speeds [layer], m/s.
    """
    low, high = ends
    gap = min(LEAST_CONTRAST, 0.5 * (high - low) / max(count - 1, 1))
    drawn = np.sort(rng.uniform(low, high - gap * (count - 1), count))
    return np.minimum(drawn + gap * np.arange(count), high)


def out_of_order(rng: np.random.Generator, speeds: np.ndarray) -> np.ndarray:
    """Shuffle rising ``speeds`` [layer], at least two, into any order that does not rise."""
    shuffled = rng.permutation(speeds)
    while np.all(np.diff(shuffled) > 0):
        shuffled = rng.permutation(speeds)
    return shuffled
