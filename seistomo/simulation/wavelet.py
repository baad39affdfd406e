"""The source wavelet: Ricker's, Ormsby's or the user's own."""

import numpy as np
from scipy.special import gamma

from seistomo.config import SurveyConfig
from seistomo.simulation.own_wavelet import read_own_wavelet

# Periods before the peak of a Ricker wavelet: there it is 1e-8 of it. An Ormsby wavelet starts as
# many periods of the middle of its lower ramp before its peak, and no later than the inverse width
# of either ramp: the narrower a ramp, the longer its side lobes.
DELAY_PERIODS = 1.5

# Part of its delay in which an Ormsby wavelet rises from nothing, and falls to nothing again: its
# side lobes end nowhere. The spectrum stays within 6 % of the ideal one's peak.
TAPER = 0.25

# The dispersion of a wave grows by its frequency to the power order + 1, here the usual fourth's.
MOMENT = 2 * (4 + 1)


def wavelet_delay(survey: SurveyConfig) -> float:
    """Return the time of the wavelet's peak after the start of the record, s."""
    if survey.wavelet == "file":
        own = read_own_wavelet(survey)
        return own.start + int(np.argmax(np.abs(own.samples))) * own.step
    if survey.delay is not None:
        return survey.delay
    if survey.wavelet == "ricker":
        return DELAY_PERIODS / survey.frequency
    first, second, third, fourth = survey.corner_frequencies
    lower = DELAY_PERIODS / ((first + second) / 2)
    return max(lower, 1 / (second - first), 1 / (fourth - third))


def make_wavelet(
    survey: SurveyConfig, time_step: float | None = None, samples: int | None = None
) -> np.ndarray:
    """Return the source wavelet.

    Parameters
    ----------
    survey
        Wavelet, amplitude and sampling.
    time_step, samples
        Sampling other than the survey's: interval in s and number of samples.

    Returns
    -------
    numpy.ndarray
        float64 [time], in the unit of the recorded field.

    Raises
    ------
    InputError
        For a wavelet file that cannot be read or holds frequencies that the record cannot.
    """
    step = survey.time_step if time_step is None else time_step
    time = np.arange(survey.time_samples if samples is None else samples) * step
    if survey.wavelet == "file":
        return survey.amplitude * read_own_wavelet(survey).at(time)
    delay = wavelet_delay(survey)
    if survey.wavelet == "ormsby":
        return survey.amplitude * _ormsby(survey.corner_frequencies, delay, time)
    # After Ricker (1953): (1 - 2a) exp(-a), the second derivative of a Gaussian, turned over.
    a = (np.pi * survey.frequency * (time - delay)) ** 2
    return survey.amplitude * (1 - 2 * a) * np.exp(-a)


def ricker_frequency(survey: SurveyConfig) -> float:
    """Return the peak frequency of the Ricker wavelet that suffers the same dispersion, Hz.

    To leading order the squared error of a fourth-order scheme is the energy spectrum weighted by
    the tenth power of frequency; both wavelets have the same mean of that weight.
    """
    if survey.wavelet == "ricker":
        return survey.frequency
    if survey.wavelet == "file":
        own = read_own_wavelet(survey)
        samples, step, highest = own.samples, own.step, own.highest_frequency
    else:
        highest = survey.highest_frequency
        delay, step = wavelet_delay(survey), 1 / (8 * highest)
        time = np.arange(int(2 * delay / step) + 1) * step
        samples = _ormsby(survey.corner_frequencies, delay, time)
    length = 8 * len(samples)
    energy = np.abs(np.fft.rfft(samples, length)) ** 2
    frequency = np.fft.rfftfreq(length, step)
    energy[frequency > highest] = 0
    weight = (energy * (frequency / highest) ** MOMENT).sum() / energy.sum()
    # The same mean for a Ricker wavelet of 1 Hz, whose energy spectrum is f⁴ exp(-2 f²).
    ricker = 2 ** (-MOMENT / 2) * gamma((MOMENT + 5) / 2) / gamma(5 / 2)
    return float(highest * (weight / ricker) ** (1 / MOMENT))


def _ormsby(corners: tuple[float, float, float, float], delay: float, time: np.ndarray):
    """Return the zero-phase wavelet of a trapezoidal spectrum (Ryan 1994, CSEG Recorder 19(7)).

    It is one at ``delay``, symmetric about it, and zero before 0 and after twice the delay.
    """
    first, second, third, fourth = corners
    t = time - delay

    def ramp(low: float, high: float) -> np.ndarray:
        squares = (f**2 * np.sinc(f * t) ** 2 for f in (low, high))
        below, above = squares
        return (above - below) / (high - low)

    wavelet = (ramp(third, fourth) - ramp(first, second)) / (third + fourth - first - second)
    inside = np.clip((delay - np.abs(t)) / (TAPER * delay), 0, 1)
    return wavelet * np.sin(np.pi / 2 * inside) ** 2
