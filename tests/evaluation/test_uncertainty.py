"""Sigma beside the error: shares, factor and ranks are what their definitions say."""

import numpy as np
import pytest

from seistomo.evaluation.metrics import ScoreTable, sample_scores
from seistomo.evaluation.prediction import mean_and_std
from seistomo.evaluation.uncertainty import Calibration, SpreadTable

SHAPE = (6, 20, 24)


@pytest.fixture
def random():
    return np.random.default_rng(3)


def test_the_factor_undoes_a_wrong_sigma(random):
    sigma, found = random.uniform(20, 200, SHAPE), Calibration()
    error = 2.5 * sigma * random.standard_normal(SHAPE)
    for rows in (slice(0, 2), slice(2, 6)):
        found.add(error[rows], sigma[rows])
    for multiple in (1, 2):
        literal = np.mean(np.abs(error) <= multiple * sigma)
        assert found.within(multiple) == pytest.approx(literal, abs=1e-9)
    # 2,880 pixels.
    assert found.factor == pytest.approx(2.5, rel=0.05)
    assert np.mean(np.abs(error) <= found.factor * sigma) == pytest.approx(0.6827, abs=1e-3)
    assert found.samples == 6


def test_members_that_agree_are_right_or_tell_nothing():
    found = Calibration()
    error = np.array([[0.0, 0.0, 0.0, 5.0, -5.0]])
    found.add(error, np.zeros((1, 5)))
    assert found.within(1) == 0.6
    assert found.factor is None


def test_the_summary_follows_the_definitions(random, models):
    reference = models[:6]
    members = (reference + random.normal(0, 90, (4, *SHAPE))).astype(np.float32)
    table, spread = (
        kind(*own, 3000.0, 4000.0)
        for kind, own in ((ScoreTable, (reference[0],)), (SpreadTable, ()))
    )
    for rows in (slice(0, 4), slice(4, 6)):
        mean, std = mean_and_std(members[:, rows])
        np.testing.assert_allclose(std, members[:, rows].std(axis=0, ddof=1), rtol=1e-5)
        count = len(mean)
        table.add(mean, reference[rows], range(count), ["salt"] * count)
        spread.add(members[:, rows], mean, std, reference[rows])
    table.samples[spread.samples.columns] = spread.samples
    found = spread.summary(table.samples, spread.calibration)
    error = np.abs(members.mean(axis=0, dtype=float) - reference)
    sigma = members.std(axis=0, ddof=1, dtype=float)
    assert found["std"] == pytest.approx(np.sqrt(np.mean(sigma**2)), rel=1e-6)
    assert found["within_2_std"] == pytest.approx(np.mean(error <= 2 * sigma), abs=1e-4)
    assert found["within_1_std_scaled"] == pytest.approx(0.6827, abs=1e-3)
    for number, member in enumerate(members):
        alone = sample_scores(member, reference, 3000.0, 4000.0)
        assert found["members"][number]["rmse"] == pytest.approx(np.sqrt(alone["mse"].mean()))
        assert found["members"][number]["salt_iou"] == pytest.approx(np.nanmean(alone["salt_iou"]))
    ssim = [member["ssim"] for member in found["members"]]
    assert found["single"]["ssim"]["std"] == pytest.approx(np.std(ssim, ddof=1))
    grouped, errors = spread.groups
    assert (np.diff(grouped) > 0).all()
    # Four members of noise 90 m/s: sigma says 90, their mean is off by half of that.
    assert errors.mean() == pytest.approx(45, rel=0.05)
