"""Scaling of gathers at each use, on their device: for what is corrupted anew each epoch.

The same arithmetic as `GatherScaling`, on tensors.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from seistomo.training.mute import Positions
from seistomo.training.normalization import GatherScaling, time_gain


class LateScaling:
    """`GatherScaling` for tensors.

    Parameters
    ----------
    scaling
        What to do.
    device
        Where the gathers are.
    """

    def __init__(self, scaling: GatherScaling, device: torch.device):
        self._scaling, self._device = scaling, device
        self._mean = self._to_device(scaling.mean)
        self._gain = self._to_device(time_gain(scaling.mean.shape[-1], scaling.power))
        self._weights: Tensor | None = None
        if scaling.mute is not None:
            self._weights = self._to_device(scaling.mute.weights())

    def __call__(
        self, gathers: Tensor, positions: Sequence[Positions | None] | None = None
    ) -> Tensor:
        """Scale gathers as recorded, float32 [sample, source, receiver, time].

        ``positions``, for a mute: of each sample; see `Mute.weights`.
        """
        scaling = self._scaling
        if scaling.mute is not None:
            gathers = gathers * self._mute_weights(positions)
        if scaling.kind == "none":
            return gathers
        return (self._transformed(gathers) - self._mean) * (1 / scaling.deviation)

    def _transformed(self, gathers: Tensor) -> Tensor:
        kind = self._scaling.kind
        if kind == "asinh":
            return torch.asinh(gathers * (1 / self._scaling.softness))
        if kind == "trace":
            level = gathers.square().mean(dim=-1, keepdim=True, dtype=torch.float64).sqrt()
            return torch.where(level > 0, gathers / level.to(gathers.dtype), 0.0)
        return gathers * self._gain if kind == "gain" else gathers

    def _mute_weights(self, positions: Sequence[Positions | None] | None) -> Tensor:
        if positions is None or all(place is None for place in positions):
            return self._weights
        weights = np.stack([self._scaling.mute.weights(place) for place in positions])
        return self._to_device(weights)

    def _to_device(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self._device)
