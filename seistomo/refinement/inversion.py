"""Waveform inversion of one sample: from a start, through stages of rising frequency."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from seistomo.config import Config, RefinementConfig
from seistomo.errors import InputError
from seistomo.evaluation.misfit import offset_taper, trace_energies
from seistomo.optim import SGN
from seistomo.refinement.misfit import (
    Misfit,
    filtered,
    late_share,
    low_pass,
    wavelet_filter,
)
from seistomo.refinement.modelling import Modelling, modelling_config
from seistomo.refinement.objective import WaveformObjective
from seistomo.refinement.regularization import Regularization
from seistomo.simulation import check_simulation
from seistomo.simulation.wavelet import ricker_frequency

# Stages by default, in the wavelet's peak frequency.
STAGES = (0.75, 1.25, 2.0)
# Fewest cells in the wavelength of a stage's frequency at the slowest speed.
LEAST_CELLS = 2.5
# Observed gathers that hold less than this part of their energy below a stage's frequency.
LEAST_ENERGY = 1e-4
# What a notice is due for: misfit that is left, and share of the start's traces that are off.
LARGE, SKIPPED = 0.1, 0.05
Tell = Callable[[Mapping[str, float]], object]


@dataclass(frozen=True)
class Inversion:
    """What became of a start.

    Attributes
    ----------
    velocity
        float32 [depth, x], m/s; where several are `joined`, [start, depth, x]; `shot` likewise.
    history
        A row an iteration: ``stage``, ``frequency`` (Hz), ``iteration``, ``misfit`` (in the
        stage's band, of the traces' weights; 1 for gathers of zeros), ``solves`` (wave equations
        for the whole survey, so far, on whichever grid) and ``seconds``.
    data_misfit, data_misfit_far
        Of the start and of the result, see `seistomo.evaluation.misfit`; gathers are shot on the
        last stage's grid.
    shot
        The middle source's gathers of the start and of the result, [2, receiver, time].
    solves, seconds
        Work in all.
    notices
        Sentences about what went wrong, as far as the gathers tell.
    """

    velocity: np.ndarray
    history: list[dict[str, float]]
    data_misfit: tuple[float, float]
    data_misfit_far: tuple[float, float]
    shot: np.ndarray
    solves: float
    seconds: float
    notices: list[str]


def joined(found: Sequence[Inversion]) -> Inversion:
    """Return what became of several starts of one sample: misfits in the mean, work in all."""
    number = range(len(found))
    many = len(found) > 1
    return Inversion(
        velocity=np.stack([one.velocity for one in found]),
        history=[{"member": place, **line} for place in number for line in found[place].history],
        data_misfit=tuple(np.mean([one.data_misfit for one in found], axis=0).tolist()),
        data_misfit_far=tuple(np.mean([one.data_misfit_far for one in found], axis=0).tolist()),
        shot=np.stack([one.shot for one in found]),
        solves=sum(one.solves for one in found),
        seconds=sum(one.seconds for one in found),
        notices=[
            f"member {place}: {notice}" if many else notice
            for place in number
            for notice in found[place].notices
        ],
    )


class _BudgetError(Exception):
    """No wave equation may be solved any more."""


def stages_of(settings: RefinementConfig, config: Config) -> tuple[float, ...]:
    """Return the stages' frequencies, Hz; refuse those that record or grid cannot carry.

    ``config`` is that of the inversion's modelling.
    """
    survey, spacing = config.survey, config.simulation.grid_spacing
    if settings.frequencies is None:
        nyquist = 0.5 / survey.time_step
        peak = ricker_frequency(survey)
        return tuple(min(part * peak, nyquist) for part in STAGES)
    for frequency in settings.frequencies:
        name = f"refinement.frequencies = {frequency:g}"
        if frequency * survey.time_step > 0.5:
            raise InputError(
                f"{name}: the records, sampled every {survey.time_step:g} s, hold frequencies up to"
                f" {0.5 / survey.time_step:g} Hz"
            )
        most = config.velocity.minimum / (LEAST_CELLS * spacing)
        if frequency > most:
            raise InputError(
                f"{name}: a modelling grid of {spacing:g} m carries frequencies up to {most:.3g} Hz"
                f" at {config.velocity.minimum:g} m/s; use a smaller refinement.grid_spacing"
            )
    return settings.frequencies


class Inverter:
    """Invert samples of one survey's configuration.

    Parameters
    ----------
    config
        Survey, wavelet, simulation and velocity bounds.
    settings
        What to do.
    device
        Where to compute.

    Raises
    ------
    InputError
        For a grid or frequencies that do not fit, and for variable density.
    """

    def __init__(self, config: Config, settings: RefinementConfig, device: torch.device):
        if config.simulation.density != "constant":
            raise InputError(
                f'simulation.density = "{config.simulation.density}": refinement models constant'
                " density only"
            )
        # With the grid of the last stage; each has as many cells a wavelength: Bunks et al. (1995),
        # Geophysics 60(5), 1457-1473.
        self.config, self.settings = modelling_config(config, settings), settings
        self.device, self.stages = device, stages_of(settings, self.config)
        self.grids = [
            modelling_config(config, settings, self.stages[-1] / frequency)
            for frequency in self.stages
        ]
        self.notes = check_simulation(self.config)

    def __call__(
        self,
        gathers: np.ndarray,
        survey: Mapping[str, np.ndarray],
        dead_trace: np.ndarray,
        start: np.ndarray,
        seed: Sequence[int] = (0,),
        tell: Tell = lambda row: None,
    ) -> Inversion:
        """Invert one sample.

        Parameters
        ----------
        gathers
            Observed, [source, receiver, time].
        survey
            ``source_x source_depth receiver_x receiver_depth``, m.
        dead_trace
            bool [source, receiver].
        start
            Velocity [depth, x], m/s, within the configuration's bounds.
        seed
            Of the shots that are drawn.
        tell
            Called with each row of the history.

        Raises
        ------
        InputError
            For gathers that cannot be inverted, or a start outside the bounds.
        """
        began = time.perf_counter()
        velocity, settings = self.config.velocity, self.settings
        bounds = velocity.minimum, velocity.maximum
        _require_start(start, velocity.shape, bounds)
        live = ~dead_trace & gathers.any(axis=-1)
        taper = offset_taper(survey, self.settings.near_offset)
        weights = (taper * live).astype(np.float32)
        self._require_gathers(gathers, weights)
        finest = Modelling(self.config, survey, self.device)
        model = torch.from_numpy(start.astype(np.float64)).to(self.device)
        observed = torch.from_numpy(np.where(live[..., None], gathers, 0)).to(self.device)
        traces = torch.from_numpy(weights).to(self.device)
        progress = _Progress(settings, tell, began)
        first, correction, step = finest.gathers(model), None, self.config.survey.time_step
        progress.solves += 1
        for number, (frequency, grid) in enumerate(zip(self.stages, self.grids, strict=True), 1):
            last_stage = number == len(self.stages)
            modelling = finest if last_stage else Modelling(grid, survey, self.device)
            if settings.wavelet == "estimated":
                last = modelling.gathers(model)
                progress.solves += 1
                correction = wavelet_filter(last, observed, traces, frequency, step)
            misfit = Misfit(observed, traces, frequency, step, correction, settings.misfit)
            scale = self._scale(frequency).to(self.device)
            regularization = Regularization(
                settings.regularization, settings.weight, velocity.spacing
            )
            theta = (model / scale).requires_grad_()
            objective = WaveformObjective(modelling, misfit, regularization, scale, bounds, theta)
            progress.begin(number, frequency, objective)
            try:
                METHODS[settings.method](objective, settings, progress, [*seed, number])
            except _BudgetError:
                model = objective.velocity(theta)
                break
            finally:
                progress.solves += objective.solves
            model = objective.velocity(theta)
        last = finest.gathers(model)
        ends = [d if correction is None else filtered(d, correction) for d in (first, last)]
        energies = [trace_energies(d.cpu().numpy(), observed.cpu().numpy()) for d in ends]
        misfits = [
            tuple(
                np.sum(factor * residual) / np.sum(factor * energy) for residual, energy in energies
            )
            for factor in (1.0, weights.astype(np.float64) ** 2)
        ]
        lag = 0.25 / min(self.stages[0], ricker_frequency(self.config.survey))
        late = late_share(ends[0], observed, traces, lag, step)
        return Inversion(
            model.float().cpu().numpy(),
            progress.rows,
            *misfits,
            shot=np.stack([d[len(d) // 2].cpu().numpy() for d in ends]),
            solves=progress.solves + 1,
            seconds=time.perf_counter() - began,
            notices=_notices(misfits[1], late),
        )

    def _scale(self, frequency: float) -> Tensor:
        """Return m/s a unit of the parameter [depth, x]; the mean is the range of the bounds."""
        velocity = self.config.velocity
        depth = torch.arange(velocity.shape[0], dtype=torch.float64) * velocity.spacing
        factor = torch.ones_like(depth)
        if self.settings.preconditioner == "depth":
            # Waves from the surface and back weaken as 1/√r each; near the top nothing is trusted.
            factor = (depth + velocity.minimum / frequency / 4).sqrt()
        factor = factor / factor.mean() * (velocity.maximum - velocity.minimum)
        return factor[:, None].expand(*velocity.shape).clone()

    def _require_gathers(self, gathers: np.ndarray, weights: np.ndarray) -> None:
        if not np.isfinite(gathers).all():
            raise InputError("the gathers hold values that are not finite numbers")
        if not weights.any():
            raise InputError(
                "no trace that is not zero lies further from its source than"
                f" refinement.near_offset = {self.settings.near_offset:g} m"
            )
        far = torch.from_numpy(gathers * weights[..., None])
        step, length = self.config.survey.time_step, 2 * gathers.shape[-1]
        for frequency in self.stages:
            band = filtered(far, low_pass(length, frequency, step).to(far))
            share = float(band.double().square().sum() / far.double().square().sum())
            if share < LEAST_ENERGY:
                raise InputError(
                    f"refinement.frequencies = {frequency:g}: the gathers hold next to nothing"
                    f" below it ({share:.1g} of their energy); begin at a higher frequency"
                )


def _require_start(start: np.ndarray, shape: Sequence[int], bounds: tuple[float, float]) -> None:
    if start.shape != tuple(shape):
        raise InputError(
            f"start [depth, x] = {list(start.shape)}: the models are {list(map(int, shape))}"
        )
    low, high = float(np.min(start)), float(np.max(start))
    if not (bounds[0] * (1 - 1e-6) <= low and high <= bounds[1] * (1 + 1e-6)):
        raise InputError(
            f"start: speeds from {low:g} to {high:g} m/s are not all between velocity.minimum ="
            f" {bounds[0]:g} and velocity.maximum = {bounds[1]:g}"
        )


def _notices(misfit: tuple[float, float], late: float) -> list[str]:
    """Return what speaks against a result without the true model."""
    said, (before, after) = [], misfit
    if not after < min(before, LARGE):
        said.append(
            f"the gathers are not explained (misfit {before:.3g} before, {after:.3g} after)"
        )
    if late > SKIPPED:
        said.append(
            f"{late:.0%} of the start's traces come a quarter of the first stage's period off, or"
            " more: it may skip cycles"
        )
    return said


class _Progress:
    """The history so far, and whether it goes on."""

    def __init__(self, settings: RefinementConfig, tell: Tell, began: float):
        self._settings, self._tell, self._began = settings, tell, began
        self.rows: list[dict[str, float]] = []
        self.solves = 0.0

    def begin(self, stage: int, frequency: float, objective: WaveformObjective) -> None:
        self._stage, self._frequency, self._objective = stage, frequency, objective
        self.iteration = 0

    def require_budget(self, solves: float) -> None:
        """End the inversion if so many more solves are not allowed."""
        budget = self._settings.budget
        # One is kept for the result's gathers.
        spent = self.solves + self._objective.solves + 1
        if budget is not None and spent + solves > budget:
            raise _BudgetError

    def add(self, misfit: float, solves: float) -> bool:
        """Add an iteration that a misfit was known at; tell whether the stage's is small enough."""
        row = {
            "stage": self._stage,
            "frequency": self._frequency,
            "iteration": self.iteration,
            "misfit": misfit,
            "solves": self.solves + solves,
            "seconds": time.perf_counter() - self._began,
        }
        self.iteration += 1
        self.rows.append(row)
        self._tell(row)
        return misfit <= self._settings.misfit_tolerance


