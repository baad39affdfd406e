"""What the optimizer minimizes: the published squared error, or with structure added.

Both see velocity in scaled units and return the mean over samples.
"""

from torch import Tensor

from seistomo.training.scaling import SCALED_MINIMUM, VelocityScaling
from seistomo.training.scores import structural_similarity


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error, summed over outputs and averaged over samples.

    Thiele et al. (2021), Eq. 9, in squared scaled units: times ``VelocityScaling.span``² it is
    in (m/s)². Arguments are scaled velocity [sample, depth, x].
    """
    return (outputs - targets).square().sum() / len(outputs)


class StructuralLoss:
    """Squared error and structural dissimilarity: Eq. 9 + weight · pixels · (1 − SSIM).

    Over the number of pixels, that is the mean squared error in scaled units plus ``weight``
    times the mean of 1 − SSIM; ``data_range`` is ``velocity.maximum - velocity.minimum``, m/s.
    """

    convex = False  # in the outputs: not for optimizers that need curvature

    def __init__(self, weight: float, scaling: VelocityScaling, data_range: float):
        self._weight, self._data_range = weight, data_range / scaling.span
        # SSIM is not blind to a constant: it wants speeds that are zero at 0 m/s.
        self._shift = scaling.low / scaling.span - SCALED_MINIMUM

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        models = outputs + self._shift, targets + self._shift
        similarity = structural_similarity(*models, self._data_range).mean()
        dissimilarity = self._weight * outputs[0].numel() * (1 - similarity)
        return squared_error(outputs, targets) + dissimilarity
