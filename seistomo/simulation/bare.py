"""deepwave alone, over the shots of a survey: what the pipeline's speed is measured against.

Nothing is drawn, interpolated by us, brought to the host or stored.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import deepwave
import numpy as np
import torch
from torch import Tensor

from seistomo.config import Config
from seistomo.device import choose_device
from seistomo.simulation.density import density_of
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.interpolation import HALF_WIDTH
from seistomo.simulation.solver import wave_options
from seistomo.simulation.survey import Survey
from seistomo.simulation.wavelet import make_wavelet


@dataclass(frozen=True)
class BareSettings:
    """How a bare loop goes through its shots.

    Attributes
    ----------
    threads
        Threads that the calls of deepwave are divided among.
    inner_threads
        Threads that each call uses itself, on a CPU.
    shots
        Shots a call.
    """

    threads: int
    inner_threads: int
    shots: int

    def __str__(self) -> str:
        """Return one line for people."""
        if self.threads > 1:
            return f"{self.shots} shots a call, calls divided among {self.threads} threads"
        if self.inner_threads > 1:
            return f"{self.shots} shots a call, {self.inner_threads} threads inside deepwave"
        return f"{self.shots} shots a call, one thread"


class BareLoop:
    """The shots of some models, ready to be propagated by deepwave and by nothing else.

    The equation, the grid, its margins, the time step, the absorbing edges and the order of the
    scheme are those of `Simulator`; the gathers stay where deepwave leaves them, at its inner
    time step.

    Parameters
    ----------
    config
        The configuration.
    velocity
        float32 [model, depth, x], m/s.
    indices
        The samples' indices [model].
    device
        auto, cpu, cuda or cuda:N.
    positions
        ``nodes``: sources and receivers at the nearest nodes, receivers that share a node
        recorded once: the least that can be asked. ``between``: where they are, by deepwave's own
        interpolation, whose weights it works out for each call. ``between, kept``: the receivers'
        weights are worked out when they are first needed and kept; all samples must share them.
    """

    def __init__(
        self,
        config: Config,
        velocity: np.ndarray,
        indices: Sequence[int],
        device: str = "auto",
        positions: Literal["nodes", "between", "between, kept"] = "nodes",
    ):
        if positions == "between, kept" and config.survey.receiver_jitter:
            raise ValueError("weights cannot be kept where samples have receivers of their own")
        self.config, self.grid = config, ModellingGrid.of(config)
        self.device = choose_device(device)
        self._positions, self._kept = positions, {}
        surveys = [Survey.draw(config, config.dataset.seed, index) for index in indices]
        self._place(surveys)
        velocity = np.asarray(velocity, np.float32)
        self._models = self._put(self.grid.carry(velocity))
        steps, survey = self.grid.inner_steps, config.survey
        self._step = survey.time_step / steps
        wavelet = make_wavelet(survey, self._step, survey.time_samples * steps)
        self._density = self._source_density = None
        # Signs and units are those of `Solver`.
        driving = -wavelet
        if config.simulation.density != "constant":
            driving = np.cumsum(wavelet) * self._step
            density = self.grid.carry_density(density_of(velocity, config)) / 1000
            model = np.arange(len(density))[:, None]
            nearest = self._source_centres
            at_sources = density[model, nearest[..., 0], nearest[..., 1]]
            self._density, self._source_density = self._put(density), self._put(at_sources)
        self._driving = self._put((driving / self.grid.spacing**2).astype(np.float32))
        self._options = {**wave_options(config, self.grid), "check_output_finite": False}

    @property
    def shots(self) -> int:
        """Shots in all."""
        return len(self._models) * self.config.survey.sources

    def run(
        self, settings: BareSettings, keep: Callable[[range, Tensor], None] | None = None
    ) -> None:
        """Propagate all shots; return when the device has finished.

        Parameters
        ----------
        settings
            How.
        keep
            Given the shots of each call and what deepwave recorded of them, float32
            [shot, point, inner step]; None: it is let go.
        """
        calls = [
            range(first, min(first + settings.shots, self.shots))
            for first in range(0, self.shots, settings.shots)
        ]
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
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def gathers(self, settings: BareSettings) -> np.ndarray:
        """Propagate all shots and return what the receivers record.

        Returns
        -------
        numpy.ndarray
            float32 [model, source, receiver, time], without noise and dead traces.
        """
        survey, steps = self.config.survey, self.grid.inner_steps
        shape = (self.shots, survey.receivers, survey.time_samples)
        gathers = np.empty(shape, np.float32)

        def keep(call: range, records: Tensor) -> None:
            sampled = records[..., ::steps].cpu().numpy()
            for shot, record in zip(call, sampled, strict=True):
                gathers[shot] = record[self._point_of_receiver[shot // survey.sources]]

        self.run(settings, keep)
        return gathers.reshape(len(self._models), survey.sources, *shape[1:])

    def _place(self, surveys: Sequence[Survey]) -> None:
        """Set source locations [model, source, 2] and receiver locations [model, point, 2]."""
        sources = np.stack([self._cells(s.source_depth, s.source_x) for s in surveys])
        receivers = [self._cells(s.receiver_depth, s.receiver_x) for s in surveys]
        self._source_centres = np.rint(sources).astype(np.int64)
        if self._positions != "nodes":
            self._point_of_receiver = [np.arange(len(cells)) for cells in receivers]
            self._sources = torch.from_numpy(sources)
            self._receivers = torch.from_numpy(np.stack(receivers))
            return
        found = [
            np.unique(np.rint(cells).astype(np.int64), axis=0, return_inverse=True)
            for cells in receivers
        ]
        self._point_of_receiver = [inverse for _, inverse in found]
        # Receivers may share more nodes in one sample than in another.
        most = max(len(nodes) for nodes, _ in found)
        points = np.full((len(found), most, 2), deepwave.IGNORE_LOCATION, np.int64)
        for place, (nodes, _) in zip(points, found, strict=True):
            place[: len(nodes)] = nodes
        self._sources = self._put(self._source_centres)
        self._receivers = self._put(points)

    def _cells(self, depth: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.stack(self.grid.to_cells(depth, x), axis=-1)

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _interpolation(self, cells: Tensor) -> deepwave.Hicks:
        """Return deepwave's interpolation of points [shot, point, 2], in cells."""
        rows, columns = self.grid.shape
        free = self.grid.surface is not None
        return deepwave.Hicks(
            cells.to(self.device),
            halfwidth=HALF_WIDTH,
            free_surfaces=[free, False, False, False],
            free_surface_locs=[self.grid.surface if free else -1, rows, -1, columns],
            model_shape=self.grid.shape,
            dtype=torch.float32,
        )

    def _points(self, model: Tensor, source: Tensor) -> tuple[Any, Any]:
        """Return the locations of the sources and receivers of some shots."""
        sources, receivers = self._sources[model, source][:, None], self._receivers[model]
        if self._positions == "nodes":
            return sources, receivers
        if self._positions == "between":
            return self._interpolation(sources), self._interpolation(receivers)
        if len(model) not in self._kept:
            self._kept[len(model)] = self._interpolation(receivers)
        return self._interpolation(sources), self._kept[len(model)]

    def _propagate(self, call: range) -> Tensor:
        """Return what deepwave records of the shots of ``call``, [shot, point, inner step]."""
        shots = torch.arange(call.start, call.stop)
        model = shots // self.config.survey.sources
        source = shots % self.config.survey.sources
        with torch.inference_mode():
            sources, receivers = self._points(model, source)
            driving = self._driving.expand(len(call), 1, -1)
            if self._density is None:
                return deepwave.scalar(
                    self._models[model],
                    self.grid.spacing,
                    self._step,
                    source_amplitudes=driving,
                    source_locations=sources,
                    receiver_locations=receivers,
                    **self._options,
                ).receiver_amplitudes
            return deepwave.acoustic(
                self._models[model],
                self._density[model],
                self.grid.spacing,
                self._step,
                source_amplitudes_volume_rate=driving
                / self._source_density[model, source][:, None, None],
                source_locations_volume_rate=sources,
                receiver_locations_p=receivers,
                **self._options,
            ).receiver_amplitudes_p
