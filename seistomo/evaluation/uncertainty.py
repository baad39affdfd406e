"""Is an ensemble as sure as it is right: the members' standard deviation, sigma, beside the error.

The error is that of the members' mean. A Gaussian sigma holds the truth within one of it in 68 % of
the pixels and within two in 95 %. Members differ in their seed alone: sigma measures what the
training data leave open, not what all members get wrong alike.
"""

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import erf

from seistomo.evaluation.metrics import SCORES, or_none, rank_correlation, sample_scores

# Errors in units of sigma: the bins that their shares are counted in.
RATIOS = np.linspace(0, 100, 10_001)
# Sigma, m/s: the bins in which squared errors are summed, and how many groups they are joined to.
SIGMAS = np.geomspace(0.01, 10_000, 241)
GROUPS = 12
# Multiples of sigma at which the reliability is told.
MULTIPLES = tuple(np.round(np.arange(0, 3.01, 0.1), 1))

Models = NDArray[np.float32]


def gaussian_share(multiple: float) -> float:
    """Return the share of a Gaussian's mass within a multiple of sigma."""
    return float(erf(multiple / math.sqrt(2)))


class Calibration:
    """How large errors are beside sigma; filled batch by batch."""

    def __init__(self) -> None:
        self._counts, self._total, self.samples = np.zeros(len(RATIOS) - 1), 0, 0

    def add(self, error: NDArray, sigma: NDArray) -> None:
        """Count pixels of samples [sample, ...], m/s."""
        self._counts += np.histogram(ratios(error, sigma), RATIOS)[0]
        self._total += error.size
        self.samples += len(error)

    def within(self, multiple: float) -> float:
        """Return the share of the pixels where the error is at most a multiple of sigma."""
        below = np.concatenate([[0.0], np.cumsum(self._counts)])
        return float(np.interp(multiple, RATIOS, below)) / self._total

    @property
    def factor(self) -> float | None:
        """The multiple of sigma that 68 % of the errors are within; None above all `RATIOS`."""
        wanted = gaussian_share(1) * self._total
        below = np.concatenate([[0.0], np.cumsum(self._counts)])
        return float(np.interp(wanted, below, RATIOS)) if wanted <= below[-1] else None


def ratios(error: NDArray, sigma: NDArray) -> NDArray[np.float64]:
    """Return absolute errors in units of sigma; where both are zero, zero."""
    error, sigma = np.abs(error).astype(np.float64), sigma.astype(np.float64)
    unsure = np.where(error > 0, np.inf, 0.0)
    return np.divide(error, sigma, out=unsure, where=sigma > 0)


class SpreadTable:
    """Scores of each member, and how sigma goes with the error of their mean.

    Filled batch by batch. ``data_range`` and ``salt_threshold`` as for `sample_scores`.
    """

    def __init__(self, data_range: float, salt_threshold: float) -> None:
        self._settings = data_range, salt_threshold
        self.calibration = Calibration()
        self._members: list[list[dict[str, NDArray]]] = []
        self._frames: list[pd.DataFrame] = []
        self._sums = np.zeros((3, len(SIGMAS) - 1))

    def add(self, each: Models, mean: Models, std: Models, reference: Models) -> None:
        """Take note of a batch: members [member, sample, depth, x], the rest [sample, depth, x]."""
        self._members.append([sample_scores(one, reference, *self._settings) for one in each])
        error = np.abs(mean.astype(np.float64) - reference)
        self.calibration.add(error, std)
        error, sigma = (values.reshape(len(each[0]), -1) for values in (error, std))
        ratio = ratios(error, sigma)
        self._frames.append(
            pd.DataFrame(
                {
                    "std": np.sqrt(np.square(sigma, dtype=np.float64).mean(axis=1)),
                    "within_1_std": (ratio <= 1).mean(axis=1),
                    "within_2_std": (ratio <= 2).mean(axis=1),
                    "rank_correlation": np.array(list(map(rank_correlation, sigma, error)), float),
                }
            )
        )
        sigma = sigma.clip(SIGMAS[0], SIGMAS[-1]).ravel().astype(np.float64)
        for row, weights in enumerate((np.ones_like(sigma), sigma**2, error.ravel() ** 2)):
            self._sums[row] += np.histogram(sigma, SIGMAS, weights=weights)[0]

    @property
    def samples(self) -> pd.DataFrame:
        """A row a sample: RMS of sigma, m/s, shares within one and two, rank correlation."""
        return pd.concat(self._frames, ignore_index=True)

    @property
    def groups(self) -> tuple[NDArray, NDArray]:
        """RMS sigma and RMS error, m/s, of the pixels in groups of rising sigma, about as many."""
        counts = self._sums[0]
        place = np.cumsum(counts) - counts / 2
        group = np.minimum((GROUPS * place / counts.sum()).astype(int), GROUPS - 1)
        joined = np.stack([np.bincount(group, row, GROUPS) for row in self._sums])
        joined = joined[:, joined[0] > 0]
        return np.sqrt(joined[1] / joined[0]), np.sqrt(joined[2] / joined[0])

    def summary(self, samples: pd.DataFrame, validation: Calibration | None) -> dict[str, Any]:
        """Return what ``metrics.json`` holds under ``ensemble``.

        ``samples`` are the rows of the mean's `ScoreTable` with those of `samples`; ``validation``
        gives the factor.
        """
        factor = validation and validation.factor
        within = self.calibration.within
        across = rank_correlation(samples["std"].to_numpy(), samples["rmse"].to_numpy())
        expected = [gaussian_share(multiple) for multiple in MULTIPLES]
        families = {str(name): _summary(rows) for name, rows in samples.groupby("family")}
        return {
            **self._singles(),
            **_summary(samples),
            "rank_correlation_samples": across,
            "factor": factor,
            "factor_samples": validation.samples if validation else 0,
            "within_1_std_scaled": within(factor) if factor else None,
            "within_2_std_scaled": within(2 * factor) if factor else None,
            "reliability": {
                "expected": expected,
                "observed": [within(multiple) for multiple in MULTIPLES],
                "scaled": [within(factor * multiple) for multiple in MULTIPLES] if factor else None,
            },
            "by_family": families,
        }

    def _singles(self) -> dict[str, Any]:
        """Return the scores of the members, and their mean and deviation over the members."""
        members = zip(*self._members, strict=True)
        frame = pd.DataFrame([pd.concat(map(pd.DataFrame, one)).mean() for one in members])
        frame["rmse"] = np.sqrt(frame["mse"])
        return {
            "members": [
                {name: or_none(value) for name, value in one.items()}
                for one in frame.to_dict("records")
            ],
            "single": {
                name: {"mean": or_none(frame[name].mean()), "std": or_none(frame[name].std())}
                for name in SCORES
            },
        }


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "samples": len(rows),
        "rmse": math.sqrt(rows["mse"].mean()),
        "std": math.sqrt(np.square(rows["std"]).mean()),
        "within_1_std": float(rows["within_1_std"].mean()),
        "within_2_std": float(rows["within_2_std"].mean()),
        "rank_correlation": or_none(rows["rank_correlation"].mean()),
    }
