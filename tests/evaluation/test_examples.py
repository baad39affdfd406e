import numpy as np

from seistomo.evaluation.examples import choose_examples


def test_best_median_worst_and_a_salt_sample():
    ssim = np.array([0.5, 0.9, 0.1, 0.7, 0.6])
    iou = np.array([0.3, np.nan, 0.8, np.nan, 0.1])
    expected = {"Best": 1, "Median": 4, "Worst": 2, "Median salt": 0}
    assert choose_examples(ssim, iou) == expected


def test_no_sample_is_shown_twice():
    ssim, iou = np.array([0.5, 0.9]), np.array([0.3, np.nan])
    assert choose_examples(ssim, iou) == {"Best": 1, "Median": 0}
    assert choose_examples(ssim[:1], iou[:1]) == {"Best": 0}


def test_no_salt_no_salt_sample():
    assert "Median salt" not in choose_examples(np.arange(5.0), np.full(5, np.nan))
