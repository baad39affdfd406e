"""deepwave, asked for the records of some shots on the modelling grid."""

import warnings

import deepwave
import numpy as np
import torch
from torch import Tensor

from seistomo.config import Config
from seistomo.simulation.checks import TOLERANCE
from seistomo.simulation.grid import ModellingGrid, courant_number
from seistomo.simulation.wavelet import make_wavelet, ricker_frequency

# Fields on the grid that one shot takes: speed, two wavefields, seven of the absorbing edges; with
# variable density also density, two buoyancies and a velocity, and copies made on the way.
FIELDS, FIELDS_OF_VARIABLE_DENSITY = 10, 16


class Solver:
    """Propagate shots over models on the modelling grid and record nodes.

    ``driving``, float64 [inner step], is what a source's node is driven with, times spacing²; a
    shot takes ``fields`` fields on the grid in memory.

    A point source of strength s(t) is s(t) / spacing² in one cell. For constant density deepwave
    solves ∇²u - (1/c²) ∂²u/∂t² = f: hence the minus sign. For variable density it takes the
    volume q injected in unit time and volume, and (1/c²) ∂²p/∂t² - ρ ∇·(∇p / ρ) = ρ ∂q/∂t: so
    q is the integral of s over time, over the density at the source. Summed (not integrated by a
    better rule) it makes both schemes step through time alike.
    """

    def __init__(
        self, config: Config, grid: ModellingGrid, device: torch.device, gradient_interval: int = 1
    ):
        self._grid, self._device = grid, device
        self._varies = config.simulation.density != "constant"
        survey, steps = config.survey, grid.inner_steps
        self._step = survey.time_step / steps
        wavelet = make_wavelet(survey, self._step, survey.time_samples * steps)
        driving = np.cumsum(wavelet) * self._step if self._varies else -wavelet
        self.driving = torch.from_numpy(driving).to(device)
        self.fields = FIELDS_OF_VARIABLE_DENSITY if self._varies else FIELDS
        width, free = config.simulation.pml_width, grid.surface is not None
        # Time step and edges follow the configuration's bounds, never the models of a call.
        self._options = {
            "accuracy": config.simulation.accuracy,
            "pml_width": [0 if free else width, width, width, width],
            "boundary": ["free" if free else "pml", "pml", "pml", "pml"],
            "pml_freq": ricker_frequency(survey),
            # Inner steps between the wavefields that a gradient is made of.
            "model_gradient_sampling_interval": gradient_interval,
            # `Simulator` checks the records that are kept.
            "check_output_finite": False,
            # Room for speeds at the bound, rounded to float32.
            "max_vel": config.velocity.maximum * (1 + 2 * TOLERANCE),
            "courant_number": courant_number(config) * (1 + 4 * TOLERANCE),
        }

    def record(
        self,
        velocity: Tensor,
        density: Tensor | None,
        source_nodes: Tensor,
        source_weights: Tensor,
        source_density: Tensor | None,
        recorded_nodes: Tensor,
    ) -> Tensor:
        """Return what nodes record of some shots, float32 [shot, node, time] of the record.

        Models are [shot, row, column], density in any unit and None where constant; nodes int64
        [shot, tap or node, 2].
        """
        amplitudes = self.amplitudes(source_weights, source_density)
        records = self.propagate(velocity, density, amplitudes, source_nodes, recorded_nodes)
        return records[..., :: self._grid.inner_steps].contiguous()

    def amplitudes(self, source_weights: Tensor, source_density: Tensor | None = None) -> Tensor:
        """Return what each node [shot, tap] of the sources is driven with, float32 [.., step]."""
        amplitudes = source_weights[:, :, None] * self.driving
        amplitudes /= self._grid.spacing**2
        if source_density is not None:
            amplitudes /= source_density[:, None, None]
        return amplitudes.float()

    def propagate(
        self,
        velocity: Tensor,
        density: Tensor | None,
        amplitudes: Tensor,
        source_nodes: Tensor,
        recorded_nodes: Tensor,
    ) -> Tensor:
        """Return deepwave's own records, float32 [shot, node, inner step].

        ``amplitudes`` float32 [shot, tap, inner step]: what each source node is driven with.
        """
        grid, step = self._grid.spacing, self._step
        if density is None:
            return deepwave.scalar(
                velocity,
                grid,
                step,
                source_amplitudes=amplitudes,
                source_locations=source_nodes,
                receiver_locations=recorded_nodes,
                **self._options,
            ).receiver_amplitudes
        return deepwave.acoustic(
            velocity,
            density,
            grid,
            step,
            source_amplitudes_volume_rate=amplitudes,
            source_locations_volume_rate=source_nodes,
            receiver_locations_p=recorded_nodes,
            **self._options,
        ).receiver_amplitudes_p

    def born(
        self,
        velocity: Tensor,
        change: Tensor,
        amplitudes: Tensor,
        source_nodes: Tensor,
        recorded_nodes: Tensor,
    ) -> Tensor:
        """Return the derivative of what `propagate` records along a change of the velocity.

        For constant density; ``change`` [shot, row, column], m/s.
        """
        with warnings.catch_warnings():
            # Of what an older version did at the model's edges.
            warnings.simplefilter("ignore", deepwave.MigrationWarning)
            return deepwave.scalar_born(
                velocity,
                self._grid.spacing,
                self._step,
                dv=change,
                source_amplitudes=amplitudes,
                source_locations=source_nodes,
                sc_receiver_locations=recorded_nodes,
                **self._options,
            ).sc_receiver_amplitudes
