"""How well velocity models explain the recorded data: the wave equation solved over them again.

``data_misfit`` is ‖d_pred − d_obs‖² / ‖d_obs‖² over the live traces of a sample; in
``data_misfit_far`` each trace first has a weight, 0 near its source and 1 far from it
(`offset_taper`): a point source is singular in 2D, so the strongest traces depend on the grid more
than on the earth.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seistomo.config.survey import NEAR_OFFSET, offsets
from seistomo.dataset import DatasetReader, VelocityReader
from seistomo.errors import InputError
from seistomo.evaluation.metrics import MISFITS
from seistomo.evaluation.prediction import read_gathers
from seistomo.progress import bar
from seistomo.simulation import Simulator

BINS = 20
"""Ranges of offset that the misfit is told for."""

Array = NDArray[np.float64]
Gathers = NDArray[np.float32]


def offset_taper(positions: Mapping[str, NDArray], near_offset: float = NEAR_OFFSET) -> Array:
    """Return the weight of each trace in a misfit [source, receiver], refusing to leave none.

    It is 0 up to ``near_offset``, m, and rises along a cosine to 1 at twice it. ``positions`` are
    as `DatasetReader.read_survey` returns them.
    """
    if not 0 <= near_offset < np.inf:
        raise InputError(f"near offset = {near_offset:g} m: must be a finite number from 0")
    offset = offsets(positions)
    if not near_offset:
        return np.ones_like(offset)
    weights = (1 - np.cos(np.pi * np.clip(offset / near_offset - 1, 0, 1))) / 2
    if not weights.any():
        raise InputError(
            f"near offset = {near_offset:g} m: no trace is left, the survey's offsets reach"
            f" {offset.max():g} m"
        )
    return weights


def trace_energies(predicted: Gathers, observed: Gathers) -> tuple[Array, Array]:
    """Return ‖d_pred − d_obs‖² and ‖d_obs‖² of each trace, [..., source, receiver].

    Gathers are [..., source, receiver, time]; a trace that is zero throughout in ``observed`` is
    dead and counts as zero in both.
    """
    live = observed.any(axis=-1)
    residual = np.subtract(predicted, observed, dtype=np.float64)
    energy = np.square(residual, out=residual).sum(axis=-1)
    return np.where(live, energy, 0.0), np.square(observed, dtype=np.float64).sum(axis=-1)


class Example(NamedTuple):
    """Shots of one sample, [receiver, time], for a picture."""

    index: int
    source: int
    survey: Mapping[str, NDArray]
    observed: Gathers
    predicted: Gathers
    baseline: Gathers


class Resimulation(NamedTuple):
    """What the wave equation says of predicted models, and of the mean training model beside them.

    ``samples`` has a row a sample: `MISFITS`, and the mean model's with ``baseline_`` in front;
    ``shots`` a row a sample and source: ``index``, ``source``, ``source_x`` (m) and the same;
    ``offsets`` a row a range of offsets, over all samples: ``from``, ``to`` (m), the live
    ``traces``, ``data_misfit`` and ``baseline_data_misfit``.
    """

    samples: pd.DataFrame
    shots: pd.DataFrame
    offsets: pd.DataFrame
    examples: dict[str, Example]  # middle shots: of the least, median and largest misfit


def resimulate_models(
    data: DatasetReader,
    indices: NDArray[np.int64],
    models: VelocityReader,
    mean_model: NDArray[np.float32],
    *,
    near_offset: float = NEAR_OFFSET,
    noise_snr: float | None = None,
    dead_traces: float | None = None,
    device: str = "auto",
) -> Resimulation:
    """Shoot over models and compare with the gathers that they were predicted from.

    Each sample's own survey, and the data set's wavelet and modelling; without noise. ``models``
    has one for each row of ``indices`` [sample]; they and the baseline ``mean_model`` [depth, x],
    m/s, are clipped to the data set's bounds. ``noise_snr`` and ``dead_traces`` were done to the
    gathers before (`read_gathers`).
    """
    simulator, config = _noiseless(data, device), data.config
    bounds = config.velocity.minimum, config.velocity.maximum
    numbers = data.sample_indices.astype(int)
    alike = not config.survey.jittered
    mean_model = np.clip(mean_model, *bounds)[None]
    if alike:
        shared = simulator(mean_model, numbers[indices[:1]])

    def shoot(places: NDArray[np.int64]) -> tuple[Gathers, Gathers]:
        """Return the gathers of predictions and of the mean model."""
        rows = indices[places]
        predicted = simulator(np.clip(models.read_velocity(places), *bounds), numbers[rows])
        if alike:
            return predicted, shared
        return predicted, simulator(np.repeat(mean_model, len(rows), axis=0), numbers[rows])

    def observe(places: NDArray[np.int64]) -> Gathers:
        return read_gathers(data, indices[places], noise_snr, dead_traces)

    depths = config.survey.source_depth - config.survey.receiver_depth
    edges = np.linspace(0, np.hypot(config.velocity.x_extent, depths), BINS + 1)
    by_offset = np.zeros((BINS, 4))
    samples, shots = [], []
    with bar(total=len(indices), description="resimulate", unit="sample") as progress:
        for start in range(0, len(indices), config.simulation.models_per_call):
            places = np.arange(len(indices))[start : start + config.simulation.models_per_call]
            rows = indices[places]
            observed = observe(places)
            energies = [trace_energies(each, observed) for each in shoot(places)]
            surveys = [data.read_survey(int(row)) for row in rows]
            weights = np.stack([offset_taper(survey, near_offset) for survey in surveys])
            samples.append(pd.DataFrame(_misfits(energies, weights, (1, 2))))
            _, source = np.indices(weights.shape[:2])
            source_x = np.stack([survey["source_x"] for survey in surveys])
            columns = {
                "index": np.repeat(rows, source.shape[1]),
                "source": source,
                "source_x": source_x,
            }
            columns |= _misfits(energies, weights, 2)
            shots.append(pd.DataFrame({name: values.ravel() for name, values in columns.items()}))
            (residual, energy), (baseline, _) = energies
            offset = np.stack([offsets(survey) for survey in surveys]).ravel()
            bins = np.minimum(np.searchsorted(edges, offset, "right") - 1, BINS - 1)
            for column, values in enumerate((energy > 0, energy, residual, baseline)):
                by_offset[:, column] += np.bincount(bins, values.ravel(), BINS)
            progress.update(len(rows))
    table = pd.concat(samples, ignore_index=True)
    traces, energy, residual, baseline = by_offset.T
    ranges = {
        "from": edges[:-1],
        "to": edges[1:],
        "traces": traces.astype(int),
        "data_misfit": _ratio(residual, energy),
        "baseline_data_misfit": _ratio(baseline, energy),
    }
    source, examples = data.gather_shape[0] // 2, {}
    for label, place in _spread(table["data_misfit_far"].to_numpy()).items():
        one = np.array([place])
        shown = (each[-1, source] for each in (observe(one), *shoot(one)))
        row = int(indices[place])
        examples[label] = Example(row, source, data.read_survey(row), *shown)
    shots_table = pd.concat(shots, ignore_index=True)
    return Resimulation(table, shots_table, pd.DataFrame(ranges).query("traces > 0"), examples)


def _noiseless(data: DatasetReader, device: str) -> Simulator:
    """Return the simulator that a data set was made with, without noise and dead traces."""
    config = data.config
    survey = config.survey.model_copy(update={"dead_traces": 0.0})
    simulation = config.simulation.model_copy(update={"noise_snr": None})
    return Simulator(config.model_copy(update={"survey": survey, "simulation": simulation}), device)


def _misfits(
    energies: list[tuple[Array, Array]], weights: Array, axis: int | tuple[int, int]
) -> dict[str, Array]:
    """Return the columns of misfits, summed over axes of [sample, source, receiver]."""
    columns = {}
    for prefix, (residual, energy) in zip(("", "baseline_"), energies, strict=True):
        for name, factor in zip(MISFITS, (1.0, weights**2), strict=True):
            parts = (np.sum(factor * part, axis=axis) for part in (residual, energy))
            columns[prefix + name] = _ratio(*parts)
    return columns


def _ratio(residual: Array, energy: Array) -> Array:
    """Return the quotient, NaN where nothing was recorded."""
    return np.where(energy > 0, residual / np.where(energy > 0, energy, 1.0), np.nan)


def _spread(misfit: Array) -> dict[str, int]:
    """Return the places of the least, median and largest misfit; fewer where there are fewer."""
    order = np.argsort(misfit, kind="stable")[: np.count_nonzero(~np.isnan(misfit))]
    chosen = {}
    for label, place in (("Least", 0), ("Median", len(order) // 2), ("Largest", len(order) - 1)):
        if len(order) and order[place] not in chosen.values():
            chosen[label] = int(order[place])
    return chosen
