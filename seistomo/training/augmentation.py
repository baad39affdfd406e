"""Training samples that change from epoch to epoch: mirrored, or as field records differ.

What happens to a sample is fixed by (seed, epoch, sample): a batch that is evaluated twice is the
same batch, which variance reduction, line search and trust region take for granted. Noise is
drawn on the batch's own device, so a GPU draws other numbers than a CPU.

Noise and dead traces are those that ``seistomo evaluate --noise-snr --dead-traces`` adds
(`seistomo.simulation.survey`), to the gathers as recorded, before they are scaled. Ahead of them
the wavelet changes, and the amplitudes of shots and of receivers (surface-consistent).

Mirroring turns the earth around: it swaps left and right in the model, and the order of sources
and of receivers in the gathers; where the survey is symmetric, each pair has such a twin for free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.device import upload
from seistomo.errors import InputError

# Purposes of random numbers.
MIRROR, SIGNAL_TO_NOISE, NOISE, DEAD_SHARE, DEAD_TRACES = 1, 11, 12, 13, 14
AMPLITUDE, WAVELET = 15, 16

# What a spectrum must reach, as a share of its peak, to be divided by in full.
STABILIZATION = 0.003
# Points of the wavelet's spectrum for each of a record's.
OVERSAMPLING = 16


class WaveletFilter:
    """Makes gathers what they had been with all frequencies of the source wavelet changed.

    The filter is W(f/s) / (s W(f)), stabilized where the spectrum W of the wavelet about its
    peak is small, s the factor on frequencies; the peak keeps its time and height.
    """

    def __init__(self, wavelet: np.ndarray):
        """Take the wavelet [time], sampled as the records are."""
        # Twice the record, so that its end does not come round to its start.
        self.length = next_fast_len(2 * len(wavelet), real=True)
        count = OVERSAMPLING * self.length
        spectrum = np.fft.rfft(wavelet, count)
        fine = np.fft.irfft(spectrum, OVERSAMPLING * count)
        turn = 2j * np.pi * np.argmax(np.abs(fine)) / (OVERSAMPLING * count)
        self._bins = np.arange(len(spectrum))
        self._spectrum = spectrum * np.exp(turn * self._bins)

    @classmethod
    def of(cls, data: DatasetReader, config: TrainingConfig) -> "WaveletFilter | None":
        """Return the filter that the section ``[training]`` asks for, or None."""
        if not config.wavelet_jitter:
            return None
        if not data.wavelet.any():
            raise InputError(
                f"training.wavelet_jitter = {config.wavelet_jitter:g}: {data.path} holds no wavelet"
                " that could change; set it to 0"
            )
        return cls(data.wavelet)

    def response(self, factor: float) -> np.ndarray:
        """Return the filter for a factor on frequencies, complex128 [frequency]."""
        own, places = self._spectrum[::OVERSAMPLING], self._bins[::OVERSAMPLING] / factor
        wanted = np.interp(places, self._bins, self._spectrum, right=0) / factor
        floor = STABILIZATION * np.abs(own).max()
        return wanted * own.conj() / (np.abs(own) ** 2 + floor**2)

    def __call__(self, gathers: Tensor, factors: Sequence[float]) -> Tensor:
        """Filter gathers [sample, ..., time], each sample by its factor."""
        responses = torch.from_numpy(np.stack([self.response(factor) for factor in factors]))
        responses = upload(responses.to(torch.complex64), gathers.device)
        samples, filtered = gathers.shape[-1], torch.empty_like(gathers)
        # One by one: the bits do not depend on the others, and spectra take little memory.
        for row, out, response in zip(gathers, filtered, responses, strict=True):
            padded = functional.pad(row, (0, self.length - samples))
            spectrum = torch.fft.rfft(padded) * response
            out.copy_(torch.fft.irfft(spectrum, self.length)[..., :samples])
        return filtered


@dataclass(frozen=True)
class Corruption:
    """Another wavelet, other amplitudes, dead traces and noise of one epoch."""

    settings: TrainingConfig
    epoch: int
    filter: WaveletFilter | None = None  # for a ``wavelet_jitter``

    def __call__(self, gathers: Tensor, samples: Tensor) -> Tensor:
        """Corrupt recorded gathers, float32 [sample, source, receiver, time], on any device.

        Each by itself; ``samples`` are their global indices, int64 [sample], on the CPU.
        """
        settings, numbers, device = self.settings, samples.tolist(), gathers.device
        # A trace that is silent already records nothing, hence no noise either.
        live = (gathers != 0).any(dim=-1)
        if settings.wavelet_jitter:
            top = np.log1p(settings.wavelet_jitter)
            draws = [self._stream(sample, WAVELET).uniform(-top, top) for sample in numbers]
            gathers = self.filter(gathers, np.exp(draws))
        if settings.amplitude_jitter:
            gains = np.stack([self._gains(gathers.shape[1:3], sample) for sample in numbers])
            gathers = gathers * upload(torch.from_numpy(gains), device)[..., None]
        if settings.dead_traces is not None:
            dead = np.stack([self._dead(gathers.shape[1:3], sample) for sample in numbers])
            live &= ~upload(torch.from_numpy(dead), device)
        gathers = torch.where(live[..., None], gathers, 0.0)
        if settings.noise_snr is None:
            return gathers
        noise, generator = torch.empty_like(gathers), torch.Generator(device)
        ratios = []
        for row, sample in zip(noise, numbers, strict=True):
            ratios.append(self._stream(sample, SIGNAL_TO_NOISE).uniform(*settings.noise_snr))
            generator.manual_seed(int(self._stream(sample, NOISE).integers(2**63)))
            torch.randn(row.shape, generator=generator, device=device, out=row)
        power = gathers.square().mean(dim=-1, dtype=torch.float64).sum(dim=(1, 2))
        power = power / live.sum(dim=(1, 2)).clamp(min=1)
        factor = upload(
            torch.tensor([10 ** (-r / 20) for r in ratios], dtype=torch.float64), device
        )
        level = (power.sqrt() * factor).to(gathers.dtype)[:, None, None, None]
        return torch.where(live[..., None], gathers + level * noise, 0.0)

    def _gains(self, shape: torch.Size, sample: int) -> np.ndarray:
        stream, (sources, receivers) = self._stream(sample, AMPLITUDE), shape
        shots = stream.standard_normal((sources, 1))
        decibels = self.settings.amplitude_jitter * (shots + stream.standard_normal(receivers))
        return (10 ** (decibels / 20)).astype(np.float32)

    def _dead(self, shape: torch.Size, sample: int) -> np.ndarray:
        share = self._stream(sample, DEAD_SHARE).uniform(*self.settings.dead_traces)
        dead = np.zeros(shape.numel(), dtype=bool)
        chosen = self._stream(sample, DEAD_TRACES).permutation(dead.size)
        dead[chosen[: round(share * dead.size)]] = True
        return dead.reshape(shape)

    def _stream(self, sample: int, purpose: int) -> np.random.Generator:
        key = (self.epoch, sample, purpose)
        return np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=key))


def corrupts(config: TrainingConfig) -> bool:
    """Return whether gathers change before they are scaled: then they are scaled at each use."""
    ranges = config.noise_snr, config.dead_traces
    return any(r is not None for r in ranges) or bool(
        config.amplitude_jitter or config.wavelet_jitter
    )


def mirrored_rows(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return which of ``count`` samples are mirrored in an epoch, bool [sample]."""
    return np.random.default_rng([seed, epoch, MIRROR]).random(count) < 0.5


def turned(inputs: Tensor) -> Tensor:
    """Mirror network inputs [sample, channel, source, receiver, time]."""
    inputs = inputs.flip(2, 3)
    # Positions count from the middle of the model.
    inputs[:, 1:].neg_()
    return inputs


def mirror(inputs: Tensor, velocity: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror some of the network inputs, as in `turned`, and of the velocity [sample, depth, x]."""
    inputs = torch.where(which[:, None, None, None, None], turned(inputs), inputs)
    return inputs, torch.where(which[:, None, None], velocity.flip(2), velocity)


def check_symmetric(data: DatasetReader, key: str = "training.mirror") -> None:
    """Refuse a survey that is, before jitter, not its own mirror image about the model's middle."""
    width = float(data.x[0] + data.x[-1])
    survey = data.config.survey.positions(width)
    for kind in ("source", "receiver"):
        x, depth = survey[f"{kind}_x"], survey[f"{kind}_depth"]
        same = np.allclose(x, width - x[::-1], atol=1e-6 * width)
        if not (same and np.allclose(depth, depth[::-1])):
            raise InputError(
                f"{key} = true: the {kind}s of {data.path} are not symmetric about"
                f" x = {width / 2:g} m; set it to false"
            )
