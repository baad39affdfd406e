"""``[refinement]``: waveform inversion from a prediction."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seistomo.config.section import Section, chosen, setting
from seistomo.config.survey import NEAR_OFFSET

Frequency = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class RefinementConfig(Section):
    """Waveform inversion from a prediction."""

    method: Literal["adam", "lbfgs", "sgn"] = setting(
        "adam",
        "adam: Adam, projected onto the bounds; lbfgs: L-BFGS-B; sgn: Gauss-Newton steps by"
        " conjugate gradients (SGN), projected onto the bounds.",
    )
    start: str = setting(
        "prediction",
        "Where it starts: prediction (of the run), members (each of an ensemble by itself: mean and"
        " standard deviation are written), mean (the mean training model), smooth (the true model"
        " smoothed, for studies), or a velocity file with as many models.",
    )
    smoothing: float = setting(
        300.0,
        "Standard deviation of the Gaussian that smooths the true model's slowness, m.",
        needs=chosen("refinement.start", "smooth"),
        gt=0,
        le=1e6,
    )
    frequencies: Annotated[tuple[Frequency, ...], Field(min_length=1)] | None = setting(
        None,
        "Low-pass frequency of each stage, Hz, rising; left out: 0.75, 1.25 and 2 times the"
        " wavelet's peak frequency.",
    )
    iterations: int = setting(20, "Most iterations of a stage.", ge=1, le=10**6)
    grid_spacing: float | None = setting(
        None,
        "Spacing of the last stage's modelling grid, m; left out: half the models' spacing. Earlier"
        " stages have as many cells a wavelength, on grids as coarse as the models at most.",
        gt=0,
        le=1e4,
    )
    near_offset: float = setting(
        NEAR_OFFSET,
        "Traces nearer to their source than this do not count, those twice as far count in full,"
        " m: near a source they depend on the modelling grid.",
        ge=0,
        le=1e6,
    )
    misfit: Literal["squares", "envelope"] = setting(
        "squares",
        "Difference of the gathers, or of their envelopes, which forgives waves that come more than"
        " half a period off.",
    )
    regularization: Literal["none", "tikhonov", "tv"] = setting(
        "tv",
        "What is added to the misfit, from the model's gradient in (m/s)/m: half its mean square"
        " (tikhonov) or its mean length (tv, total variation).",
    )
    weight: float = setting(
        5e-5,
        "Factor on the regularization, beside a misfit that is 1 for gathers of zeros; for noise of"
        " 10 dB take 1e-3.",
        ge=0,
        le=1e6,
    )
    preconditioner: Literal["none", "depth"] = setting(
        "depth", "Scaling of the gradient: none, or growing with depth."
    )
    wavelet: Literal["data", "run", "estimated"] = setting(
        "data",
        "The source wavelet: that of the data set, that of the run, or the run's corrected at the"
        " start of each stage by the filter that brings its gathers nearest to the observed ones.",
    )
    learning_rate: float = setting(
        20.0,
        "Adam's step, m/s.",
        needs=chosen("refinement.method", "adam"),
        gt=0,
        le=1e4,
    )
    cg_iterations: int = setting(
        8,
        "Conjugate gradient iterations of a Gauss-Newton step.",
        needs=chosen("refinement.method", "sgn"),
        ge=1,
        le=1000,
    )
    damping: float = setting(
        1e-3,
        "First damping of Gauss-Newton steps; the trust region changes it.",
        needs=chosen("refinement.method", "sgn"),
        gt=0,
        le=1e6,
    )
    shots: int | None = setting(
        None,
        "Shots of a step, drawn anew each time; left out: all.",
        needs=chosen("refinement.method", "adam", "sgn"),
        ge=1,
        le=10_000,
    )
    budget: int | None = setting(
        None,
        "Most solves of the wave equation for a sample's whole survey, forward or adjoint; left"
        " out: no limit.",
        ge=2,
        le=10**9,
    )
    misfit_tolerance: float = setting(
        0.0, "A stage ends when its misfit is no larger.", ge=0, le=1e6
    )
    gradient_tolerance: float = setting(
        1e-6, "A stage ends when no entry of the scaled gradient is larger.", ge=0, le=1e6
    )
    seed: int = setting(0, "Seed of the shots that are drawn.", ge=0, lt=2**63)

    @model_validator(mode="after")
    def _settings_fit(self) -> "RefinementConfig":
        stages = self.frequencies
        if stages and list(stages) != sorted(set(stages)):
            raise ValueError(f"refinement.frequencies = {list(stages)}: must rise")
        if self.misfit != "squares" and self.method == "sgn":
            raise ValueError(
                f'refinement.misfit = "{self.misfit}": Gauss-Newton steps need "squares"; use'
                ' method = "lbfgs" or "adam"'
            )
        if self.shots and self.method == "lbfgs":
            raise ValueError(
                f'refinement.shots = {self.shots}: L-BFGS needs all shots; use method = "adam" or'
                ' "sgn"'
            )
        return self
