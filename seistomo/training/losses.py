"""What the optimizer minimizes: the published squared error or pseudo-Huber, with structure added.

All see velocity in scaled units and return the mean over samples.
"""

from functools import partial

from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.training.problem import Loss
from seistomo.training.scaling import SCALED_MINIMUM, VelocityScaling
from seistomo.training.scores import structural_similarity


def make_loss(config: TrainingConfig, scaling: VelocityScaling, data_range: float) -> Loss:
    """Return the loss asked for; ``data_range``, of SSIM, is maximum - minimum speed, m/s."""
    loss = squared_error
    if config.loss == "pseudo-huber":
        loss = partial(pseudo_huber, delta=config.huber_delta / scaling.span)
    if config.ssim_weight:
        return StructuralLoss(loss, config.ssim_weight, scaling, data_range)
    return loss


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error, summed over outputs and averaged over samples.

    Thiele et al. (2021), Eq. 9, in squared scaled units: times ``VelocityScaling.span``² it is
    in (m/s)². Arguments are scaled velocity [sample, depth, x].
    """
    return (outputs - targets).square().sum() / len(outputs)


def pseudo_huber(outputs: Tensor, targets: Tensor, delta: float) -> Tensor:
    """Return the sum of 2 δ² (√(1 + (r/δ)²) − 1) over outputs, averaged over samples.

    Eq. 9 for errors r well below δ, 2 δ |r| well above; convex and smooth (Charbonnier et al.
    1997, IEEE Trans. Image Processing 6). Arguments and ``delta`` are in scaled units.
    """
    squares = (outputs - targets).square()
    # The same without the difference of near numbers.
    return (2 * squares / (1 + (1 + squares / delta**2).sqrt())).sum() / len(outputs)


class StructuralLoss:
    """A loss and structural dissimilarity: loss + weight · pixels · (1 − SSIM).

    Over the number of pixels, that is the loss as a mean over pixels in scaled units plus
    ``weight`` times the mean of 1 − SSIM.
    """

    convex = False  # in the outputs: not for optimizers that need curvature

    def __init__(self, loss: Loss, weight: float, scaling: VelocityScaling, data_range: float):
        self._loss, self._weight, self._data_range = loss, weight, data_range / scaling.span
        # SSIM is not blind to a constant: it wants speeds that are zero at 0 m/s.
        self._shift = scaling.low / scaling.span - SCALED_MINIMUM

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        models = outputs + self._shift, targets + self._shift
        similarity = structural_similarity(*models, self._data_range).mean()
        dissimilarity = self._weight * outputs[0].numel() * (1 - similarity)
        return self._loss(outputs, targets) + dissimilarity
