"""Distance and likeness between predicted and true velocity models."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from seistomo.errors import InputError

# Wang et al. (2004): a Gaussian window of 1.5 pixels, cut at 3.5 standard deviations, hence 11
# pixels wide; constants against division by zero, as shares of the data range.
SIGMA, RADIUS = 1.5, 5
K1, K2 = 0.01, 0.03


def mean_squared_error(prediction: Tensor, reference: Tensor) -> Tensor:
    """Return each sample's mean squared error, float64 [sample], of velocity [sample, depth, x].

    Tensors, or arrays, which give an array.
    """
    if isinstance(prediction, np.ndarray):
        return mean_squared_error(*_tensors(prediction, reference)).numpy()
    return (prediction.double() - reference).square().mean(dim=(1, 2))


def structural_similarity(prediction: Tensor, reference: Tensor, data_range: float) -> Tensor:
    """Return each sample's structural similarity index (Wang et al. 2004), differentiable.

    That of scikit-image with Gaussian windows of 1.5 pixels and population covariances: the mean
    over those windows that lie within the model. Velocity is [sample, depth, x], at least 11 by 11
    nodes, in any unit whose zero is 0 m/s: tensors, or arrays, which give a float64 array.
    ``data_range`` is the configuration's ``velocity.maximum - velocity.minimum`` in that unit;
    never observed extremes, which would make scores of different samples incomparable.
    """
    if min(prediction.shape[1:]) < 2 * RADIUS + 1:
        raise InputError(
            f"velocity.shape = {list(prediction.shape[1:])}: structural similarity needs at least"
            f" {2 * RADIUS + 1} nodes both ways"
        )
    if isinstance(prediction, np.ndarray):
        return structural_similarity(*_tensors(prediction, reference), data_range).numpy()
    # Variances do not depend on a constant; without one they do not drown in rounding.
    middle = reference.mean(dim=(1, 2), keepdim=True)
    p, r = prediction - middle, reference - middle
    images = torch.stack([p, r, p.square(), r.square(), p * r])
    mean_p, mean_r, square_p, square_r, product = _windowed(images)
    variances = square_p - mean_p.square() + square_r - mean_r.square()
    covariance = product - mean_p * mean_r
    mean_p, mean_r = mean_p + middle, mean_r + middle
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance = (2 * mean_p * mean_r + c1) / (mean_p.square() + mean_r.square() + c1)
    return (luminance * (2 * covariance + c2) / (variances + c2)).mean(dim=(1, 2))


def _tensors(*models: np.ndarray) -> Iterator[Tensor]:
    return (torch.tensor(model, dtype=torch.float64) for model in models)


def _windowed(images: Tensor) -> Tensor:
    """Return Gaussian means over windows within the images, [..., depth - 10, x - 10].

    A sum of shifted images, not a convolution: those may be rounded to TF32 on a GPU.
    """
    window = [math.exp(-(place**2) / (2 * SIGMA**2)) for place in range(-RADIUS, RADIUS + 1)]
    first, *others = (weight / sum(window) for weight in window)
    for axis in (-2, -1):
        length = images.shape[axis] - 2 * RADIUS
        means = first * images.narrow(axis, 0, length)
        for start, weight in enumerate(others, 1):
            means.add_(images.narrow(axis, start, length), alpha=weight)
        images = means
    return images
