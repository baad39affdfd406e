"""deepwave alone, over the shots of a survey: what the pipeline's speed is measured against."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import deepwave
import numpy as np
import torch
from torch import Tensor

from seistomo.config import Config
from seistomo.device import choose_device
from seistomo.simulation.grid import ModellingGrid, density_of
from seistomo.simulation.solver import Solver
from seistomo.simulation.survey import Survey


@dataclass(frozen=True)
class BareSettings:
    """How a bare loop goes through its shots."""

    threads: int  # that the calls of deepwave are divided among
    inner_threads: int  # that each call uses itself, on a CPU
    shots: int  # a call

    def __str__(self) -> str:
        return (
            f"{self.shots} shots a call, calls divided among {self.threads} thread(s),"
            f" {self.inner_threads} inside deepwave"
        )


class BareLoop:
    """The shots of some models, ready to be propagated by deepwave and by nothing else.

    Equation, grid, time step and edges are those of `Simulator`. Sources and receivers are at the
    nearest nodes, and receivers that share one are recorded once: the least that can be asked.
    """

    def __init__(
        self, config: Config, velocity: np.ndarray, indices: Sequence[int], device: str = "auto"
    ):
        grid, self._device = ModellingGrid.of(config), choose_device(device)
        self._solver = Solver(config, grid, self._device)
        surveys = [Survey.draw(config, config.dataset.seed, index) for index in indices]

        def nodes(depth: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.rint(np.stack(grid.to_cells(depth, x), axis=-1)).astype(np.int64)

        sources = np.stack([nodes(one.source_depth, one.source_x) for one in surveys])
        found = [np.unique(nodes(s.receiver_depth, s.receiver_x), axis=0) for s in surveys]
        # Receivers may share more nodes in one sample than in another.
        most = max(map(len, found))
        points = np.full((len(found), most, 2), deepwave.IGNORE_LOCATION, np.int64)
        for place, own in zip(points, found, strict=True):
            place[: len(own)] = own
        velocity = np.asarray(velocity, np.float32)
        self._velocity, self._density = self._put(grid.carry(velocity)), None
        amplitudes = self._solver.driving / grid.spacing**2
        if config.simulation.density != "constant":
            density = grid.carry_density(density_of(velocity, config)) / 1000
            model = np.arange(len(density))[:, None]
            at_sources = density[model, sources[..., 0], sources[..., 1]]
            amplitudes = amplitudes / self._put(at_sources)[:, :, None, None]
            self._density = self._put(density)
        # With constant density all shots share one wavelet: no copies of it.
        self._amplitudes = amplitudes.float().expand(*sources.shape[:2], 1, -1).flatten(0, 1)
        self._sources, self._receivers = self._put(sources).flatten(0, 1), self._put(points)
        self._sources_a_model = sources.shape[1]

    def run(
        self, settings: BareSettings, keep: Callable[[range, Tensor], None] | None = None
    ) -> None:
        """Propagate all shots; return when the device has finished.

        ``keep`` is given the shots of each call and what deepwave recorded of them, float32
        [shot, point, inner step].
        """
        size, shots = settings.shots, len(self._sources)
        calls = [range(first, min(first + size, shots)) for first in range(0, shots, size)]
        before = torch.get_num_threads()
        start_thread = partial(torch.set_num_threads, settings.inner_threads)
        try:
            with (
                warnings.catch_warnings(action="ignore", category=deepwave.MigrationWarning),
                ThreadPoolExecutor(settings.threads, initializer=start_thread) as pool,
            ):
                for call, records in zip(calls, pool.map(self._propagate, calls), strict=True):
                    if keep is not None:
                        keep(call, records)
                    del records
        finally:
            # The threads' own setting reaches the linear algebra library of the whole process.
            torch.set_num_threads(before)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def _propagate(self, call: range) -> Tensor:
        shots = torch.arange(call.start, call.stop, device=self._device)
        model = shots // self._sources_a_model
        with torch.inference_mode():
            return self._solver.propagate(
                self._velocity[model],
                None if self._density is None else self._density[model],
                self._amplitudes[call.start : call.stop],
                self._sources[shots][:, None],
                self._receivers[model],
            )

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
