"""The gathers of one sample as a differentiable function of its velocity model."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from seistomo.config import Config, RefinementConfig
from seistomo.errors import InputError
from seistomo.simulation.acquisition import interpolate_on_device, place, windowed_sinc
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.propagate import call_bytes, cpu_threads, in_threads
from seistomo.simulation.solver import Solver

Result = TypeVar("Result")
# Half the length of the filter that samples the records, in their samples, and the parameter of
# its Kaiser window (60 dB).
HALF_LENGTH, KAISER_BETA = 4, 5.65
# Frequencies that the two fields of a gradient may hold together, in the wavelet's highest.
SAMPLING = 3.0


def modelling_config(config: Config, settings: RefinementConfig, coarser: float = 1.0) -> Config:
    """Return a data set's configuration with the modelling grid of its inversion.

    It is ``coarser`` than the finest by this factor, but no coarser than the models', nor than
    sources and receivers are deep below a free surface. The absorbing edges are as wide in metres
    as those that the data were simulated with.
    """
    spacing = settings.grid_spacing or config.velocity.spacing / 2
    if spacing > config.velocity.spacing:
        raise InputError(
            f"refinement.grid_spacing = {spacing:g}: must be at most the models' spacing,"
            f" {config.velocity.spacing:g} m"
        )
    own, survey = config.simulation, config.survey
    most = config.velocity.spacing
    if own.free_surface:
        most = min(most, survey.source_depth, survey.receiver_depth)
    spacing = max(spacing, min(coarser * spacing, most))
    width = own.pml_width * (own.grid_spacing or config.velocity.spacing) / spacing
    change = {
        "grid_spacing": spacing,
        "pml_width": min(200, max(round(width), min(own.pml_width, 10))),
    }
    return config.model_copy(update={"simulation": own.model_copy(update=change)})


class Modelling:
    """Shoot one sample's survey over velocity models, with derivatives in the models' nodes.

    What a shot gives does not depend on the shots that share a call, nor on the number of threads.
    ``config`` has the modelling grid of the inversion (`modelling_config`), ``survey`` the
    sample's ``source_x source_depth receiver_x receiver_depth``, m. ``exact``: gradients are made
    of the wavefields of every inner time step, not only of as many as their frequencies need.
    """

    def __init__(
        self,
        config: Config,
        survey: Mapping[str, np.ndarray],
        device: torch.device,
        exact: bool = False,
    ):
        grid, survey_config = ModellingGrid.of(config), config.survey
        # Wavefields that a gradient takes from a sample of the record: it is a sum over time of
        # products of two fields, right where it is finer than their frequencies together.
        highest = survey_config.highest_frequency or 0.5 / survey_config.time_step
        fields = math.ceil(SAMPLING * highest * survey_config.time_step)
        interval = 1 if exact else -(-grid.inner_steps // fields)
        steps = grid.inner_steps if exact else fields * interval
        self.grid, self.device = replace(grid, inner_steps=steps), device
        samples = survey_config.time_samples
        # The filter that samples the records reaches beyond their end.
        longer = {"time_samples": samples + HALF_LENGTH}
        longer = config.model_copy(update={"survey": config.survey.model_copy(update=longer)})
        self._solver = Solver(longer, self.grid, device, interval)
        recorded, acquisition = place(SimpleNamespace(**survey), self.grid)
        self.shots = len(acquisition.source_nodes)
        self._tables = acquisition.tables(device)
        self._recorded = torch.from_numpy(recorded).to(device)
        self._nodes = torch.from_numpy(acquisition.source_nodes).to(device)
        self._weights = torch.from_numpy(acquisition.source_weights).to(device)
        self._sampling = _sampling_matrix(samples, steps).to(device)
        self._rows, self._columns = (
            _interpolation(self.grid, axis, nodes).to(device)
            for axis, nodes in enumerate(config.velocity.shape)
        )
        edges = 2 * config.simulation.pml_width + config.simulation.accuracy
        cells = (self.grid.shape[0] + edges) * (self.grid.shape[1] + edges)
        # Bytes that a shot takes while its gradient is open: wavefields, and records on the way.
        inner = (samples + HALF_LENGTH) * steps
        self.shot_bytes = 4 * (cells * (inner // interval + 20) + 6 * inner * len(recorded))

    def carry(self, model: Tensor) -> Tensor:
        """Bring a model [depth, x], m/s, onto the modelling grid [row, column]: its slowness."""
        return 1 / (self._rows @ (1 / model) @ self._columns.T)

    def carry_change(self, model: Tensor, change: Tensor) -> Tensor:
        """Return the derivative of `carry` along a change of the model."""
        return self.carry(model) ** 2 * (self._rows @ (change / model**2) @ self._columns.T)

    def carry_back(self, model: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient in the model's nodes from one on the modelling grid: the adjoint."""
        weighted = gradient * self.carry(model) ** 2
        return (self._rows.T @ weighted @ self._columns) / model**2

    def each(self, work: Callable[[Tensor], Result], shots: Tensor) -> list[Result]:
        """Return ``work`` of calls of shots, int64 [shot], in their order; threads share them.

        On a CPU a call is one shot: a gradient's last bits depend on the shots beside it.
        """
        on_cpu = self.device.type == "cpu"
        size = 1 if on_cpu else max(1, call_bytes(self.device) // self.shot_bytes)
        return in_threads(cpu_threads(self.device), work, shots.split(size))

    def shoot(self, velocity: Tensor, shots: Tensor) -> Tensor:
        """Return gathers [shot, receiver, time] of models [shot, row, column]; differentiable."""
        return self._sampled(self._solver.propagate(velocity, None, *self._fired(velocity, shots)))

    def born(self, velocity: Tensor, change: Tensor, shots: Tensor) -> Tensor:
        """Return the derivative of `shoot` along a change [shot, row, column] of the models."""
        return self._sampled(self._solver.born(velocity, change, *self._fired(velocity, shots)))

    def _fired(self, velocity: Tensor, shots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the shots' source amplitudes, source nodes and recorded nodes."""
        amplitudes = self._solver.amplitudes(self._weights[shots]).to(velocity.dtype)
        return amplitudes, self._nodes[shots], self._recorded.expand(len(shots), -1, -1)

    def gathers(self, model: Tensor) -> Tensor:
        """Return the gathers [source, receiver, time] of a model [depth, x], without a graph."""
        fine = self.carry(model).float()

        @torch.no_grad()
        def work(call: Tensor) -> Tensor:
            return self.shoot(fine.expand(len(call), -1, -1), call)

        everything = torch.arange(self.shots, device=self.device)
        return torch.cat(self.each(work, everything))

    def _sampled(self, records: Tensor) -> Tensor:
        """Return the receivers' gathers from the nodes' records at inner steps.

        A shot at a time: products of matrices of another size may be rounded otherwise.
        """
        sampling = self._sampling.to(records.dtype)
        sampled = torch.stack([record @ sampling.T for record in records])
        node, weight = self._tables
        return interpolate_on_device((node, weight.to(records.dtype)), sampled)


def _sampling_matrix(samples: int, steps: int) -> Tensor:
    """Return the matrix [time, inner step] that takes the samples of a record out of its steps.

    A low-pass filter at half the records' sampling rate, which leaves what the records can hold.
    Its transpose spreads a residual smoothly over the inner steps; plain picks would drive the
    adjoint field with pulses of an inner step.
    """
    inner = np.arange((samples + HALF_LENGTH) * steps)
    distance = inner / steps - np.arange(samples)[:, None]
    # Before the first step the records are zero, so the whole filter's sum is the unit.
    whole = np.arange(-HALF_LENGTH * steps, HALF_LENGTH * steps + 1) / steps
    unit = np.sum(windowed_sinc(whole, HALF_LENGTH, KAISER_BETA))
    return torch.from_numpy(windowed_sinc(distance, HALF_LENGTH, KAISER_BETA) / unit)


def _interpolation(grid: ModellingGrid, axis: int, nodes: int) -> Tensor:
    """Return the matrix [grid node, model node] of linear interpolation along an axis."""
    before, after = grid.weights(axis, nodes)
    matrix, row = np.zeros((len(before), nodes)), np.arange(len(before))
    matrix[row, before] = 1 - after
    matrix[row, np.minimum(before + 1, nodes - 1)] += after
    return torch.from_numpy(matrix)
