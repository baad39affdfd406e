"""Solve the acoustic wave equation for the shots of many models."""

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import deepwave
import numpy as np
import torch

from seistomo.config import Config
from seistomo.device import choose_device
from seistomo.simulation.checks import TOLERANCE, check_velocity
from seistomo.simulation.grid import COURANT, ModellingGrid
from seistomo.simulation.interpolation import interpolation_matrix, point_stencil
from seistomo.simulation.noise import NOISE, add_noise, random_stream
from seistomo.simulation.survey import Survey
from seistomo.simulation.wavelet import make_wavelet

# Shots are propagated at once up to this estimate, whatever simulation.models_per_call asks.
MEMORY_LIMIT = 2**28


Span = tuple[float, float]


class Simulator:
    """Shoot a survey over velocity models: call it with models, get their gathers.

    Solves (1/c²) ∂²u/∂t² - ∇²u = s(t) δ(x - x_s) δ(z - z_s) with absorbing edges on all sides;
    see docs/physics.md for units, errors and what is left out.

    The bytes of a sample's gathers depend on its model, the configuration and its index alone,
    not on the models that share the call nor on the number of threads: the time step and the
    absorbing edges follow the configuration's bounds and never the models of a call, and shots
    are interpolated one by one.

    Parameters
    ----------
    config
        The configuration; `check_simulation` says whether it can be trusted.
    device
        auto (cuda where there is one), cpu, cuda or cuda:N.

    Attributes
    ----------
    wave_seconds
        Time in which the wave equation was being solved, by one thread or several, in all calls
        so far, s.

    Raises
    ------
    InputError
        For a device that is not there, or a modelling grid coarser than the models.
    """

    def __init__(self, config: Config, device: str = "auto"):
        self.config = config
        self.device = choose_device(device)
        self.grid = ModellingGrid.of(config)
        survey = Survey.draw(config, config.dataset.seed, 0)
        sources = self.grid.to_cells(survey.source_depth, survey.source_x)
        receivers = self.grid.to_cells(survey.receiver_depth, survey.receiver_x)
        self._source_nodes, weights = point_stencil(*sources)
        self._recorded_nodes, self._matrix = interpolation_matrix(*receivers)
        self._source_amplitudes = self._point_sources(weights)
        self.wave_seconds = 0.0

    def __call__(self, velocity: np.ndarray, indices: Sequence[int]) -> np.ndarray:
        """Simulate the gathers of some samples, with their noise and dead traces.

        Parameters
        ----------
        velocity
            float32 [model, depth, x], m/s.
        indices
            The samples' indices [model]; noise and dead traces depend on them.

        Returns
        -------
        numpy.ndarray
            float32 [model, source, receiver, time], in the unit of the wavelet.

        Raises
        ------
        InputError
            For models of another shape, or with NaN or speeds outside velocity.minimum to
            velocity.maximum; names the sample.
        """
        velocity = np.asarray(velocity)
        check_velocity(velocity, indices, self.config.velocity)
        survey = self.config.survey
        gathers = np.empty(
            (len(velocity), survey.sources, survey.receivers, survey.time_samples), np.float32
        )
        shots = gathers.reshape(-1, survey.receivers, survey.time_samples)
        models = self.grid.carry(velocity.astype(np.float32, copy=False))
        self._propagate_all(models, shots)
        for gather, index in zip(gathers, indices, strict=True):
            self._spoil(gather, index)
        return gathers

    @property
    def shot_bytes(self) -> int:
        """Estimated memory that one shot of a call takes, bytes.

        Ten fields (speed, two wavefields, seven of the absorbing edges) and, over the inner time
        steps, the source amplitudes (twice) and the recorded nodes (with a check of their values).
        """
        edges = 2 * self.config.simulation.pml_width + self.config.simulation.accuracy
        cells = (self.grid.shape[0] + edges) * (self.grid.shape[1] + edges)
        taps = self._source_amplitudes.shape[1]
        steps = self._source_amplitudes.shape[2]
        return 4 * (10 * cells + steps * (2 * taps + 2 * len(self._recorded_nodes)))

    def _propagate_all(self, models: np.ndarray, shots: np.ndarray) -> None:
        """Propagate all shots of ``models`` and write them, float32 [shot, receiver, time].

        On a CPU the shots are divided among threads. deepwave itself would divide each inner time
        step of each shot, and wait for the slowest thread tens of thousands of times a model.
        """
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        asked = self.config.simulation.models_per_call * self.config.survey.sources
        together = min(asked, len(shots), max(1, MEMORY_LIMIT // self.shot_bytes))
        size = -(-together // threads)
        calls = [range(i, min(i + size, len(shots))) for i in range(0, len(shots), size)]
        if threads == 1:
            for call in calls:
                self.wave_seconds += covered_seconds([self._propagate(models, call, shots)])
            return
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as p:
                spans = p.map(lambda call: self._propagate(models, call, shots), calls)
                self.wave_seconds += covered_seconds(spans)
        finally:
            # The threads' own setting reaches the linear algebra library of the whole process.
            torch.set_num_threads(threads)

    def _point_sources(self, weights: np.ndarray) -> torch.Tensor:
        """Return the right-hand side at the sources' nodes, float32 [source, tap, inner step].

        A point source of strength s(t) is s(t) / spacing² in one cell, and deepwave solves
        ∇²u - (1/c²) ∂²u/∂t² = f: hence the sign.
        """
        survey, steps = self.config.survey, self.grid.inner_steps
        wavelet = make_wavelet(survey, survey.time_step / steps, survey.time_samples * steps)
        amplitudes = -weights[:, :, None] * wavelet / self.grid.spacing**2
        return torch.from_numpy(amplitudes.astype(np.float32))

    def _propagate(self, models: np.ndarray, call: range, shots: np.ndarray) -> Span:
        """Write the shots of ``call``, a range of ``shots``; return when deepwave was at work."""
        model, source = np.divmod(np.asarray(call), self.config.survey.sources)
        recorded = np.broadcast_to(self._recorded_nodes, (len(call), *self._recorded_nodes.shape))
        # At the inner time step deepwave resamples nothing: its Fourier resampling would ring
        # where a record ends and put the ringing before the first arrival.
        started = time.perf_counter()
        with torch.inference_mode():
            output = deepwave.scalar(
                torch.from_numpy(models[model]).to(self.device),
                self.grid.spacing,
                self.config.survey.time_step / self.grid.inner_steps,
                source_amplitudes=self._source_amplitudes[source].to(self.device),
                source_locations=torch.from_numpy(self._source_nodes[source]).to(self.device),
                receiver_locations=torch.from_numpy(recorded.copy()).to(self.device),
                accuracy=self.config.simulation.accuracy,
                pml_width=self.config.simulation.pml_width,
                pml_freq=self.config.survey.frequency,
                # Room for speeds at the bound, rounded to float32.
                max_vel=self.config.velocity.maximum * (1 + 2 * TOLERANCE),
                courant_number=COURANT * (1 + 4 * TOLERANCE),
            )
            records = output.receiver_amplitudes[..., :: self.grid.inner_steps].contiguous().cpu()
        span = (started, time.perf_counter())
        for shot, record in zip(call, records.numpy(), strict=True):
            shots[shot] = self._matrix @ record
        return span

    def _spoil(self, gather: np.ndarray, index: int) -> None:
        """Add the noise and the dead traces of sample ``index`` in place."""
        seed, snr = self.config.dataset.seed, self.config.simulation.noise_snr
        dead_trace = Survey.draw(self.config, seed, index).dead_trace
        if snr is not None:
            gather[...] = add_noise(gather, snr, random_stream(seed, index, NOISE), dead_trace)
        gather[dead_trace] = 0


def covered_seconds(spans: Iterable[Span]) -> float:
    """Return the length of the union of time spans (start, stop)."""
    total, reached = 0.0, -np.inf
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return total
