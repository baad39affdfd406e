"""The source wavelet."""

import numpy as np

from seistomo.config import SurveyConfig

# Periods of the peak frequency before the peak: there the wavelet is 1e-8 of it.
DELAY_PERIODS = 1.5


def wavelet_delay(survey: SurveyConfig) -> float:
    """Return the time of the wavelet's peak after the start of the record, s."""
    return DELAY_PERIODS / survey.frequency


def make_wavelet(
    survey: SurveyConfig, time_step: float | None = None, samples: int | None = None
) -> np.ndarray:
    """Return the source wavelet, a Ricker wavelet (second derivative of a Gaussian).

    s(t) = amplitude (1 - 2a) exp(-a), a = (π frequency (t - delay))², after Ricker (1953).

    Parameters
    ----------
    survey
        Frequency, amplitude and sampling.
    time_step, samples
        Sampling other than the survey's: interval in s and number of samples.

    Returns
    -------
    numpy.ndarray
        float64 [time], in the unit of the recorded field.
    """
    step = survey.time_step if time_step is None else time_step
    time = np.arange(survey.time_samples if samples is None else samples) * step
    a = (np.pi * survey.frequency * (time - wavelet_delay(survey))) ** 2
    return survey.amplitude * (1 - 2 * a) * np.exp(-a)
