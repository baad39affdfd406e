"""What a training step takes of memory, part by part, and how many samples a limit leaves room for.

Vectors as long as the weights are counted by optimizer. What a forward and backward pass holds is
found by running it on tensors without content (torch's meta device), which have sizes and
lifetimes but take no memory or time: so any network is counted as autograd treats it.
"""

import copy
import resource
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.optim import SGN, SQGN, SVRG, options_in_effect
from seistomo.optim.curvature import LinearizedPart, NetworkAt, WeightedPart, twice_differentiable
from seistomo.training.losses import squared_error
from seistomo.training.room import GIB, sample_bytes

# Measured resident memory over the bytes of live tensors: what kernels take for themselves, and
# holes between blocks. On a CPU at the paper's size 1.2 (gradients) to 1.5 (products).
ALLOWANCE = {"cpu": 1.5, "cuda": 1.3}
# Interpreter, libraries and their buffers (0.4 GiB; up to 0.7 with what torch loads for its first
# forward-mode derivative), and what a benchmark's process holds beside; on a GPU its context and
# the convolutions' workspace.
PROGRAM = {"cpu": GIB, "cuda": GIB}

GRADIENT, PRODUCT, HESSIAN = "gradient", "Gauss-Newton product", "Hessian product"

READ_ANEW = "samples of two batches"


