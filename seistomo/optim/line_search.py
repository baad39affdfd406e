"""Backtracking line search for the sufficient-decrease condition."""

import math
from collections.abc import Callable
from dataclasses import dataclass

ACCEPTED = "accepted"
NO_DESCENT = "no_descent"
FAILED = "failed"


@dataclass(frozen=True)
class LineSearchResult:
    """What the line search settled on.

    Attributes
    ----------
    length
        Step length, as a fraction of the step that was asked for; 0 where none will do.
    loss
        Loss there.
    evaluations
        Losses that were evaluated.
    status
        ``accepted``; ``no_descent``: the slope is not negative; ``failed``: no length would do.
    """

    length: float
    loss: float
    evaluations: int
    status: str


def backtrack(
    loss_at: Callable[[float], float],
    loss: float,
    slope: float,
    *,
    sufficient_decrease: float = 1e-4,
    factor: float = 0.5,
    max_reductions: int = 10,
) -> LineSearchResult:
    """Shorten a step until the loss falls enough.

    Nocedal and Wright (2006), "Numerical Optimization", Algorithm 3.1: the first length t among
    1, factor, factor², ... with f(t) ≤ f(0) + c t slope (Armijo's condition, Eq. 3.4). The
    constants' defaults are those of Gargiani et al.'s code. Where no length will do the answer
    is no step at all: their code takes the last one, even if the loss rises.

    Parameters
    ----------
    loss_at
        Step length ↦ loss of the same samples; what is not finite counts as too much.
    loss
        f(0).
    slope
        f'(0) = gᵀs for the whole step s, of the same samples: negative.
    sufficient_decrease
        c.
    factor
        By which the length is reduced.
    max_reductions
        How often, at most.
    """
    if not slope < 0:
        return LineSearchResult(0.0, loss, 0, NO_DESCENT)
    length = 1.0
    for evaluations in range(1, max_reductions + 2):
        trial = loss_at(length)
        if math.isfinite(trial) and trial <= loss + sufficient_decrease * length * slope:
            return LineSearchResult(length, trial, evaluations, ACCEPTED)
        length *= factor
    return LineSearchResult(0.0, loss, evaluations, FAILED)
