"""Checks before a simulation: whether grid, time step and record can carry it."""

import math
from collections.abc import Sequence

import numpy as np

from seistomo.config import Config, VelocityConfig
from seistomo.errors import InputError
from seistomo.progress import counted, warn
from seistomo.simulation.grid import ModellingGrid, density_range
from seistomo.simulation.wavelet import (
    make_wavelet,
    read_own_wavelet,
    ricker_frequency,
    wavelet_delay,
)

# Cells per wavelength of the peak frequency at the slowest speed: {order: (good, least)}.
# 3.3 wavelengths from the source the gathers differ from the analytic ones by 4, 3, 2 and 2 % at
# "good", by 15, 17, 4 and 2 % at "least" (test_dispersion_at_the_limits_of_the_checks).
CELLS_PER_WAVELENGTH = {2: (40, 20), 4: (12, 8), 6: (9, 8), 8: (8, 8)}

# Rounding of speeds that are kept in float32, as a part of the bound.
TOLERANCE = 1e-6

# A wavelet that starts with more than this part of its peak is cut by the record's start.
EARLY = 0.01

# Part of a wavelet file's Nyquist frequency up to which its samples can be interpolated.
COARSE = 0.9

# Inner steps between two recorded samples; more means a spacing in the wrong unit.
MOST_INNER_STEPS = 1000


def check_simulation(config: Config) -> list[str]:
    """Check that the simulation of a configuration can be trusted.

    Returns
    -------
    list of str
        Readable lines: geometry, medium, wavelet, dispersion, time step, recording time, noise.

    Raises
    ------
    InputError
        If the grid cannot carry the frequency, if not even the fastest model's bottom is seen
        within the record, if the modelling grid is coarser than the models, if sources or
        receivers are too near to a free surface, or if a wavelet file cannot be used; each with
        the value that would do.

    Notes
    -----
    What is possible but poor (a coarse grid, a record too short for the slowest model) is warned
    of on standard error. That sources and receivers lie within the model is checked where the
    configuration is made.
    """
    grid = ModellingGrid.of(config)
    lines = [
        _describe_survey(config),
        _describe_medium(config),
        _check_wavelet(config),
        _check_dispersion(config, grid),
        _describe_time_step(config, grid),
        _check_recording_time(config),
    ]
    if config.simulation.noise_snr is not None:
        lines.append(f"noise: white, {config.simulation.noise_snr:g} dB below the gathers' RMS")
    return lines


def check_velocity(velocity: np.ndarray, indices: Sequence[int], bounds: VelocityConfig) -> None:
    """Refuse models [model, depth, x] of another shape, with NaN or speeds outside the bounds."""
    if velocity.shape != (len(indices), *bounds.shape):
        raise InputError(
            f"velocity shape {list(velocity.shape)}: must be [{len(indices)} models,"
            f" {bounds.shape[0]} depths, {bounds.shape[1]} x], as velocity.shape says"
        )
    low, high = bounds.minimum * (1 - TOLERANCE), bounds.maximum * (1 + TOLERANCE)
    bad = ~((velocity >= low) & (velocity <= high))
    if bad.any():
        model, depth, x = np.argwhere(bad)[0]
        raise InputError(
            f"sample {indices[model]}: velocity = {velocity[model, depth, x]:g} m/s at node"
            f" [{depth}, {x}]: must lie between velocity.minimum = {bounds.minimum:g}"
            f" and velocity.maximum = {bounds.maximum:g}"
        )


def _describe_survey(config: Config) -> str:
    survey, width = config.survey, config.velocity.x_extent
    places = survey.positions(width)
    texts = []
    for name, count, depth, jitter in (
        ("source", survey.sources, survey.source_depth, survey.source_jitter),
        ("receiver", survey.receivers, survey.receiver_depth, survey.receiver_jitter),
    ):
        x = places[f"{name}_x"]
        moved = f" give or take {jitter:g} m" if jitter else ""
        place = f"{x.min():g} to {x.max():g}" if count > 1 else f"{x[0]:g}"
        texts.append(f"{counted(count, name)} at {place} m{moved}, {depth:g} m deep")
    return (
        f"survey: {', '.join(texts)}; model {width:g} m wide, {config.velocity.depth_extent:g} m"
        " deep"
    )


def _describe_medium(config: Config) -> str:
    settings = config.simulation
    top = "free surface (no pressure)" if settings.free_surface else "absorbing"
    if settings.density == "constant":
        return f"medium: constant density; top: {top}"
    low, high = density_range(config)
    return (
        f"medium: density by Gardner's relation, {low:.0f} to {high:.0f} kg/m³, water of"
        f" {settings.water_density:g} kg/m³ below {settings.water_speed:g} m/s; top: {top}"
    )


