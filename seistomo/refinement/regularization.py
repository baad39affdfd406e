"""What is asked of a model beside that it explains the data: smoothness, or few edges."""

import torch
from torch import Tensor

# Total variation is smoothed below this slope, (m/s)/m.
SLOPE = 0.1


class Regularization:
    """A weight times a mean over the nodes of the model's slope |∇m|, (m/s)/m.

    ``tikhonov``: ½ |∇m|²; ``tv``: √(|∇m|² + ε²) − ε, total variation. Differences are those
    between neighbouring nodes, forward along each axis, zero across the far edges.
    """

    def __init__(self, kind: str, weight: float, spacing: float):
        self._kind, self._spacing = kind, spacing
        self.weight = 0.0 if kind == "none" else weight

    def value(self, model: Tensor) -> float:
        """Return the term of a model [depth, x], m/s."""
        squared = _squared(self._slopes(model))
        if self._kind == "tikhonov":
            return self.weight * float(squared.mean()) / 2
        return self.weight * float(((squared + SLOPE**2).sqrt() - SLOPE).mean())

    def gradient(self, model: Tensor) -> Tensor:
        """Return its gradient [depth, x]."""
        return self.product(model, model)

    def product(self, model: Tensor, vector: Tensor) -> Tensor:
        """Return its Gauss-Newton matrix at a model times a vector [depth, x].

        For total variation the one of its lagged weights, 1 / √(|∇m|² + ε²); at the model itself
        it gives the gradient.
        """
        slopes = self._slopes(vector)
        if self._kind == "tv":
            squared = _squared(self._slopes(model))
            slopes = [slope / (squared + SLOPE**2).sqrt() for slope in slopes]
        result = torch.zeros_like(model)
        for axis, slope in enumerate(slopes):
            result -= slope
            result += slope.roll(1, dims=axis)
        return result * (self.weight / (self._spacing * model.numel()))

    def _slopes(self, model: Tensor) -> list[Tensor]:
        """Return the slopes down and across [depth, x], zero behind the last node."""
        slopes = []
        for axis in (0, 1):
            slope = (model.roll(-1, dims=axis) - model) / self._spacing
            slope.select(axis, -1).zero_()
            slopes.append(slope)
        return slopes


def _squared(slopes: list[Tensor]) -> Tensor:
    return slopes[0] ** 2 + slopes[1] ** 2
