"""Undoes a step after which the loss leaps, and keeps the next ones shorter.

Curvature that a few samples or old pairs have missed makes a step far too long now and then; what
follows such a step is mostly noise, and units that it has switched off do not come back.
"""

import math
from typing import Any

import torch
from torch import Tensor

# Batch losses whose median is the usual loss, and how many there must be at least.
_RECENT, _FEWEST = 10, 5
# Median distances from that median within which a loss is as usual as they are: six standard
# deviations where they are normal.
_SPREAD = 9.0
# What becomes of the length of an undone step, and then of the limit with each step that is kept.
_SHRINK, _GROW = 0.5, 1.25


class StepGuard:
    """Compares each batch's loss with the median of the last ten.

    A batch's loss is known before its step, so nothing is computed for it. Where it is more than
    ``factor`` times that median, and above it by more than batches differ anyway, the step before
    is taken back; a limit on the length of steps begins at half of it, and grows by a quarter with
    every step from there on. Nothing is taken back before there were five losses, nor two steps in
    a row. All work stays on the device of the loss.

    Parameters
    ----------
    factor
        Above 1; 0: no step is taken back.
    """

    def __init__(self, factor: float):
        self._factor = factor or math.inf

    def guarded(
        self, step: Tensor, loss: Tensor, memory: dict[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the step to take, [weight], its part of the plan, and whether it is the way back.

        Parameters
        ----------
        step
            What is planned, [weight].
        loss
            The batch's loss at the present weights.
        memory
            The optimizer's, which holds what is remembered under "guard".
        """
        state = memory.setdefault("guard", _fresh(step))
        recent, last, limit = state["losses"], state["last"], state["limit"]
        moved = torch.linalg.vector_norm(last)
        back = (loss > self._highest(recent)) & (moved > 0)
        length = torch.linalg.vector_norm(step)
        # 1 where there is no limit, so that nothing changes, not even rounding.
        part = torch.where(length > limit, limit / length, 1)
        taken = torch.where(back, -last, part * step)
        known = torch.cat([recent[1:], loss.to(recent.dtype).reshape(1)])
        moves = torch.isfinite(taken).all() & torch.isfinite(loss)
        state["limit"] = torch.where(back, _SHRINK * moved, _GROW * limit)
        state["losses"] = torch.where(back | ~torch.isfinite(loss), recent, known)
        state["last"] = torch.where(back, 0, torch.where(moves, taken, last))
        return taken, torch.where(back, 0, part), back

    def _highest(self, recent: Tensor) -> Tensor:
        """Return the highest usual loss."""
        known = (~recent.isnan()).sum()
        median = _median(recent, known)
        spread = _median((recent - median).abs(), known)
        margin = torch.maximum((self._factor - 1) * median.abs(), _SPREAD * spread)
        return torch.where(known < _FEWEST, torch.inf, median + margin)


def _median(values: Tensor, known: Tensor) -> Tensor:
    """Return the median of those that are not nan; unlike torch's without waiting for a GPU."""
    middle = ((known - 1) // 2).clamp(min=0)
    return values.sort().values.gather(0, middle.reshape(1))[0]


def _fresh(like: Tensor) -> dict[str, Tensor]:
    return {
        "losses": like.new_full((_RECENT,), torch.nan),
        "last": torch.zeros_like(like),
        "limit": like.new_full((), torch.inf),
    }