def _lbfgs(
    objective: WaveformObjective, settings: RefinementConfig, progress: _Progress, seed: list[int]
) -> None:
    theta = objective.theta
    shape = theta.shape
    low, high = ((bound / objective.scale).cpu().numpy().ravel() for bound in objective.bounds)

    def value(x: np.ndarray) -> tuple[float, np.ndarray]:
        progress.require_budget(2)
        at = {theta: torch.from_numpy(x).view(shape).to(theta.device)}
        loss, (gradient,) = objective.loss_and_gradient(at)
        if progress.iteration == 0:
            progress.add(objective.data, objective.solves)
        return float(loss), gradient.cpu().numpy().ravel()

    def accepted(intermediate_result: object) -> None:
        with torch.no_grad():
            theta.copy_(torch.from_numpy(intermediate_result.x).view(shape))
        if progress.add(objective.data, objective.solves):
            raise StopIteration

    start = np.clip(theta.detach().cpu().numpy().ravel(), low, high)
    options = {"maxiter": settings.iterations, "gtol": settings.gradient_tolerance, "ftol": 1e-12}
    minimize(
        value,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=np.stack([low, high], axis=1),
        callback=accepted,
        options=options | {"maxcor": 10, "maxfun": 10**9},
    )


def _stepwise(
    objective: WaveformObjective,
    settings: RefinementConfig,
    progress: _Progress,
    seed: list[int],
    optimizer: torch.optim.Optimizer,
    solves: float,
) -> None:
    """Step an optimizer, from the bounds back into them, each time on shots of its own."""
    theta, everything = objective.theta, objective.shots
    random = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=tuple(seed)))
    low, high = (bound / objective.scale for bound in objective.bounds)
    count = min(settings.shots or len(everything), len(everything))
    for _ in range(settings.iterations):
        progress.require_budget(solves * count / len(everything))
        if count < len(everything):
            chosen = np.sort(random.choice(len(everything), count, replace=False))
            objective.shots = everything[torch.from_numpy(chosen).to(everything.device)]
        optimizer.step(objective)
        with torch.no_grad():
            theta.clamp_(low, high)
        misfit, until, steepest = objective.before
        if progress.add(misfit, until) or steepest <= settings.gradient_tolerance:
            break


def _adam(
    objective: WaveformObjective, settings: RefinementConfig, progress: _Progress, seed: list[int]
) -> None:
    low, high = objective.bounds
    rate = settings.learning_rate / (high - low)
    optimizer = torch.optim.Adam([objective.theta], lr=rate)
    _stepwise(objective, settings, progress, seed, optimizer, 2)


def _sgn(
    objective: WaveformObjective, settings: RefinementConfig, progress: _Progress, seed: list[int]
) -> None:
    optimizer = SGN(
        [objective.theta],
        cg_iterations=settings.cg_iterations,
        cg_tolerance=settings.gradient_tolerance,
        damping=settings.damping,
        damping_floor=1e-6,
    )
    # Gradient, products and the loss at the step's end.
    _stepwise(objective, settings, progress, seed, optimizer, 3 + 3 * settings.cg_iterations)


METHODS = {"lbfgs": _lbfgs, "adam": _adam, "sgn": _sgn}
