"""Training samples that change from epoch to epoch: mirrored, noisy, with dead traces.

What happens to a sample is fixed by (seed, epoch, sample): a batch that is evaluated twice is the
same batch, which variance reduction, line search and trust region take for granted. Noise is
drawn on the batch's own device, so a GPU draws other numbers than a CPU.

Noise and dead traces are those that ``seistomo evaluate --noise-snr --dead-traces`` adds
(`seistomo.simulation.survey`), to the gathers as recorded, before they are scaled. Mirroring turns
the earth around: it swaps left and right in the model, and the order of sources and of receivers
in the gathers; where the survey is symmetric, each pair has such a twin for free.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.dataset import DatasetReader
from seistomo.device import upload
from seistomo.errors import InputError

# Purposes of random numbers.
MIRROR, SIGNAL_TO_NOISE, NOISE, DEAD_SHARE, DEAD_TRACES = 1, 11, 12, 13, 14


@dataclass(frozen=True)
class Corruption:
    """Noise and dead traces of one epoch."""

    noise_snr: tuple[float, float] | None  # range of the signal-to-noise ratio, dB; uniform
    dead_traces: tuple[float, float] | None  # range of the share that is silenced; uniform
    seed: int
    epoch: int

    def __call__(self, gathers: Tensor, samples: Tensor) -> Tensor:
        """Corrupt recorded gathers, float32 [sample, source, receiver, time], on any device.

        Each by itself; ``samples`` are their global indices, int64 [sample], on the CPU.
        """
        numbers, device = samples.tolist(), gathers.device
        # A trace that is silent already records nothing, hence no noise either.
        live = (gathers != 0).any(dim=-1)
        if self.dead_traces is not None:
            dead = np.stack([self._dead(gathers.shape[1:3], sample) for sample in numbers])
            live &= ~upload(torch.from_numpy(dead), device)
        gathers = torch.where(live[..., None], gathers, 0.0)
        if self.noise_snr is None:
            return gathers
        noise, generator = torch.empty_like(gathers), torch.Generator(device)
        ratios = []
        for row, sample in zip(noise, numbers, strict=True):
            ratios.append(self._stream(sample, SIGNAL_TO_NOISE).uniform(*self.noise_snr))
            generator.manual_seed(int(self._stream(sample, NOISE).integers(2**63)))
            torch.randn(row.shape, generator=generator, device=device, out=row)
        power = gathers.square().mean(dim=-1, dtype=torch.float64).sum(dim=(1, 2))
        power = power / live.sum(dim=(1, 2)).clamp(min=1)
        factor = upload(
            torch.tensor([10 ** (-r / 20) for r in ratios], dtype=torch.float64), device
        )
        level = (power.sqrt() * factor).to(gathers.dtype)[:, None, None, None]
        return torch.where(live[..., None], gathers + level * noise, 0.0)

    def _dead(self, shape: torch.Size, sample: int) -> np.ndarray:
        share = self._stream(sample, DEAD_SHARE).uniform(*self.dead_traces)
        dead = np.zeros(shape.numel(), dtype=bool)
        chosen = self._stream(sample, DEAD_TRACES).permutation(dead.size)
        dead[chosen[: round(share * dead.size)]] = True
        return dead.reshape(shape)

    def _stream(self, sample: int, purpose: int) -> np.random.Generator:
        key = (self.epoch, sample, purpose)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


def corrupts(config: TrainingConfig) -> bool:
    """Return whether noise or dead traces are asked for: then gathers are scaled at each use."""
    return config.noise_snr is not None or config.dead_traces is not None


def mirrored_rows(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return which of ``count`` samples are mirrored in an epoch, bool [sample]."""
    return np.random.default_rng([seed, epoch, MIRROR]).random(count) < 0.5


def mirror(gathers: Tensor, velocity: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror some of gathers [sample, source, receiver, time] and velocity [sample, depth, x]."""
    turned = torch.where(which[:, None, None, None], gathers.flip(1, 2), gathers)
    return turned, torch.where(which[:, None, None], velocity.flip(2), velocity)


def check_symmetric(data: DatasetReader, key: str = "training.mirror") -> None:
    """Refuse a survey that is not its own mirror image about the middle of the model."""
    width, survey = float(data.x[0] + data.x[-1]), data.read_survey(0)
    for kind in ("source", "receiver"):
        x, depth = survey[f"{kind}_x"], survey[f"{kind}_depth"]
        same = np.allclose(x, width - x[::-1], atol=1e-6 * width)
        if not (same and np.allclose(depth, depth[::-1])):
            raise InputError(
                f"{key} = true: the {kind}s of {data.path} are not symmetric about"
                f" x = {width / 2:g} m; set it to false"
            )
