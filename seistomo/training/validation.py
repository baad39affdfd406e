"""Scores of the network on one split during training."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from seistomo.dataset import DatasetReader
from seistomo.training.data import SplitData
from seistomo.training.normalization import Normalization
from seistomo.training.scores import mean_squared_error, structural_similarity


@dataclass(frozen=True)
class Scores:
    """Mean scores over a split.

    Attributes
    ----------
    loss
        Squared error summed over pixels, averaged over samples, (m/s)² (Eq. 9).
    mse
        Mean squared error over pixels and samples, (m/s)².
    ssim
        Mean structural similarity.
    dead_pixels
        Share of the pixels that the network's last ReLU leaves zero for every sample.
    """

    loss: float
    mse: float
    ssim: float
    dead_pixels: float


@torch.no_grad()
def score_split(
    network: nn.Module,
    split: SplitData,
    data: DatasetReader,
    normalization: Normalization,
    micro_batch: int,
) -> Scores:
    """Score a network on a split, which the split's processes share.

    Parameters
    ----------
    network
        Maps scaled gathers to scaled velocity.
    split
        The samples.
    data
        Their data set; its velocity bounds are the range of the SSIM.
    normalization
        The run's scalings.
    micro_batch
        Samples forwarded at once.
    """
    bounds = data.config.velocity
    own, together = split.processes.share(len(split)), split.processes
    groups = [own[first : first + micro_batch] for first in range(0, len(own), micro_batch)]
    squares, similarities = [np.empty(0)], [np.empty(0)]
    alive = torch.zeros(data.velocity_shape, dtype=torch.bool)
    for rows, batch in zip(groups, split.batches(groups), strict=True):
        inputs, _ = batch.take(torch.arange(len(batch)))
        outputs = network(inputs)
        alive |= (outputs > 0).any(dim=0).cpu()
        predicted = normalization.velocity.unscale(outputs.cpu().numpy())
        reference = data.read_velocity(split.samples[rows])
        squares.append(mean_squared_error(predicted, reference))
        similarities.append(
            structural_similarity(predicted, reference, bounds.maximum - bounds.minimum)
        )
    alive = together.any_of(alive)
    mse = float(together.gathered(np.concatenate(squares), len(split)).mean())
    return Scores(
        loss=mse * alive.numel(),
        mse=mse,
        ssim=float(together.gathered(np.concatenate(similarities), len(split)).mean()),
        dead_pixels=1 - float(alive.float().mean()),
    )
