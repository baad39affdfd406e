"""How far a quadratic model is to be trusted, judged by the step it led to.

Nocedal and Wright (2006), "Numerical Optimization", Algorithm 4.1: the reduction of the loss is
compared to the one that the model predicted.
"""

import math

POOR, GOOD = 1 / 4, 3 / 4
SHRINK, GROW = 2 / 3, 3 / 2
# Its square must not vanish in float32.
_SMALLEST_RADIUS = 1e-15


def reduction_ratio(
    loss: float, trial_loss: float, predicted: float, epsilon: float
) -> float | None:
    """Return (actual reduction) / (predicted reduction) of a step.

    Parameters
    ----------
    loss, trial_loss
        f before and after the step.
    predicted
        −(gᵀs + ½ sᵀAs), in the unit of the loss.
    epsilon
        Rounding of the losses' number format.

    Returns
    -------
    float or None
        −∞ where the trial loss is not finite. None where the ratio says nothing: the model
        predicts no reduction (its right-hand side was another one than f's gradient), or one
        that is lost in the losses' rounding.
    """
    if not math.isfinite(trial_loss):
        return -math.inf
    if not predicted > 0 or is_lost_in_rounding(predicted, loss, epsilon):
        return None
    return (loss - trial_loss) / predicted


def is_lost_in_rounding(reduction: float, loss: float, epsilon: float) -> bool:
    """Return whether a loss is too coarse for a reduction; parameters as in `reduction_ratio`."""
    return reduction <= 10 * epsilon * abs(loss)


def next_radius(radius: float, ratio: float | None, at_boundary: bool, largest: float) -> float:
    """Return the trust region's next radius (Algorithm 4.1).

    A quarter after a poor ratio (below 1/4); twice as much, up to ``largest``, after a good one
    (above 3/4) of a step that the boundary had stopped.
    """
    if ratio is None:
        return radius
    if ratio < POOR:
        return max(radius / 4, _SMALLEST_RADIUS)
    if ratio > GOOD and at_boundary:
        return min(2 * radius, largest)
    return radius


def next_iteration_bound(
    bound: int, ratio: float | None, at_bound: bool, smallest: int, largest: int
) -> int:
    """Return the next bound on the iterations of conjugate gradients.

    The scheme that Gargiani et al. (2020), section 4.6, propose without working it out: the
    trust region's, with the iterations in the radius' place, since each of them enlarges the
    step. After a poor ratio (below 1/4) the bound falls to 2/3 of itself, rounded down; after a
    good one (above 3/4) of a solution that the bound had stopped it rises to 3/2, rounded up;
    always within ``smallest`` and ``largest``.
    """
    if ratio is None:
        return bound
    if ratio < POOR:
        return max(math.floor(bound * SHRINK), smallest)
    if ratio > GOOD and at_bound:
        return min(math.ceil(bound * GROW), largest)
    return bound
