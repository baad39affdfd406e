"""What a training step takes of memory, part by part, and how many samples a limit leaves room for.

Vectors as long as the weights are counted by optimizer; what a pass through the network holds is
counted on tensors without content (torch's meta device) and taken times measured factors. What
remains is a margin: an estimate that was wrong costs a smaller micro-batch, not the run.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from seistomo.errors import InputError
from seistomo.optim import SGN, SQGN, SVRG, options_in_effect
from seistomo.optim.replay import without_future_warnings

GIB = 2**30
PRODUCT = "Gauss-Newton product"
# Live bytes of a pass over those that the forward pass saves for it and twice its largest layer:
# measured on five networks of the presets, on which the first two vary by a tenth, the last by 0.3;
# the quickstart's U-Net took 1.1 and 1.0 times what comes out for the first two, margin included.
PASSES = {"gradient": 0.7, PRODUCT: 1.0, "Hessian product": 1.4}
# Resident bytes over live ones: what kernels take for themselves, and holes between blocks. On a
# CPU at the paper's size 1.2 (gradients) to 1.5 (products).
MARGIN = {"cpu": 1.5, "cuda": 1.3}
# Interpreter, libraries and their buffers (0.4 GiB; up to 0.7 with what torch loads for its first
# forward-mode derivative); on a GPU its context and the convolutions' workspace.
PROGRAM = GIB


class Vectors(NamedTuple):
    """What an optimizer holds, in numbers a weight."""

    state: int  # from step to step
    work: int  # within a step beside its state: gradients, and what a step is made of
    passes: tuple[str, ...] = ("gradient",)  # that it asks for
    known: bool = True  # whether the numbers are this optimizer's own; else they are Adam's
    kept_twice: bool = False  # activations, of products with a batch that is forwarded at once


@dataclass(frozen=True)
class StepMemory:
    """Bytes of a training step."""

    parts: dict[str, int]  # what does not depend on how many samples are forwarded at once
    sample: int  # for each sample that is forwarded at once
    share: int  # samples of a batch that fall to this process
    kept_twice: bool

    def total(self, at_once: int) -> int:
        return sum(self.parts.values()) + self.activations(at_once)

    def activations(self, at_once: int) -> int:
        return at_once * self.sample * (2 if self.kept_twice and at_once >= self.share else 1)

    def most_samples(self, asked: int, limit: float, name: str) -> int:
        """Return how many samples, at most as asked, to forward at once within a limit, GiB.

        It depends on the configuration and the kind of device alone, not on the machine's state,
        so that a run can be repeated. ``name`` is the optimizer's, for the refusal.
        """
        for at_once in range(min(asked, self.share), 0, -1):
            if self.total(at_once) <= limit * GIB:
                return at_once
        largest = max(self.parts, key=self.parts.get)
        raise InputError(
            f"training.memory_limit = {limit:g}: optimizer {name} needs"
            f" {self.total(1) / GIB:.2f} GiB with one sample at once,"
            f" {self.parts[largest] / GIB:.2f} of it for {largest}; allow at least that"
        )

    def table(self, at_once: int, limit: float) -> str:
        """Return a table for people; ``limit`` in GiB."""
        samples = "1 sample" if at_once == 1 else f"{at_once} samples"
        rows = {**self.parts, f"activations of {samples} at once": self.activations(at_once)}
        rows["in all"] = self.total(at_once)
        width = max(map(len, rows))
        lines = [f"memory, estimated (limit {limit:g} GiB):"]
        return "\n".join(
            [*lines, *(f"  {n:<{width}}  {b / GIB:7.3f} GiB" for n, b in rows.items())]
        )


def optimizer_vectors(
    optimizer: torch.optim.Optimizer, options: Mapping[str, Any], batches_per_epoch: int
) -> Vectors:
    """Return what an optimizer with these options of its constructor holds."""
    kind, given = type(optimizer), options_in_effect(optimizer, options)
    interval = given.get("full_gradient_interval")
    # A snapshot holds the gradients of the batches until the next and the full one.
    steps = {"epoch": batches_per_epoch, "never": -1}.get(interval, interval)
    product = {"gauss_newton": (PRODUCT,), "hessian": ("Hessian product",)}
    passes = ("gradient", *product.get(given.get("curvature"), ()))
    if kind is SVRG:
        return Vectors(steps + 1, 4)
    if kind is SQGN:
        means = 2 if given["curvature"] == "hessian" else 0
        # Work: 6 by count, and more by a measured step at the paper's size.
        return Vectors(2 * given["history"] + steps + 2 + means, 10, passes)
    if kind is SGN:
        return Vectors(int(given["momentum"] > 0), 9, passes, kept_twice=True)
    if kind is torch.optim.SGD:
        return Vectors(int(given["momentum"] > 0), 2)
    return Vectors(2 + bool(given.get("amsgrad")), 3, known=kind is torch.optim.Adam)


def step_memory(
    network: nn.Module,
    name: str,
    vectors: Vectors,
    device: torch.device,
    share: int,
    read_ahead: int = 0,
    averages: int = 0,
) -> StepMemory:
    """Return what a step takes of a network with ``gather_shape`` and ``largest_activation``.

    ``share`` samples of a batch fall to this process; ``read_ahead`` are bytes, ``averages``
    numbers a weight.
    """
    one = sum(4 * parameter.numel() for parameter in network.parameters())
    taken_for = "" if vectors.known else ", taken for Adam"
    parts = {
        "program and libraries": PROGRAM,
        "weights": one,
        f"state of {name}{taken_for}: {vectors.state} numbers a weight": vectors.state * one,
        f"gradients and work of a step: {vectors.work} numbers a weight": vectors.work * one,
        "average of the weights": averages * one,
        "samples of two batches": read_ahead,
    }
    largest = 2 * 4 * network.largest_activation
    live = [
        PASSES[name] * (saved_bytes(network, name == PRODUCT) + largest) for name in vectors.passes
    ]
    sample = int(MARGIN[device.type] * max(live))
    parts = {what: size for what, size in parts.items() if size}
    return StepMemory(parts, sample, share, vectors.kept_twice)


def saved_bytes(network: nn.Module, tangent: bool = False) -> int:
    """Return the bytes that a forward pass of one sample more keeps for the backward pass.

    With a ``tangent`` of the weights, as for a Gauss-Newton product, it keeps more.
    """
    network = copy.deepcopy(network).to("meta")
    values = dict(network.named_parameters())
    own = {parameter.untyped_storage()._cdata for parameter in network.parameters()}

    def count(samples: int) -> int:
        saved: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            saved[storage._cdata] = storage
            return tensor

        inputs = torch.zeros(samples, 1, *network.gather_shape, device="meta")
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
            forward_ad.dual_level(),
            without_future_warnings(),
        ):
            at = values
            if tangent:
                at = {n: forward_ad.make_dual(v, torch.zeros_like(v)) for n, v in values.items()}
            outputs = torch.func.functional_call(network, at, (inputs,))
        del outputs
        return sum(storage.nbytes() for key, storage in saved.items() if key not in own)

    return count(2) - count(1)


def memory_for_samples(
    asked: float | None, device: torch.device, neighbours: int, step: int = 0
) -> dict[str, int]:
    """Return the bytes in which scaled samples may be kept, on the device and on its host.

    ``asked`` is in GiB; None: on a CPU half of what is free, on a GPU what a ``step``, whose
    weights are there already, leaves free. ``neighbours`` processes share this machine.
    """
    host = free_memory() // 2 // neighbours
    if device.type != "cuda":
        return {"device": host if asked is None else int(asked * GIB)}
    if asked is not None:
        return {"device": int(asked * GIB)}
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return {"device": max(0, free - step), "host": host}


def free_memory() -> int:
    """Return the bytes of memory that this process may still take (Linux; else 2 GiB)."""
    limits = []
    try:
        meminfo = Path("/proc/meminfo").read_text()
        limits.append(int(meminfo.split("MemAvailable:")[1].split()[0]) * 1024)
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / f"memory.{n}").read_text()) for n in ("max", "current"))
        limits.append(max(0, most - used))
    except (OSError, ValueError, IndexError):
        # Another system, or no limit on this one.
        pass
    return min(limits, default=2 * GIB)