@dataclass(frozen=True)
class Vectors:
    """What an optimizer holds, in numbers a weight.

    Attributes
    ----------
    state
        From step to step.
    work
        Within a step, beside its state: gradients, and what a step is made of.
    passes
        Which passes through the network it asks for: "gradient" and perhaps a product.
    known
        Whether the numbers are this optimizer's own; else they are Adam's.
    replays
        Whether it asks for many products at the same weights: where a batch is forwarded at
        once, its activations are then kept a second time.
    """

    state: int
    work: int
    passes: tuple[str, ...] = (GRADIENT,)
    known: bool = True
    replays: bool = False


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a training step.

    Attributes
    ----------
    limit
        The most that was allowed.
    micro_batch
        Samples forwarded at once.
    parts
        Bytes by what takes them.
    """

    limit: int
    micro_batch: int
    parts: dict[str, int]

    @property
    def read_anew(self) -> int:
        """Bytes that are set aside for samples which are not kept in memory."""
        return self.parts.get(READ_ANEW, 0)

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """Return a short table."""
        rows = [*self.parts.items(), ("in all", self.total)]
        width = max(len(name) for name, _ in rows)
        lines = [f"memory, estimated (limit {self.limit / GIB:g} GiB):"]
        return "\n".join([*lines, *(f"  {n:<{width}}  {b / GIB:7.3f} GiB" for n, b in rows)])


def optimizer_vectors(
    optimizer: torch.optim.Optimizer, options: Mapping[str, Any], batches_per_epoch: int
) -> Vectors:
    """Return what an optimizer holds.

    Parameters
    ----------
    optimizer
        The optimizer.
    options
        What its constructor was given.
    batches_per_epoch
        Batches of an epoch, for intervals of an epoch.
    """
    kind = type(optimizer)
    given = options_in_effect(optimizer, options)
    interval = given.get("full_gradient_interval")
    # A snapshot holds the gradients of the batches until the next and the full one.
    steps = {"epoch": batches_per_epoch, "never": -1}.get(interval, interval)
    if kind is SVRG:
        return Vectors(state=steps + 1, work=4)
    if kind is SQGN:
        curvature = given["curvature"]
        means = 2 if curvature == "hessian" else 0
        # Work: 6 by count, and more by a measured step at the paper's size.
        return Vectors(
            state=2 * given["history"] + steps + 2 + means, work=10, passes=_passes(curvature)
        )
    if kind is SGN:
        remembered = int(given["momentum"] > 0)
        return Vectors(state=remembered, work=9, passes=_passes(given["curvature"]), replays=True)
    if kind is torch.optim.SGD:
        return Vectors(state=int(given["momentum"] > 0), work=2)
    amsgrad = bool(given.get("amsgrad"))
    return Vectors(state=2 + amsgrad, work=3, known=kind is torch.optim.Adam)


def limited_micro_batch(
    config: Config,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    asked: int,
    share: int,
    batches_per_epoch: int,
) -> MemoryEstimate:
    """Return how many samples to forward at once within ``training.memory_limit``.

    It depends on the configuration and the kind of device alone, not on the machine's state, so
    that a run can be repeated.

    Parameters
    ----------
    config
        The run's configuration; ``training.memory_limit`` is set.
    network
        The network, with ``gather_shape`` and ``velocity_shape``.
    optimizer
        The optimizer of its weights.
    device
        Where it computes.
    asked
        Samples to forward at once where memory is no matter.
    share
        Samples of a batch that fall to this process.
    batches_per_epoch
        Batches of an epoch.

    Raises
    ------
    InputError
        If not even one sample at once fits.
    """
    limit = int(config.training.memory_limit * GIB)
    vectors = optimizer_vectors(optimizer, config.optimizer.options, batches_per_epoch)
    fixed = _fixed_parts(config, network, vectors, device, share)
    passes = _linear_passes(network, vectors, ALLOWANCE[device.type], share)
    room = limit - sum(fixed.values())
    most = min(asked, share)
    fitting = [m for m in range(1, most + 1) if max(p(m) for p in passes.values()) <= room]
    chosen = max(fitting, default=1)
    name, worst = max(((name, p(chosen)) for name, p in passes.items()), key=lambda pair: pair[1])
    samples = "1 sample" if chosen == 1 else f"{chosen} samples"
    estimate = MemoryEstimate(limit, chosen, {**fixed, f"{name} of {samples} at once": worst})
    if not fitting:
        largest = max(estimate.parts, key=estimate.parts.get)
        raise InputError(
            f"training.memory_limit = {config.training.memory_limit:g}: optimizer"
            f" {config.optimizer.name} needs {estimate.total / GIB:.2f} GiB with one sample at"
            f" once, {estimate.parts[largest] / GIB:.2f} of it for {largest}; allow at least that"
        )
    return estimate


def pass_bytes(network: nn.Module, samples: int, kind: str) -> int:
    """Return the bytes that are live at once, at most, in a pass through a network.

    Parameters
    ----------
    network
        The network, with ``gather_shape`` and ``velocity_shape``; its weights are not counted.
    samples
        Samples forwarded at once.
    kind
        "gradient", "Gauss-Newton product" or "Hessian product".
    """
    network = copy.deepcopy(network).to("meta")
    at = NetworkAt(network, None)
    vector = [torch.zeros_like(variable) for variable in at.variables]
    with _LiveBytes() as counted:
        inputs = torch.zeros(samples, 1, *network.gather_shape, device="meta")
        targets = torch.zeros(samples, *network.velocity_shape, device="meta")
        if kind == PRODUCT:
            part = WeightedPart(inputs, targets, 1.0, alone=False)
            LinearizedPart(at, squared_error, part).product(vector, "forward")
        else:
            with twice_differentiable():
                hessian = kind == HESSIAN
                loss = squared_error(at(inputs), targets)
                gradient = at.derivative(loss, create_graph=hessian)
                if hessian:
                    slopes = [(g * v).sum() for g, v in zip(gradient, vector, strict=True)]
                    at.derivative(torch.stack(slopes).sum())
    return counted.peak


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has taken so far, on a GPU of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _passes(curvature: str) -> tuple[str, ...]:
    product = {"gauss_newton": (PRODUCT,), "hessian": (HESSIAN,)}
    return (GRADIENT, *product.get(curvature, ()))


def _fixed_parts(
    config: Config, network: nn.Module, vectors: Vectors, device: torch.device, share: int
) -> dict[str, int]:
    """Return the bytes of what does not depend on how many samples are forwarded at once."""
    one = sum(4 * parameter.numel() for parameter in network.parameters())
    name = config.optimizer.name if vectors.known else f"{config.optimizer.name}, taken for Adam"
    parts = {
        "program and libraries": PROGRAM[device.type],
        "weights": one,
        f"state of {name}: {vectors.state} numbers a weight": vectors.state * one,
        f"gradients and work of a step: {vectors.work} numbers a weight": vectors.work * one,
    }
    if config.training.averaging != "none":
        parts["average of the weights: 2 numbers a weight"] = 2 * one
    if device.type == "cpu":
        # One that is used and one that is read; samples that are kept have what is left.
        sample = sample_bytes(
            network.gather_shape, network.velocity_shape, config.training.gather_type
        )
        parts[READ_ANEW] = 2 * share * sample
    return parts


def _linear_passes(
    network: nn.Module, vectors: Vectors, allowance: float, share: int
) -> dict[str, Callable[[int], int]]:
    """Return the bytes of each pass as a function of the samples forwarded at once."""

    def line(kind: str) -> Callable[[int], int]:
        one, two = (pass_bytes(network, samples, kind) for samples in (1, 2))

        def needed(samples: int) -> int:
            kept_twice = vectors.replays and kind == PRODUCT and samples >= share
            factor = allowance * (2 if kept_twice else 1)
            return int(factor * (one + (samples - 1) * (two - one)))

        return needed

    return {kind: line(kind) for kind in vectors.passes}


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors that are made inside a ``with`` block, while they live.

    Attributes
    ----------
    peak
        The most at once.
    """

    def __init__(self):
        super().__init__()
        self.peak = self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._meet(tensor.untyped_storage())
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._now -= self._sizes.pop(key)
