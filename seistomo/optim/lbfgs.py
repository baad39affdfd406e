"""Limited-memory BFGS: a history of curvature pairs that stands for an inverse Hessian.

A pair (s, v) says that the Hessian B takes the step s to v = B s. What a history stands for does
not depend on the pairs' lengths: best store them with |s| = 1, since the squares of short steps
vanish in float32.
"""

import math
from typing import Any

import torch
from torch import Tensor

# sᵀv must exceed |s| |v| times this many units of rounding, or its sign is chance.
_ROUNDING_UNITS = 10.0
_COLUMNS = 2**20


class PairHistory:
    """The newest curvature pairs, at most so many, and H ≈ B⁻¹ made of them.

    It wraps a state of tensors and numbers that its owner keeps, so that it can be saved: what
    `PairHistory.new` has made. All its work stays on the pairs' device.
    """

    def __init__(self, state: dict[str, Any]):
        self.state = state

    @staticmethod
    def new(length: int, like: Tensor) -> dict[str, Any]:
        """Return the state of an empty history of L pairs like a vector [weight]."""
        return {
            "steps": like.new_zeros(length, len(like)),
            "changes": like.new_zeros(length, len(like)),
            "products": like.new_zeros(length, length),
            "scales": like.new_zeros(length),
            "stored": 0,
        }

    def __len__(self) -> int:
        return min(self.state["stored"], len(self.state["steps"]))

    def store(self, step: Tensor, change: Tensor) -> None:
        """Store s and v = B s, [weight]; where the history is full the oldest pair goes."""
        slot = self.state["stored"] % len(self.state["steps"])
        self.state["steps"][slot] = step
        self.state["changes"][slot] = change
        self.state["products"][:, slot] = self.state["steps"] @ change
        self.state["scales"][slot] = step.dot(change) / change.dot(change)
        self.state["stored"] += 1

    def drop_newest(self) -> None:
        """Forget the pair that was stored last."""
        state, length = self.state, len(self.state["steps"])
        if state["stored"] > length:
            # The pair that it took the place of is gone: oldest first, as in a ring never filled.
            turn = -(state["stored"] % length)
            for name in ("steps", "changes"):
                _roll_rows(state[name], turn)
            state["products"] = state["products"].roll((turn, turn), (0, 1))
            state["scales"] = state["scales"].roll(turn)
            state["stored"] = length
        state["stored"] -= 1

    def initial_scale(self) -> Tensor:
        """Return the scale of H₀ = scale · I: the mean of sᵀv / vᵀv over the pairs."""
        return self.state["scales"][: len(self)].mean()

    def inverse_product(self, vector: Tensor) -> Tensor:
        """Return H times a vector [weight] (Schraudolph et al. 2007, Algorithm 3, steps 2-4).

        The two loops over the pairs are two triangular systems: with R the upper triangle of
        the products s_iᵀ v_j, oldest pair first, and S and V the pairs as rows, the first loop
        finds a from R a = S g; with q = H₀ (g - Vᵀ a) the second finds c from
        Rᵀ c = diag(R) a - V q; then H g = q + Sᵀ c.
        """
        count, stored = len(self), self.state["stored"]
        steps, changes = self.state["steps"][:count], self.state["changes"][:count]
        oldest = stored % count  # 0 until the ring is full
        upper = self.state["products"][:count, :count].roll((-oldest, -oldest), (0, 1)).triu()

        first = _solve(upper, (steps @ vector).roll(-oldest), upper=True)
        kept = self.initial_scale() * (vector - first.roll(oldest) @ changes)
        right = upper.diagonal() * first - (changes @ kept).roll(-oldest)
        second = _solve(upper.T, right, upper=False)
        return kept + second.roll(oldest) @ steps


def _roll_rows(rows: Tensor, turn: int) -> None:
    """Roll rows in place, some columns at a time: a second history may not fit into memory."""
    for part in rows.split(_COLUMNS, dim=1):
        part.copy_(part.roll(turn, 0))


def unit_vector(vector: Tensor) -> Tensor:
    """Return a vector [weight] at length 1, without underflow on the way; zero stays zero."""
    largest = vector.abs().max()
    scaled = vector / torch.where(largest > 0, largest, 1)
    length = torch.linalg.vector_norm(scaled)
    return scaled / torch.where(length > 0, length, 1)


def pair_measures(step: Tensor, change: Tensor) -> Tensor:
    """Return what decides whether a pair is safe, [measure]: |s|, |v| and sᵀv."""
    norms = [torch.linalg.vector_norm(vector) for vector in (step, change)]
    return torch.stack([*norms, step.dot(change)])


def refusal(measures: list[float], dtype: torch.dtype) -> str | None:
    """Return why a pair with these `pair_measures` must not be stored; None for a safe one."""
    step, change, product = measures
    if not all(map(math.isfinite, measures)):
        return "not finite"
    if step == 0:
        return "no step"
    if product <= _ROUNDING_UNITS * torch.finfo(dtype).eps * step * change:
        return "no positive curvature along the step"
    return None


def _solve(triangle: Tensor, right: Tensor, *, upper: bool) -> Tensor:
    return torch.linalg.solve_triangular(triangle, right[:, None], upper=upper)[:, 0]
