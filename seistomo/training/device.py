"""The torch settings that training runs with."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seistomo.errors import InputError

# Of glibc's mallopt: memory that is freed stays with the process, at any size of a block.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let the process keep memory that layers free, where the C library is glibc.

    It else goes back to the system after each layer and comes again page by page, which costs
    a tenth to a fifth of a pass through the tomography network on a CPU.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


# First compute capability of NVIDIA GPUs with TF32.
_TF32_CAPABILITY = (8, 0)


def check_precision(precision: str, device: torch.device, field: str) -> None:
    """Refuse a precision that the device does not compute in.

    Parameters
    ----------
    precision
        ``training.precision``.
    device
        The device.
    field
        What asks for it, for the error.

    Raises
    ------
    InputError
        For anything but float32 on a CPU, TF32 on an older GPU, and bfloat16 on one that only
        emulates it.
    """
    if precision == "float32":
        return
    if device.type != "cuda":
        # On CPUs torch 2.13 has wrong derivatives of bfloat16 convolutions, without a word, where
        # an axis is shorter than the kernel.
        raise InputError(f"{field} = {precision}: needs an NVIDIA GPU; take float32 on a CPU")
    if precision == "tf32" and torch.cuda.get_device_capability(device) < _TF32_CAPABILITY:
        raise InputError(
            f"{field} = {precision}: needs an NVIDIA GPU of compute capability 8.0 or more; take"
            " float32"
        )
    if precision == "bfloat16" and not torch.cuda.is_bf16_supported(False):
        raise InputError(f"{field} = {precision}: this GPU only emulates it; take float32")


def convolution_type(precision: str) -> torch.dtype | None:
    """Return the type that a network's convolutions compute in; None: that of the weights."""
    return torch.bfloat16 if precision == "bfloat16" else None


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Allow TF32 in convolutions and matrix products of GPUs, or forbid it, then restore both.

    The other half of a precision is `convolution_type`.
    """
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        yield
    finally:
        for switch, was in zip(switches, before, strict=True):
            switch.allow_tf32 = was


@contextmanager
def torch_settings(
    device: torch.device, threads: int, seed: int, precision: str = "float32"
) -> Iterator[None]:
    """Seed torch, set CPU threads and TF32 inside a ``with`` block; restore all afterwards."""
    before = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    if device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng(devices=devices), computing_in(precision):
        torch.manual_seed(seed)
        if threads:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of torch's generators."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore what `random_state` returned; a CUDA state is used on CUDA devices alone."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