def _check_wavelet(config: Config) -> str:
    survey = config.survey
    wavelet = np.abs(make_wavelet(survey))
    peak = wavelet_delay(survey)
    line = f"wavelet: {survey.wavelet_name}, peak at {peak:.4g} s"
    if wavelet[0] > EARLY * wavelet.max():
        warn(
            f"{line}: the record starts when it is already at {wavelet[0] / wavelet.max():.0%} of"
            f" its peak; use a longer survey.delay{' or taper it' * (survey.wavelet == 'file')}"
        )
    if survey.wavelet == "file":
        own = read_own_wavelet(survey)
        line += f", frequencies up to {own.highest_frequency:.3g} Hz"
        if own.highest_frequency > COARSE / (2 * own.step):
            warn(f"{line}: samples every {own.step:g} s are too few for them; use a shorter step")
    return line


def _check_dispersion(config: Config, grid: ModellingGrid) -> str:
    survey, slowest = config.survey, config.velocity.minimum
    frequency, order = ricker_frequency(survey), config.simulation.accuracy
    cells = slowest / (frequency * grid.spacing)
    good, least = CELLS_PER_WAVELENGTH[order]
    ricker = survey.wavelet == "ricker"
    like = "" if ricker else " (a Ricker wavelet that would disperse alike)"
    found = (
        f"{cells:.3g} grid cells in the wavelength of {frequency:.4g} Hz{like} at {slowest:g} m/s"
        f" (grid {grid.spacing:g} m, order {order})"
    )
    most = slowest / (good * grid.spacing)
    lower = (
        f"survey.frequency of at most {_round_down(most)}"
        if ricker
        else f"a wavelet of {_round_down(most / frequency)} times these frequencies"
    )
    finest = _round_down(slowest / (good * frequency))
    remedy = f"{lower} or simulation.grid_spacing of at most {finest}"
    better = [o for o, (enough, _) in CELLS_PER_WAVELENGTH.items() if o > order and cells >= enough]
    if better:
        remedy += f" or simulation.accuracy = {better[0]}"
    if cells < least:
        key = f"survey.frequency = {frequency:g}" if ricker else survey.wavelet_name
        raise InputError(f"{key}: {found}, at least {least} are needed; use {remedy}")
    if cells < good:
        warn(f"dispersion: {found}, {good} keep the error near 3 %; use {remedy}")
    return f"dispersion: {found}; {good} or more are good, below {least} refused"


def _describe_time_step(config: Config, grid: ModellingGrid) -> str:
    step, fastest = config.survey.time_step / grid.inner_steps, config.velocity.maximum
    courant = fastest * step * math.sqrt(2) / grid.spacing
    if grid.inner_steps > MOST_INNER_STEPS:
        raise InputError(
            f"survey.time_step = {config.survey.time_step:g}: takes {grid.inner_steps:,} steps of"
            f" the wave equation at a grid spacing of {grid.spacing:g} m and {fastest:g} m/s; at"
            f" most {MOST_INNER_STEPS} are allowed: use a coarser velocity.spacing or"
            " simulation.grid_spacing (m)"
        )
    return (
        f"time step: {config.survey.time_step * 1e3:.4g} ms recorded, {grid.inner_steps} inner"
        f" steps of {step * 1e3:.4g} ms (Courant number {courant:.2f} at {fastest:g} m/s)"
    )


def _check_recording_time(config: Config) -> str:
    """Compare the record with the echo from the bottom: down and up, and the wavelet's delay."""
    survey, velocity = config.survey, config.velocity
    path = 2 * velocity.depth_extent - survey.source_depth - survey.receiver_depth
    delay = wavelet_delay(survey)
    fast = path / velocity.maximum + delay
    # Positions near the surface shorten the way down and up by the same share.
    slow = velocity.slowest_transit * path / velocity.depth_extent + delay
    recorded = (survey.time_samples - 1) * survey.time_step
    needed = {time: math.ceil(time / survey.time_step - 1e-9) + 1 for time in (fast, slow)}
    if recorded < fast:
        raise InputError(
            f"survey.time_samples = {survey.time_samples}: records {recorded:.3g} s, but even at"
            f" {velocity.maximum:g} m/s throughout the bottom answers after {fast:.3g} s; use at"
            f" least {needed[fast]}, or {needed[slow]} for the slowest model"
        )
    line = (
        f"recording: {recorded:.3g} s; the bottom ({velocity.depth_extent:g} m) answers after"
        f" {fast:.3g} s at {velocity.maximum:g} m/s throughout, {slow:.3g} s in the slowest model"
    )
    if recorded < slow:
        warn(f"{line}: slow models' bottoms are not seen; survey.time_samples = {needed[slow]} do")
    return line


def _round_down(value: float) -> str:
    """Return ``value`` with three digits, rounded down so that it still does."""
    digits = 2 - math.floor(math.log10(value))
    return f"{math.floor(value * 10**digits * (1 + 1e-12)) / 10**digits:g}"
