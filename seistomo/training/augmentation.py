"""Training samples that change from epoch to epoch: mirrored, noisy, with dead traces.

What happens to a sample is fixed by (seed, epoch, sample): a batch that is evaluated twice is the
same batch, which variance reduction, line search and trust region take for granted. Noise is
drawn on the batch's own device, so a GPU draws other numbers than a CPU.

Noise and dead traces are those that ``seistomo evaluate --noise-snr --dead-traces`` adds
(`seistomo.simulation.noise`), to the gathers as recorded, before they are scaled.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seistomo.config.training import TrainingConfig
from seistomo.training.mirror import mirror

# Purposes of random numbers.
SIGNAL_TO_NOISE, NOISE, DEAD_SHARE, DEAD_TRACES = 11, 12, 13, 14


@dataclass(frozen=True)
class Corruption:
    """Noise and dead traces of one epoch.

    Attributes
    ----------
    noise_snr
        Range of the signal-to-noise ratio, dB, or None; uniform.
    dead_traces
        Range of the share of traces that are silenced, or None; uniform.
    seed, epoch
        What the random numbers depend on beside the sample.
    """

    noise_snr: tuple[float, float] | None
    dead_traces: tuple[float, float] | None
    seed: int
    epoch: int

    @classmethod
    def of(cls, config: TrainingConfig, epoch: int) -> "Corruption | None":
        """Return what the section ``[training]`` asks for in an epoch; None: nothing."""
        if not corrupts(config):
            return None
        return cls(config.noise_snr, config.dead_traces, config.seed, epoch)

    def __call__(self, gathers: Tensor, samples: Tensor) -> Tensor:
        """Corrupt gathers, each sample by itself.

        Parameters
        ----------
        gathers
            As recorded, float32 [sample, source, receiver, time], on any device.
        samples
            Their global indices, int64 [sample].

        Returns
        -------
        Tensor
            float32 [sample, source, receiver, time], new.
        """
        rows = zip(gathers, samples.tolist(), strict=True)
        return torch.stack([self._corrupted(gather, sample) for gather, sample in rows])

    def _corrupted(self, gather: Tensor, sample: int) -> Tensor:
        # A trace that is silent already records nothing, hence no noise either.
        live = (gather != 0).any(dim=-1)
        if self.dead_traces is not None:
            live &= ~self._dead(live.shape, sample).to(gather.device)
        gather = torch.where(live[..., None], gather, 0.0)
        if self.noise_snr is None:
            return gather
        ratio = self._stream(sample, SIGNAL_TO_NOISE).uniform(*self.noise_snr)
        power = gather.square().mean(dim=-1, dtype=torch.float64).sum() / live.sum().clamp(min=1)
        level = (power.sqrt() * 10 ** (-ratio / 20)).to(gather.dtype)
        generator = torch.Generator(gather.device)
        generator.manual_seed(int(self._stream(sample, NOISE).integers(2**63)))
        noise = torch.randn(gather.shape, generator=generator, device=gather.device)
        return torch.where(live[..., None], gather + level * noise, 0.0)

    def _dead(self, shape: torch.Size, sample: int) -> Tensor:
        share = self._stream(sample, DEAD_SHARE).uniform(*self.dead_traces)
        traces = shape.numel()
        dead = np.zeros(traces, dtype=bool)
        chosen = self._stream(sample, DEAD_TRACES).permutation(traces)[: round(share * traces)]
        dead[chosen] = True
        return torch.from_numpy(dead).view(shape)

    def _stream(self, sample: int, purpose: int) -> np.random.Generator:
        key = (self.epoch, sample, purpose)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Augmentation:
    """All that one epoch does to the samples of a split.

    Attributes
    ----------
    samples
        Global indices of the split's samples, int64 [sample], rising.
    mirrored
        Which of them are mirrored, bool [sample]; None: none.
    corruption
        Noise and dead traces; None: none.
    """

    samples: np.ndarray
    mirrored: np.ndarray | None = None
    corruption: Corruption | None = None

    def corrupt(self, gathers: Tensor, samples: Tensor) -> Tensor:
        """Apply noise and dead traces; see `Corruption`."""
        return gathers if self.corruption is None else self.corruption(gathers, samples)

    def mirror(self, gathers: Tensor, velocity: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Mirror what is to be mirrored.

        Parameters
        ----------
        gathers, velocity
            [sample, source, receiver, time] and [sample, depth, x].
        samples
            Their global indices, int64 [sample].
        """
        if self.mirrored is None:
            return gathers, velocity
        which = torch.from_numpy(self.mirrored[np.searchsorted(self.samples, samples.numpy())])
        return mirror(gathers, velocity, which.to(gathers.device))


def corrupts(config: TrainingConfig) -> bool:
    """Return whether noise or dead traces are asked for: then gathers are scaled at each use."""
    return config.noise_snr is not None or config.dead_traces is not None
