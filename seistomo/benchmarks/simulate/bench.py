"""What all parts of the benchmark share: the configuration, its models, the device, a folder."""

import io
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seistomo.benchmarks.simulate.turns import Timing, Variant, seconds_of, take_turns
from seistomo.config import Config
from seistomo.dataset.generate import SimulationSummary, simulate
from seistomo.device import choose_device
from seistomo.files import remove_quietly
from seistomo.progress import quietly
from seistomo.simulation import Simulator
from seistomo.velocity import draw_model

# A run of one variant of a choice takes about so long, s.
TURN_SECONDS = 1.5
MOST_MODELS = 256


@dataclass(frozen=True)
class Bench:
    """Where things are measured.

    Attributes
    ----------
    config
        The configuration.
    device
        auto, cpu, cuda or cuda:N.
    repeats
        Turns of each variant.
    folder
        Where data sets are written and removed again.
    """

    config: Config
    device: str
    repeats: int
    folder: Path

    @cached_property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return choose_device(self.device).type == "cuda"

    @cached_property
    def most_shots(self) -> int:
        """Shots that half of the GPU's free memory takes."""
        free, _ = torch.cuda.mem_get_info(choose_device(self.device))
        return max(1, free // 2 // Simulator(self.config, self.device).shot_bytes)

    @cached_property
    def simulator_seconds(self) -> float:
        """Seconds a model of the simulator, measured over one call."""
        models = min(self.config.simulation.models_per_call, 4)
        simulator = Simulator(self.config, self.device)
        velocity = self.velocity(models)
        if self.on_gpu:
            simulator(velocity, range(models))
        return seconds_of(lambda: simulator(velocity, range(models))) / models

    def models_for(self, seconds: float = TURN_SECONDS) -> int:
        """Return how many models the simulator shoots in so many seconds; a power of two."""
        models = min(MOST_MODELS, max(1.0, seconds / self.simulator_seconds))
        return 2 ** round(np.log2(models))

    def velocity(self, models: int) -> np.ndarray:
        """Return the first models of the configuration, float32 [model, depth, x], m/s."""
        for index in range(len(self._drawn), models):
            model = draw_model(self.config.velocity, self.config.dataset.seed, index)
            self._drawn.append(model.velocity)
        return np.stack(self._drawn[:models])

    @cached_property
    def _drawn(self) -> list[np.ndarray]:
        return []

    def shooting(self, label: str, config: Config, models: int) -> Variant:
        """Return a variant that shoots over models in calls of ``simulation.models_per_call``."""
        simulator, velocity = Simulator(config, self.device), self.velocity(models)
        step = config.simulation.models_per_call

        def shoot() -> None:
            for first in range(0, models, step):
                indices = range(first, min(first + step, models))
                simulator(velocity[indices.start : indices.stop], indices)

        return Variant(label, models, lambda: seconds_of(shoot))

    def making(self, config: Config, path: Path) -> tuple[float, SimulationSummary]:
        """Make a data set; return the seconds that it took, and what it says of itself."""
        remove_quietly(path)
        found = []
        # What it warns of was said before, once.
        with quietly(), redirect_stderr(io.StringIO()):
            seconds = seconds_of(lambda: found.append(simulate(config, path, device=self.device)))
        return seconds, found[0]

    def compare(self, variants: list[Variant], description: str) -> list[Timing]:
        """Time variants in turns."""
        if not self.on_gpu:
            # Memory is laid out, threads are made; a GPU also loads kernels for each size.
            variants[0].run()
        return take_turns(variants, self.repeats, description, warm_up=self.on_gpu)


def changed(config: Config, **sections: Mapping[str, Any]) -> Config:
    """Return the configuration with some settings of some sections changed, unchecked."""
    update = {
        name: getattr(config, name).model_copy(update=values) for name, values in sections.items()
    }
    return config.model_copy(update=update)


def peak_gpu_memory() -> int:
    """Return the most bytes that were in use on the GPU since the last call, and start anew."""
    most = torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return most
