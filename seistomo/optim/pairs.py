"""Where curvature pairs (s, v) come from: a step s, and what the Hessian makes of it, v ≈ B s.

The pairs are given as s / |s| and v / |s|: the same curvature, safe from underflow. λ I is added
to whatever stands for the Hessian, so v = (B + λ I) s.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seistomo.optim.curvature_samples import CurvatureSamples
from seistomo.optim.lbfgs import unit_vector
from seistomo.optim.objective import Objective
from seistomo.optim.vectors import flatten, unflatten

GAUSS_NEWTON, HESSIAN = "gauss_newton", "hessian"
GRADIENT_DIFFERENCE = "gradient_difference"

Memory = dict[str, Any]


class LastStep(NamedTuple):
    """What a step has left.

    Attributes
    ----------
    objective
        The batch S that it was taken on.
    parameters
        The parameters, at the weights after the step.
    step
        s as computed, [weight]; the difference of the weights has lost what rounding took.
    batch_gradient
        ∇f_S before the step, [weight].
    iteration
        k, from 0.
    """

    objective: Objective
    parameters: list[Tensor]
    step: Tensor
    batch_gradient: Tensor
    iteration: int


class Pair(NamedTuple):
    """A curvature pair: ``step`` s / |s| and ``change`` v / |s|, [weight]."""

    step: Tensor
    change: Tensor


class PairSource:
    """Takes a pair every M steps.

    Parameters
    ----------
    interval
        M, in steps.
    damping
        λ.
    samples
        Draws T.
    """

    def __init__(self, interval: int, damping: float, samples: CurvatureSamples):
        self._interval, self._damping, self._samples = interval, damping, samples

    def after(self, last: LastStep, memory: Memory) -> Pair | None:
        """Return the pair that is due after a step, or None; it may be unsafe."""
        raise NotImplementedError

    def _pair(self, step: Tensor, apply: Callable[[Tensor], Tensor]) -> Pair:
        unit = unit_vector(step)
        return Pair(unit, apply(unit) + self._damping * unit)


class GaussNewtonPairs(PairSource):
    """v = (Jᵀ∇²ℓJ + λ I) s at the weights after the step, s the last step.

    Thiele et al. 2021, Algorithm 1, lines 17 to 19; pairs are taken after the steps k ≡ 0
    (mod M).
    """

    def after(self, last: LastStep, memory: Memory) -> Pair | None:
        """Return the pair of the step k ≡ 0 (mod M); see `PairSource.after`."""
        if last.iteration % self._interval:
            return None
        samples = self._samples.draw(last.objective, memory)
        linearized = last.objective.linearize(last.parameters, samples)
        return self._pair(
            last.step, lambda s: flatten(linearized.product(unflatten(s, last.parameters)))
        )


class GradientDifferencePairs(PairSource):
    """v = ∇f_S(w + s) - ∇f_S(w) + λ s, both gradients on the batch of the step.

    Online L-BFGS, Schraudolph et al. 2007, Eq. 11 and Algorithm 3. On a loss that is not convex
    pairs may be unsafe; a step too short for the arithmetic gives noise.
    """

    def after(self, last: LastStep, memory: Memory) -> Pair | None:
        """Return the pair of the step k ≡ 0 (mod M); see `PairSource.after`."""
        if last.iteration % self._interval:
            return None
        difference = flatten(last.objective.gradient(last.parameters)) - last.batch_gradient
        length = torch.linalg.vector_norm(last.step)
        return self._pair(last.step, lambda _: difference / length)


class HessianPairs(PairSource):
    """v = (∇²f_T(w̄) + λ I) s with s = w̄ - w̄₋, the means of M weights and of the M before.

    Stochastic quasi-Newton, Byrd et al. 2016, Algorithm 1; for the first pair w̄₋ is where the
    run began. With M = 1 s is the last step. On a loss that is not convex pairs may be unsafe.
    """

    def after(self, last: LastStep, memory: Memory) -> Pair | None:
        """Return the pair due where a block of M steps ends; see `PairSource.after`."""
        # With steps p of the block before and q of this one, i = 1..M, the difference of the
        # means is s = Σ p_i (i - 1)/M + Σ q_i (M - i + 1)/M, and w̄ = w - Σ q_i (i - 1)/M.
        means = memory.setdefault(
            "means", {"behind": torch.zeros_like(last.step), "moved": torch.zeros_like(last.step)}
        )
        done = last.iteration % self._interval
        means["behind"].add_(last.step, alpha=done / self._interval)
        means["moved"].add_(last.step, alpha=1 - done / self._interval)
        if done < self._interval - 1:
            return None
        step, behind = means["moved"], means["behind"]
        memory["means"] = {"behind": torch.zeros_like(step), "moved": behind}
        mean = flatten(last.parameters) - behind
        at_mean = dict(zip(last.parameters, unflatten(mean, last.parameters), strict=True))
        samples = self._samples.draw(last.objective, memory)

        def apply(s: Tensor) -> Tensor:
            vector = unflatten(s, last.parameters)
            return flatten(last.objective.hessian_product(vector, at_mean, samples))

        return self._pair(step, apply)


PAIR_SOURCES: dict[str, type[PairSource]] = {
    GAUSS_NEWTON: GaussNewtonPairs,
    HESSIAN: HessianPairs,
    GRADIENT_DIFFERENCE: GradientDifferencePairs,
}
