"""What the optimizer minimizes: the published squared error, or with structure added.

Both see velocity in scaled units. Structural similarity is that of `seistomo.training.scores`,
in torch: the same windows, the same valid region, the same data range.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.errors import InputError
from seistomo.optim import SGN, SQGN
from seistomo.training.normalization import SCALED_MINIMUM, VelocityScaling
from seistomo.training.scores import SSIM_WINDOW

SIGMA = 1.5
# Wang et al. (2004): constants against division by zero, as shares of the data range.
K1, K2 = 0.01, 0.03


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error, summed over outputs and averaged over samples.

    Thiele et al. (2021), Eq. 9, in squared scaled units: times ``VelocityScaling.span``² it is
    in (m/s)².

    Parameters
    ----------
    outputs, targets
        Scaled velocity [sample, depth, x].
    """
    return (outputs - targets).square().sum() / len(outputs)


class StructuralLoss:
    """Squared error and structural dissimilarity: Eq. 9 + weight · pixels · (1 − SSIM).

    Over the number of pixels, that is the mean squared error in scaled units plus ``weight``
    times the mean of 1 − SSIM. It is not convex in the outputs: without curvature alone.

    Parameters
    ----------
    weight
        Weight of the dissimilarity.
    scaling
        How velocity is scaled.
    data_range
        ``velocity.maximum - velocity.minimum`` of the data, m/s.
    """

    def __init__(self, weight: float, scaling: VelocityScaling, data_range: float):
        self._weight, self._data_range = weight, data_range / scaling.span
        # SSIM is not blind to a constant: it wants speeds that are zero at 0 m/s.
        self._shift = scaling.low / scaling.span - SCALED_MINIMUM
        self._record: list[Tensor] | None = None

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss for scaled velocity [sample, depth, x]."""
        similarity = structural_similarity(
            outputs + self._shift, targets + self._shift, self._data_range
        )
        error, pixels = squared_error(outputs, targets), outputs[0].numel()
        # Without gradients it is looked at, not minimized.
        if self._record is not None and torch.is_grad_enabled():
            self._record.append(error.detach() * len(outputs))
        return error + self._weight * pixels * (1 - similarity.mean())

    @contextmanager
    def recording(self) -> Iterator[list[Tensor]]:
        """Collect the squared error of each evaluation with gradients, summed over samples."""
        self._record = recorded = []
        try:
            yield recorded
        finally:
            self._record = None


def structural_similarity(prediction: Tensor, reference: Tensor, data_range: float) -> Tensor:
    """Return each sample's structural similarity index, differentiable.

    Equal to `seistomo.training.scores.structural_similarity`: Gaussian windows of 1.5 pixels cut
    at 11 pixels, population covariances, the mean over those windows that lie within the model.

    Parameters
    ----------
    prediction, reference
        [sample, depth, x], at least 11 by 11 pixels, in any unit whose zero is 0 m/s.
    data_range
        In the same unit.

    Returns
    -------
    Tensor
        [sample].
    """
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


def structural_loss(
    config: TrainingConfig, scaling: VelocityScaling, data_range: float
) -> StructuralLoss | None:
    """Return what the section ``[training]`` has minimized; None: the published squared error.

    Parameters
    ----------
    config
        The section.
    scaling
        How velocity is scaled.
    data_range
        ``velocity.maximum - velocity.minimum`` of the data, m/s.
    """
    if config.loss == "mse":
        return None
    return StructuralLoss(config.ssim_weight, scaling, data_range)


def check_loss(config: TrainingConfig, name: str, optimizer: torch.optim.Optimizer) -> None:
    """Refuse a loss that is not convex for optimizers that need curvature.

    Parameters
    ----------
    config
        The section ``[training]``.
    name, optimizer
        The optimizer as the configuration names it, and itself.

    Raises
    ------
    InputError
        Naming both.
    """
    if config.loss != "mse" and isinstance(optimizer, SGN | SQGN):
        raise InputError(
            f'training.loss = "{config.loss}": is not convex in the outputs, and optimizer {name}'
            ' needs curvature; use "mse", or a first-order optimizer (adam, sgd, svrg)'
        )


def _windowed(images: Tensor) -> Tensor:
    """Return Gaussian means over windows within the images, [..., depth - 10, x - 10].

    A sum of shifted images, not a convolution: those may be rounded to TF32 on a GPU.
    """
    radius = SSIM_WINDOW // 2
    window = [math.exp(-(place**2) / (2 * SIGMA**2)) for place in range(-radius, radius + 1)]
    for axis in (-2, -1):
        length = images.shape[axis] - 2 * radius
        shifted = [images.narrow(axis, start, length) for start in range(SSIM_WINDOW)]
        images = sum(w / sum(window) * image for w, image in zip(window, shifted, strict=True))
    return images
