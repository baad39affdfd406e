"""The survey on the modelling grid: which nodes are driven and recorded, with which weights."""

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from seistomo.config import Config
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.interpolation import (
    interpolation_matrix,
    point_stencil,
    row_nodes,
    tap_tables,
)
from seistomo.simulation.survey import Survey


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One sample's survey on the grid."""

    source_nodes: np.ndarray  # int64 [source, tap, 2], row and column
    source_weights: np.ndarray  # float64 [source, tap]
    source_centres: np.ndarray  # int64 [source, 2], the node nearest to each source
    matrix: csr_array  # float32 [receiver, recorded node]: from nodes' records to receivers'
    _tables: dict[torch.device, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the matrix for `interpolate_on_device`, uploaded once."""
        if device not in self._tables:
            node, weight = tap_tables(self.matrix)
            self._tables[device] = (
                torch.from_numpy(node).to(device),
                torch.from_numpy(weight).to(device),
            )
        return self._tables[device]


class AcquisitionPlan:
    """The surveys of all samples on the grid; one set of recorded nodes serves them all.

    Where positions are the same for all samples, exactly the nodes that the receivers need are
    recorded; with jitter, all nodes of the rows that the receivers lie in or between.

    Parameters
    ----------
    config
        The configuration.
    grid
        The modelling grid.

    Attributes
    ----------
    recorded_nodes
        int64 [node, 2], row and column, sorted by both.
    taps
        Nodes that stand for a source.
    """

    def __init__(self, config: Config, grid: ModellingGrid):
        self._config, self._grid = config, grid
        survey = config.survey
        self._source_jitter = survey.source_jitter > 0
        first = Survey.draw(config, config.dataset.seed, 0)
        rows, columns = grid.to_cells(first.receiver_depth, first.receiver_x)
        if survey.receiver_jitter:
            ends = np.array(survey.reach(config.velocity.x_extent))
            self.recorded_nodes = row_nodes(rows, grid.to_cells(np.zeros(2), ends)[1], grid.surface)
        else:
            self.recorded_nodes, _ = interpolation_matrix(rows, columns, grid.surface)
        alike = not (survey.source_jitter or survey.receiver_jitter)
        placed = self._place(first)
        self.taps = placed.source_weights.shape[1]
        self._shared = placed if alike else None

    def of(self, index: int) -> Acquisition:
        """Return the acquisition of sample ``index``."""
        if self._shared is not None:
            return self._shared
        return self._place(Survey.draw(self._config, self._config.dataset.seed, index))

    def _place(self, survey: Survey) -> Acquisition:
        grid = self._grid
        sources = grid.to_cells(survey.source_depth, survey.source_x)
        receivers = grid.to_cells(survey.receiver_depth, survey.receiver_x)
        nodes, weights = point_stencil(*sources, grid.surface, self._source_jitter)
        _, matrix = interpolation_matrix(*receivers, grid.surface, self.recorded_nodes)
        centres = np.rint(np.stack(sources, axis=-1)).astype(np.int64)
        return Acquisition(nodes, weights, centres, matrix)
