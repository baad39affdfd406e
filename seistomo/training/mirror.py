"""Mirror images of samples: where the survey is symmetric, each pair has a twin for free.

Turning the earth around swaps left and right in the model, and the order of sources and of
receivers in the gathers. Which samples are mirrored is fixed by (seed, epoch, sample): a batch
that is evaluated twice is the same batch.
"""

import numpy as np
import torch
from torch import Tensor

from seistomo.dataset import DatasetReader
from seistomo.errors import InputError


def mirrored_rows(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return which of ``count`` samples are mirrored in an epoch, bool [sample]."""
    return np.random.default_rng([seed, epoch, 1]).random(count) < 0.5


def mirror(gathers: Tensor, velocity: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror some samples.

    Parameters
    ----------
    gathers, velocity
        [sample, source, receiver, time] and [sample, depth, x].
    which
        bool [sample].
    """
    turned = torch.where(which[:, None, None, None], gathers.flip(1, 2), gathers)
    return turned, torch.where(which[:, None, None], velocity.flip(2), velocity)


def check_symmetric(data: DatasetReader, key: str = "training.mirror") -> None:
    """Refuse a survey that is not its own mirror image about the middle of the model.

    Parameters
    ----------
    data
        The data set.
    key
        The setting that asks for mirror images.

    Raises
    ------
    InputError
        Naming what is not symmetric.
    """
    width = float(data.x[0] + data.x[-1])
    survey = data.read_survey(0)
    for kind in ("source", "receiver"):
        x, depth = survey[f"{kind}_x"], survey[f"{kind}_depth"]
        same = np.allclose(x, width - x[::-1], atol=1e-6 * width) and np.allclose(
            depth, depth[::-1]
        )
        if not same:
            raise InputError(
                f"{key} = true: the {kind}s of {data.path} are not symmetric about"
                f" x = {width / 2:g} m; set it to false"
            )
