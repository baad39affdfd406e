"""How far predicted gathers are from observed ones, in a band of frequencies and of offsets."""

import torch
from torch import Tensor

# Slope of the low-pass: the amplitude is 1 / (1 + (f / f₀)^(2 ORDER)).
ORDER = 4
# Envelopes are smoothed below this part of the largest observed amplitude.
FLOOR = 1e-4
# The estimated wavelet's filter: white noise added to the spectrum, as a part of its peak, and
# half its length, in periods of the stage's frequency.
WHITENING, FILTER_PERIODS = 1e-3, 2.0


class Misfit:
    """½ ‖W (E P F d − E P d_obs)‖² / ‖W E P d_obs‖², a sum over shots.

    d are predicted, d_obs ``observed`` gathers [source, receiver, time]; P is a low-pass of a
    ``frequency``, Hz, without a change of phase; W are the traces' ``weights`` [source, receiver];
    F corrects the wavelet: ``correction`` is its spectrum, as `wavelet_filter` gives it. E takes
    the envelope, or is nothing, by the ``kind``, envelope or squares. ``time_step`` is in s.
    """

    def __init__(
        self,
        observed: Tensor,
        weights: Tensor,
        frequency: float,
        time_step: float,
        correction: Tensor | None = None,
        kind: str = "squares",
    ):
        self._kind = kind
        self._length = 2 * observed.shape[-1]
        band = low_pass(self._length, frequency, time_step).to(observed)
        self._spectrum = band if correction is None else band * correction
        observed = filtered(observed, band)
        self._floor = FLOOR * float(observed.abs().max())
        weighted = self._compared(observed) * weights[..., None]
        norm = weighted.double().square().sum().sqrt()
        self._weights = weights / norm.to(weights)
        self._observed = weighted / norm.to(weighted)

    def weighted(self, gathers: Tensor, shots: Tensor) -> Tensor:
        """Return W P F d / ‖W P d_obs‖ of predicted gathers [shot, receiver, time]: linear in d."""
        return filtered(gathers, self._spectrum) * self._weights[shots, :, None]

    def residual(self, gathers: Tensor, shots: Tensor) -> Tensor:
        """Return what half the square of is the misfit [shot, receiver, time]."""
        compared = self._compared(filtered(gathers, self._spectrum))
        return compared * self._weights[shots, :, None] - self._observed[shots]

    def _compared(self, band: Tensor) -> Tensor:
        return envelope(band, self._floor) if self._kind == "envelope" else band

    def values(self, gathers: Tensor, shots: Tensor) -> Tensor:
        """Return each shot's share of the misfit, float64 [shot]."""
        return self.residual(gathers, shots).double().square().sum(dim=(1, 2)) / 2


def low_pass(length: int, frequency: float, time_step: float) -> Tensor:
    """Return the amplitudes of the low-pass at the frequencies of so many samples."""
    relative = torch.fft.rfftfreq(length, time_step, dtype=torch.float64) / frequency
    return 1 / (1 + relative ** (2 * ORDER))


def filtered(gathers: Tensor, spectrum: Tensor) -> Tensor:
    """Return gathers [..., time] filtered; what lies before and after them counts as zero."""
    samples = gathers.shape[-1]
    length = 2 * (len(spectrum) - 1)
    transformed = torch.fft.rfft(gathers, length) * spectrum
    return torch.fft.irfft(transformed, length)[..., :samples]


def envelope(gathers: Tensor, floor: float) -> Tensor:
    """Return the envelope of gathers [..., time], the magnitude of the analytic signal.

    Smoothed below ``floor``, so that it has a derivative where there is nothing.
    """
    samples = gathers.shape[-1]
    factor = torch.zeros(2 * samples).to(gathers)
    factor[:samples] = 2.0
    factor[0] = 1.0
    signal = torch.fft.ifft(torch.fft.fft(gathers, 2 * samples) * factor)[..., :samples]
    return (signal.real**2 + signal.imag**2 + floor**2).sqrt()


def wavelet_filter(
    predicted: Tensor, observed: Tensor, weights: Tensor, frequency: float, time_step: float
) -> Tensor:
    """Return the spectrum of the filter that brings predicted gathers nearest to observed ones.

    Gathers are [source, receiver, time], weights [source, receiver]. The least-squares filter of
    all traces at each frequency, cut in time to a few periods around zero.
    """
    length = 2 * predicted.shape[-1]
    ours, theirs = (
        torch.fft.rfft(gathers.double() * weights[..., None].double(), length)
        for gathers in (predicted, observed)
    )
    energy = ours.abs().square().sum(dim=(0, 1))
    response = (ours.conj() * theirs).sum(dim=(0, 1)) / (energy + WHITENING * energy.max())
    lag = torch.fft.fftfreq(length, 1 / (length * time_step)).to(predicted.device)
    window = torch.cos(torch.pi / 2 * (lag * frequency / FILTER_PERIODS).clamp(-1, 1)) ** 2
    return torch.fft.rfft(torch.fft.irfft(response, length) * window).to(torch.complex64)


def late_share(
    predicted: Tensor, observed: Tensor, weights: Tensor, lag: float, time_step: float
) -> float:
    """Return the share of the traces, by their weights, that are off by ``lag``, s, or more.

    A trace is off by the lag at which it correlates best with the predicted one.
    """
    length = 2 * predicted.shape[-1]
    ours, theirs = (torch.fft.rfft(gathers, length) for gathers in (predicted, observed))
    best = torch.fft.irfft(ours.conj() * theirs, length).argmax(dim=-1)
    best = torch.minimum(best, length - best) * time_step
    return float(weights[best >= lag].sum() / weights.sum())
