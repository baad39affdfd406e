"""Distance and likeness between predicted and reference velocity models."""

import numpy as np
from skimage.metrics import structural_similarity as _structural_similarity

from seistomo.errors import InputError

# The Gaussian window of 1.5 pixels, cut at 3.5 standard deviations, is 11 pixels wide.
SSIM_WINDOW = 11


def mean_squared_error(prediction: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return each sample's mean squared error over its pixels.

    Parameters
    ----------
    prediction, reference
        Velocity [sample, depth, x], m/s.

    Returns
    -------
    np.ndarray
        float64 [sample], (m/s)².
    """
    difference = prediction.astype(np.float64) - reference
    return np.square(difference).mean(axis=(1, 2))


def structural_similarity(
    prediction: np.ndarray, reference: np.ndarray, data_range: float
) -> np.ndarray:
    """Return each sample's structural similarity index (Wang et al. 2004).

    Gaussian weights of 1.5 pixels, population covariances.

    Parameters
    ----------
    prediction, reference
        Velocity [sample, depth, x], m/s.
    data_range
        ``velocity.maximum - velocity.minimum`` of the configuration, m/s; never observed
        extremes, which would make scores of different samples incomparable.

    Returns
    -------
    np.ndarray
        float64 [sample], at most 1.

    Raises
    ------
    InputError
        If the models are smaller than the window of 11 by 11 pixels.
    """
    if min(prediction.shape[1:]) < SSIM_WINDOW:
        raise InputError(
            f"velocity.shape = {list(prediction.shape[1:])}: structural similarity needs at least"
            f" {SSIM_WINDOW} nodes both ways"
        )
    return np.array(
        [
            _structural_similarity(
                one,
                other,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=data_range,
            )
            for one, other in zip(
                prediction.astype(np.float64), reference.astype(np.float64), strict=True
            )
        ]
    )
