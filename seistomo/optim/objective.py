"""One mini-batch of a learning problem, as an optimizer sees it.

The problem is to minimize f(w) = mean over the training set of ℓ(h(w; x), y): network h, loss ℓ
(convex in the network's output where curvature is asked for), weights w. An objective is its
part on a mini-batch S, f_S(w), and is itself a torch closure, so that
``torch.optim.Adam(...).step(objective)`` works.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

Loss = Callable[[Tensor, Tensor], Tensor]
Parameters = Mapping[Tensor, Tensor] | Sequence[Tensor] | None
Vector = tuple[Tensor, ...]


class FullGradient(NamedTuple):
    """The gradient over the whole training set.

    Attributes
    ----------
    loss
        f(w), a scalar.
    gradient
        ∇f(w), one tensor a parameter.
    batch_losses, batch_gradients
        f_S(w) and ∇f_S(w) of the batches that were asked for, this one first.
    batch_samples
        Global sample indices of these batches, int64 [sample] each: by them an optimizer sees
        later whether a batch is the one that it asked for.
    """

    loss: Tensor
    gradient: Vector
    batch_losses: list[Tensor]
    batch_gradients: list[Vector]
    batch_samples: list[Tensor]


class Linearization(Protocol):
    """An objective on samples T, linearized at fixed weights: see `Objective.linearize`."""

    @property
    def loss(self) -> Tensor:
        """f_T(w), a scalar without a graph."""

    @property
    def gradient(self) -> Vector:
        """∇f_T(w), one tensor a parameter; computed when first asked for."""

    def product(self, vector: Sequence[Tensor]) -> Vector:
        """Return Jᵀ ∇²ℓ J v, one tensor a parameter; may be asked for many times."""


class Objective(Protocol):
    """What an optimizer may ask of a mini-batch S.

    ``params`` says which parameters are meant, and at which values:

    - left out: all trainable parameters of the model, in its order, at their present values;
    - a sequence of parameters (an optimizer's own, in its own order): these, at their present
      values;
    - a mapping from parameters to tensors: these parameters, in the mapping's order, at the
      values of the tensors. The model itself stays as it is.

    ``samples`` are global sample indices, int64 [sample], out of `training_samples`; left out:
    those of this batch. Asked twice for the same, an objective gives the same.

    Attributes
    ----------
    model
        The network, if there is one: optimizers that evaluate a batch more than once look for
        layers that would not give the same twice.
    batch_index, batches_per_epoch
        Number of this batch within its epoch, from 0, and of the batches in an epoch.
    batch_size, sample_count
        Samples in this batch, and in the whole training set.
    samples, training_samples
        Their global indices, int64 [sample].
    gradient_evaluations, ggn_products
        Work done so far, in gradients of this batch and Gauss–Newton products with this batch:
        on n samples it counts as n / batch_size.
    """

    batch_index: int
    batches_per_epoch: int
    batch_size: int
    sample_count: int
    samples: Tensor
    training_samples: Tensor
    gradient_evaluations: float
    ggn_products: float

    def __call__(self) -> Tensor:
        """Zero the gradients, run forward and backward, return the loss (a torch closure)."""

    def loss(self, params: Parameters = None, samples: Tensor | None = None) -> Tensor:
        """Return the loss alone, a scalar without a graph."""

    def gradient(self, params: Parameters = None, samples: Tensor | None = None) -> Vector:
        """Return the gradient with respect to ``params``, one tensor each, in their order."""

    def loss_and_gradient(
        self, params: Parameters = None, samples: Tensor | None = None
    ) -> tuple[Tensor, Vector]:
        """Return both, from one pass."""

    def linearize(self, params: Parameters = None, samples: Tensor | None = None) -> Linearization:
        """Return loss, gradient and Gauss–Newton products v ↦ Jᵀ ∇²ℓ J v at ``params``."""

    def hessian_product(
        self,
        vector: Sequence[Tensor],
        params: Parameters = None,
        samples: Tensor | None = None,
    ) -> Vector:
        """Return ∇²f_T v, one tensor a parameter."""

    def full_gradient(self, params: Parameters = None, cache_next: int = 0) -> FullGradient:
        """Return the gradient over the training set, and of the next batches beside it.

        ``cache_next`` counts the batches of this epoch, from this one on, whose own losses and
        gradients are wanted; they cost nothing more.
        """


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    """Return the tensors' entries, one tensor after the other, as a new vector [weight]."""
    if len(tensors) == 1:  # Which the other makes no copy of.
        return tensors[0].reshape(-1).clone()
    return _flatten_dense_tensors(tensors)


def unflatten(vector: Tensor, like: Sequence[Tensor]) -> Vector:
    """Return views of a vector [weight], shaped as the given tensors; undoes `flatten`."""
    return _unflatten_dense_tensors(vector, like)
