"""A diagonal preconditioner for conjugate gradients, out of the gradient."""

from torch import Tensor


def inverse_gradient_preconditioner(gradient: Tensor, damping: float, power: float) -> Tensor:
    """Return the diagonal of M⁻¹ [weight], M = diag(g² + ρ)^a.

    The squared gradient stands for the unknown diagonal of the curvature. Gargiani et al.'s code
    has the same with a = 1 as its default; Martens (2010), "Deep learning via Hessian-free
    optimization", section 4.7, sums squares sample by sample and takes a = 3/4.

    Parameters
    ----------
    gradient
        g [weight], the right-hand side that conjugate gradients get.
    damping
        ρ, positive.
    power
        a, from 0 (no preconditioner) to 1.
    """
    return (gradient.square() + damping).pow(-power)
