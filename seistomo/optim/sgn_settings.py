"""The options of SGN, checked."""

from dataclasses import dataclass
from typing import Any

from seistomo.optim.curvature_samples import CurvatureSamples
from seistomo.optim.damping import Damping
from seistomo.optim.errors import OptimizerError
from seistomo.optim.options import (
    require_between,
    require_count,
    require_one_of,
    require_positive,
)
from seistomo.optim.quadratic_model import GAUSS_NEWTON, HESSIAN
from seistomo.optim.trust_region import POOR

CG, STEIHAUG = "cg", "steihaug"
DEFAULT_RADIUS, DEFAULT_MAX_RADIUS = 1.0, 1000.0


@dataclass(frozen=True)
class Settings:
    """`seistomo.optim.SGN`'s options, which explains them.

    Raises
    ------
    OptimizerError
        For a value, or a combination of them, that cannot be.
    """

    lr: float
    cg_iterations: int
    cg_min_iterations: int
    cg_tolerance: float
    opening_steps: int
    opening_cg_iterations: int
    adaptive_cg: bool
    warm_start: bool
    preconditioner_power: float
    damping: Damping
    momentum: float
    line_search: bool
    reject_below: float | None
    curvature: str
    samples: CurvatureSamples
    solver: str
    radius: float | None
    max_radius: float | None

    def __post_init__(self):
        require_positive("lr", self.lr)
        for name in ("adaptive_cg", "warm_start", "line_search"):
            require_one_of(name, getattr(self, name), (True, False))
        require_one_of("curvature", self.curvature, (GAUSS_NEWTON, HESSIAN))
        require_one_of("solver", self.solver, (CG, STEIHAUG))
        self._check_iterations()
        self._check_step()
        self._check_solver()

    @property
    def needs_ratio(self) -> bool:
        """Whether anything follows the ratio of actual to predicted reduction."""
        return (
            self.damping.adaptive
            or self.adaptive_cg
            or self.solver == STEIHAUG
            or self.reject_below is not None
        )

    @property
    def largest_radius(self) -> float:
        """The trust region's largest radius."""
        return DEFAULT_MAX_RADIUS if self.max_radius is None else self.max_radius

    def begin(self) -> dict[str, Any]:
        """Return the optimizer's memory before the first step."""
        return {
            "damping": self.damping.begin(),
            "cg_bound": self.cg_iterations,
            "radius": self._first_radius if self.solver == STEIHAUG else None,
            "direction": None,
            "momentum": None,
            "momentum_steps": 0,
        }

    def shaping(self) -> dict[str, Any]:
        """Return the options that shape the memory."""
        trusts = self.solver == STEIHAUG
        return {
            "cg_iterations": self.cg_iterations,
            "adaptive_cg": self.adaptive_cg,
            "warm_start": self.warm_start,
            "momentum": float(self.momentum),
            "damping_rule": self.damping.rule,
            "solver": self.solver,
            "radius": float(self._first_radius) if trusts else None,
            "max_radius": float(self.largest_radius) if trusts else None,
        }

    @property
    def _first_radius(self) -> float:
        return DEFAULT_RADIUS if self.radius is None else self.radius

    def _check_iterations(self) -> None:
        require_count("cg_iterations", self.cg_iterations)
        require_count("cg_min_iterations", self.cg_min_iterations)
        require_between("cg_tolerance", self.cg_tolerance, 0, 1e30)
        if self.cg_min_iterations > self.cg_iterations:
            raise OptimizerError(
                f"cg_min_iterations = {self.cg_min_iterations}: must be at most cg_iterations ="
                f" {self.cg_iterations}"
            )
        require_count("opening_steps", self.opening_steps, 0)
        least = self.cg_min_iterations if self.opening_steps else 1
        require_count("opening_cg_iterations", self.opening_cg_iterations, least)
        if self.opening_steps and self.adaptive_cg:
            raise OptimizerError(
                f"opening_steps = {self.opening_steps}: cannot be with adaptive_cg = True, which"
                " sets the iterations itself"
            )
        require_between("preconditioner_power", self.preconditioner_power, 0, 1)
        if self.preconditioner_power and self.damping.smallest == 0:
            raise OptimizerError(
                f"preconditioner_power = {self.preconditioner_power:g}: needs a damping that stays"
                " positive (damping, damping_floor)"
            )

    def _check_step(self) -> None:
        require_between("momentum", self.momentum, 0, 1)
        if self.momentum == 1:
            raise OptimizerError("momentum = 1: must be below 1")
        if self.reject_below is not None:
            require_between("reject_below", self.reject_below, 0, POOR)
            if self.line_search:
                raise OptimizerError(
                    f"reject_below = {self.reject_below:g}: cannot be with line_search = True,"
                    " which shortens such steps"
                )

    def _check_solver(self) -> None:
        if self.solver == STEIHAUG:
            require_positive("max_radius", self.largest_radius)
            require_positive("radius", self._first_radius)
            if self._first_radius > self.largest_radius:
                raise OptimizerError(
                    f"radius = {self._first_radius:g}: must be at most max_radius ="
                    f" {self.largest_radius:g}"
                )
            if self.warm_start:
                raise OptimizerError(
                    "warm_start = True: cannot be with solver = steihaug, which starts at zero"
                )
            return
        for name in ("radius", "max_radius"):
            if getattr(self, name) is not None:
                raise OptimizerError(
                    f"{name} = {getattr(self, name)!r}: only with solver = steihaug"
                )
