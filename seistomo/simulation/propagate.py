"""Solve the acoustic wave equation for the shots of many models."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from seistomo.config import Config
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.simulation.acquisition import (
    Acquisition,
    AcquisitionPlan,
    interpolate_on_device,
)
from seistomo.simulation.checks import check_velocity
from seistomo.simulation.grid import ModellingGrid, density_of
from seistomo.simulation.solver import Solver
from seistomo.simulation.survey import NOISE, Survey, add_noise, random_stream

# Shots are propagated at once up to this estimate, bytes, whatever simulation.models_per_call asks.
MEMORY_LIMIT = 2**28
# On a GPU, which many shots keep busy: up to this part of what is free, and no more than this.
GPU_SHARE, GPU_MEMORY_LIMIT = 1 / 8, 2**33

Span = tuple[float, float]
Item, Result = TypeVar("Item"), TypeVar("Result")


@dataclass(frozen=True, eq=False)
class _Shoot:
    """Samples on grid and device; a shot is a sample and one of its sources."""

    velocity: Tensor  # float32 [sample, row, column]
    density: Tensor | None  # the same, None where it is constant
    source_density: Tensor | None  # float32 [sample, source]
    source_nodes: Tensor  # int64 [sample, source, tap, 2]
    source_weights: Tensor  # float64 [sample, source, tap]
    acquisitions: list[Acquisition]  # [sample]


class Simulator:
    """Shoot a survey over velocity models: call it with models, get their gathers.

    Solves (1/c²) ∂²u/∂t² - ρ ∇·(∇u / ρ) = s(t) δ(x - x_s) δ(z - z_s), by default with constant
    density ρ and absorbing edges on all sides; see docs/physics.md for units, errors and what is
    left out.

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
        For a device that is not there, a modelling grid coarser than the models, sources or
        receivers too near to a free surface, or a wavelet file that cannot be used.
    """

    def __init__(self, config: Config, device: str = "auto"):
        self.config = config
        self.device = choose_device(device)
        self.grid = ModellingGrid.of(config)
        self.wave_seconds = 0.0
        self._plan = AcquisitionPlan(config, self.grid)
        self._solver = Solver(config, self.grid, self.device)
        self._recorded = self._put(self._plan.recorded_nodes)
        self._counting = threading.Lock()
        self._call_bytes = call_bytes(self.device)
        # deepwave keeps the settings of its CUDA kernels in one place for all threads.
        on_gpu = self.device.type == "cuda"
        self._solving = threading.Lock() if on_gpu else nullcontext()
        self._side_stream = torch.cuda.Stream(self.device) if on_gpu else None

    def __call__(
        self, velocity: np.ndarray, indices: Sequence[int], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Simulate the gathers of some samples, with their noise and dead traces.

        Parameters
        ----------
        velocity
            float32 [model, depth, x], m/s.
        indices
            The samples' indices [model]; jitter, noise and dead traces depend on them.
        out
            float32 [model, source, receiver, time]: where to put the gathers, without gaps;
            left out: a new array.

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
        shape = (len(velocity), survey.sources, survey.receivers, survey.time_samples)
        gathers = self._empty(shape) if out is None else _checked(out, shape)
        shots = gathers.reshape(-1, survey.receivers, survey.time_samples)
        self._propagate_all(self._prepare(velocity.astype(np.float32, copy=False), indices), shots)
        for gather, index in zip(gathers, indices, strict=True):
            self._spoil(gather, index)
        return gathers

    @property
    def shot_bytes(self) -> int:
        """Estimated memory that one shot of a call takes, bytes.

        Its fields and, over the inner time steps, the source amplitudes (thrice: once in double
        precision) and the recorded nodes (twice: with a copy of what the record samples).
        """
        edges = 2 * self.config.simulation.pml_width + self.config.simulation.accuracy
        cells = (self.grid.shape[0] + edges) * (self.grid.shape[1] + edges)
        steps = self.config.survey.time_samples * self.grid.inner_steps
        kept = 3 * self._plan.taps + 2 * len(self._plan.recorded_nodes)
        return 4 * (self._solver.fields * cells + steps * kept)

    def _empty(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array for gathers; pinned where a GPU writes to it."""
        return torch.empty(shape, pin_memory=self.device.type == "cuda").numpy()

    def _prepare(self, velocity: np.ndarray, indices: Sequence[int]) -> _Shoot:
        """Bring models and their acquisitions to the grid and the device."""
        acquisitions = [self._plan.of(index) for index in indices]
        density = at_sources = None
        if self.config.simulation.density != "constant":
            # Only ratios of densities count; around 1 the particle velocity does not underflow.
            density = self.grid.carry_density(density_of(velocity, self.config)) / 1000
            centres = np.stack([acquisition.source_centres for acquisition in acquisitions])
            sample = np.arange(len(centres))[:, None]
            at_sources = self._put(density[sample, centres[..., 0], centres[..., 1]])
            density = self._put(density)
        return _Shoot(
            self._put(self.grid.carry(velocity)),
            density,
            at_sources,
            self._put(np.stack([acquisition.source_nodes for acquisition in acquisitions])),
            self._put(np.stack([acquisition.source_weights for acquisition in acquisitions])),
            acquisitions,
        )

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)

    def _propagate_all(self, shoot: _Shoot, shots: np.ndarray) -> None:
        """Propagate all shots and write them, float32 [shot, receiver, time].

        On a CPU the shots are divided among threads. deepwave itself would divide each inner time
        step of each shot, and wait for the slowest thread tens of thousands of times a model.
        """
        threads = cpu_threads(self.device)
        asked = self.config.simulation.models_per_call * self.config.survey.sources
        together = min(asked, len(shots), max(1, self._call_bytes // self.shot_bytes))
        size = -(-together // threads)
        calls = [range(i, min(i + size, len(shots))) for i in range(0, len(shots), size)]
        spans = in_threads(threads, lambda call: self._propagate(shoot, call, shots), calls)
        self._count(spans)

    def _count(self, spans: Iterable[Span]) -> None:
        seconds = covered_seconds(spans)
        with self._counting:
            self.wave_seconds += seconds

    def _propagate(self, shoot: _Shoot, call: range, shots: np.ndarray) -> Span:
        """Write the shots of ``call``, a range of ``shots``; return when deepwave was at work."""
        sample, source = (
            torch.from_numpy(part).to(self.device)
            for part in np.divmod(np.asarray(call), self.config.survey.sources)
        )
        with self._solving, torch.inference_mode():
            started, begin = time.perf_counter(), self._mark()
            records = self._solver.record(
                shoot.velocity[sample],
                None if shoot.density is None else shoot.density[sample],
                shoot.source_nodes[sample, source],
                shoot.source_weights[sample, source],
                None if shoot.density is None else shoot.source_density[sample, source],
                self._recorded.expand(len(call), -1, -1),
            )
            end = self._mark()
        if self.device.type == "cpu":
            span = (started, time.perf_counter())
            finite = bool(torch.isfinite(records.sum()))
            for shot, record in zip(call, records.numpy(), strict=True):
                shots[shot] = shoot.acquisitions[shot // self.config.survey.sources].matrix @ record
        else:
            finite = self._deliver(records, shoot.acquisitions, call, shots, end)
            span = (0.0, begin.elapsed_time(end) / 1000)
        if not finite:
            raise InputError(
                f"survey.amplitude = {self.config.survey.amplitude:g}: the gathers pass what"
                " float32 can hold; use a smaller one"
            )
        return span

    def _mark(self) -> "torch.cuda.Event | None":
        """Return an event of the GPU's stream as it stands; the host does not wait for it."""
        if self.device.type == "cpu":
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def _deliver(
        self,
        records: Tensor,
        acquisitions: list[Acquisition],
        call: range,
        shots: np.ndarray,
        recorded: "torch.cuda.Event",
    ) -> bool:
        """Write the receivers' records from a GPU; return whether all are finite.

        On a stream of its own, beside the next call's shots.
        """
        sources = self.config.survey.sources
        with torch.cuda.stream(self._side_stream), torch.inference_mode():
            self._side_stream.wait_event(recorded)
            finite = torch.isfinite(records.sum())
            for sample in range(call.start // sources, (call.stop - 1) // sources + 1):
                first = max(call.start, sample * sources)
                stop = min(call.stop, (sample + 1) * sources)
                piece = records[first - call.start : stop - call.start]
                points = interpolate_on_device(acquisitions[sample].tables(self.device), piece)
                torch.from_numpy(shots[first:stop]).copy_(points, non_blocking=True)
            self._side_stream.synchronize()
            return bool(finite)

    def _spoil(self, gather: np.ndarray, index: int) -> None:
        """Add the noise and the dead traces of sample ``index`` in place."""
        seed, snr = self.config.dataset.seed, self.config.simulation.noise_snr
        dead_trace = Survey.draw(self.config, seed, index).dead_trace
        if snr is not None:
            gather[...] = add_noise(gather, snr, random_stream(seed, index, NOISE), dead_trace)
        gather[dead_trace] = 0


def _checked(out: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(
            f"out: must be float32 {list(shape)} without gaps, not {out.dtype} {list(out.shape)}"
        )
    return out


def cpu_threads(device: torch.device) -> int:
    """Return among how many threads shots are divided."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def in_threads(threads: int, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return ``work`` of each item, done by so many threads with one OpenMP thread each."""
    if threads == 1:
        return [work(item) for item in items]
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, items))
    finally:
        # The threads' own setting reaches the linear algebra library of the whole process.
        torch.set_num_threads(threads)


def call_bytes(device: torch.device) -> int:
    """Return how much memory the shots of one call may take; no sample's bytes depend on it."""
    if device.type != "cuda":
        return MEMORY_LIMIT
    free, _ = torch.cuda.mem_get_info(device)
    return min(int(free * GPU_SHARE), GPU_MEMORY_LIMIT)


def covered_seconds(spans: Iterable[Span]) -> float:
    """Return the length of the union of time spans (start, stop)."""
    total, reached = 0.0, -np.inf
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return total
