"""The Levenberg–Marquardt damping ρ of Gauss–Newton steps, and how it changes over a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from seistomo.optim.errors import OptimizerError
from seistomo.optim.options import require_between, require_count, require_one_of
from seistomo.optim.trust_region import GOOD, GROW, POOR, SHRINK

TRUST_REGION = "trust_region"
DECAYS = ("linear", "cosine")
RULES = ("constant", *DECAYS, TRUST_REGION)
DEFAULT_FLOOR = 0.01
# ρ never grows beyond this many times its first value, however long nothing succeeds.
LARGEST_SCALE = 1e12

State = Mapping[str, float]


@dataclass(frozen=True)
class Damping:
    """The rule by which ρ follows from the steps so far.

    ρ = schedule(step) · scale. The scale begins at 1 and is multiplied by 3/2 after a step that
    failed (nothing finite, no curvature, no decrease), by 2/3, down to 1, after any other.
    Under ``trust_region`` the scale follows the ratio of the actual to the predicted reduction
    instead: 3/2 below 1/4 and after a failure, 2/3 above 3/4, down to ``floor``.

    Sources: Gargiani et al. (2020), section 3.1, and their code, which has these rules and
    factors; the raise after a failure is this package's.

    Attributes
    ----------
    initial
        ρ₀, in the unit of the loss over that of the weights, squared.
    rule
        ``constant``, ``linear``, ``cosine`` or ``trust_region``.
    floor
        Smallest ρ in units of ρ₀: the end of the decays, and where the trust region stops. None:
        0.01, as in the paper's runs (10⁻⁶ for ρ₀ = 10⁻⁴). Not for ``constant``.
    decay_steps
        K: number of the step, from 1, at which a decay ends. With t the step's number,
        linear: ρ₀ (1 − (1 − floor) (t − 1)/(K − 1)); cosine: ρ₀ max(cos(πt/2K), floor).
    """

    initial: float
    rule: str = "constant"
    floor: float | None = None
    decay_steps: int | None = None

    def __post_init__(self):
        require_between("damping", self.initial, 0, 1e30)
        require_one_of("damping_rule", self.rule, RULES)
        if self.rule == TRUST_REGION and self.initial == 0:
            raise OptimizerError("damping = 0: must be positive with damping_rule = trust_region")
        if self.floor is not None:
            require_between("damping_floor", self.floor, 0, 1)
            if self.rule == "constant":
                raise OptimizerError(
                    f"damping_floor = {self.floor!r}: means nothing with damping_rule = constant"
                )
        if self.rule in DECAYS:
            require_count("decay_steps", self.decay_steps, 2)
        elif self.decay_steps is not None:
            raise OptimizerError(
                f"decay_steps = {self.decay_steps!r}: only with damping_rule = linear or cosine,"
                f" not {self.rule}"
            )

    @property
    def adaptive(self) -> bool:
        """Whether ρ follows the ratio of actual to predicted reduction."""
        return self.rule == TRUST_REGION

    @property
    def smallest(self) -> float:
        """The smallest ρ that the rule can come to."""
        return self.initial * self._floor

    def begin(self) -> dict[str, float]:
        """Return the state before the first step."""
        return {"step": 1, "scale": 1.0}

    def value(self, state: State) -> float:
        """Return ρ of the step to come."""
        return self._scheduled(state["step"]) * state["scale"]

    def after(self, state: State, ratio: float | None, failed: bool) -> dict[str, float]:
        """Return the state after a step.

        Parameters
        ----------
        state
            The state before it.
        ratio
            Its actual over its predicted reduction; None: not known.
        failed
            It gave nothing to take.
        """
        scale = state["scale"]
        if failed or (self.adaptive and ratio is not None and ratio < POOR):
            scale = min(scale * GROW, LARGEST_SCALE)
        elif not self.adaptive:
            scale = max(scale * SHRINK, 1.0)
        elif ratio is not None and ratio > GOOD:
            scale = max(scale * SHRINK, self._floor)
        return {"step": state["step"] + 1, "scale": scale}

    @property
    def _floor(self) -> float:
        if self.rule == "constant":
            return 1.0
        return DEFAULT_FLOOR if self.floor is None else self.floor

    def _scheduled(self, step: int) -> float:
        if self.rule not in DECAYS:
            return self.initial
        if step >= self.decay_steps:
            return self.smallest
        if self.rule == "linear":
            passed = (step - 1) / (self.decay_steps - 1)
            return self.initial * (1 - (1 - self._floor) * passed)
        return self.initial * max(math.cos(math.pi / 2 * step / self.decay_steps), self._floor)
