"""Mean squared error and structural similarity by their definitions."""

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from seistomo.errors import InputError
from seistomo.training.scores import mean_squared_error, structural_similarity


def test_mean_squared_error_is_a_mean_over_pixels():
    reference = np.full((2, 3, 4), 2000, dtype=np.float32)
    prediction = reference.copy()
    prediction[1] += np.float32(30)
    prediction[1, 0, 0] -= np.float32(30)
    assert mean_squared_error(prediction, reference) == pytest.approx([0, 900 * 11 / 12])


def literal_ssim(x, y, data_range):
    """Wang et al. (2004), Eq. 13: Gaussian window of 11 pixels, 1.5 wide; inner pixels."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def smooth(image):
        return correlate1d(correlate1d(image, taps, axis=0), taps, axis=1)

    mx, my = smooth(x), smooth(y)
    vx, vy, vxy = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    index = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return index[5:-5, 5:-5].mean()


def test_structural_similarity_is_the_literal_formula(arrays):
    reference = arrays[0][:3]
    prediction = arrays[0][3:6]
    expected = [
        literal_ssim(p.astype(float), r.astype(float), 3200.0)
        for p, r in zip(prediction, reference, strict=True)
    ]
    np.testing.assert_allclose(
        structural_similarity(prediction, reference, 3200.0), expected, rtol=1e-9
    )
    assert structural_similarity(reference, reference, 3200.0) == pytest.approx(1)


def test_models_smaller_than_the_window_are_refused():
    small = np.zeros((1, 10, 30), dtype=np.float32)
    with pytest.raises(InputError, match="at least 11"):
        structural_similarity(small, small, 1.0)
