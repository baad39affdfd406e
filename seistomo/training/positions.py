"""Where a sample's sources and receivers are, for what goes by it: a mute, the U-Net."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from seistomo.device import upload
from seistomo.networks.unet import position_channels

# ``source_x source_depth`` [source], ``receiver_x receiver_depth`` [receiver], m.
Positions = Mapping[str, np.ndarray]


def own_positions(
    positions: Sequence[Positions | None] | None, usual: Positions
) -> list[Positions] | None:
    """Return each sample's positions, the usual ones for None; None if all have those."""
    own = [usual if place is None else place for place in positions or ()]
    alike = all(np.array_equal(place[name], usual[name]) for place in own for name in usual)
    return None if alike else own


def positions_seen(place: Positions, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return x of sources and of receivers as a network sees them; see `UNet`."""
    return place["source_x"] / width - 0.5, place["receiver_x"] / width - 0.5


def network_inputs(gathers: Tensor, positions: Sequence[Positions] | None, width: float) -> Tensor:
    """Return what a network sees [sample, channel, source, receiver, time] of scaled gathers.

    One channel; with positions, in models of a width in m, the two of `position_channels` too.
    """
    if positions is None:
        return gathers.unsqueeze(1)
    seen = zip(*(positions_seen(place, width) for place in positions), strict=True)
    x = (torch.from_numpy(np.stack(each)) for each in seen)
    channels = upload(position_channels(*x), gathers.device).movedim(2, -1)
    channels = channels.expand(*gathers.shape, -1)
    # Channels last in memory, as the U-Net takes each shot.
    return torch.cat([gathers.float()[..., None], channels], dim=-1).permute(0, 4, 1, 2, 3)
