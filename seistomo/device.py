"""Which device to compute on, in which numbers, with which settings of torch."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from seistomo.errors import InputError

# First compute capability of NVIDIA GPUs with TF32.
_TF32_CAPABILITY = (8, 0)
# Of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def choose_device(name: str, field: str = "device") -> torch.device:
    """Return the device called auto (CUDA where there is one), cpu, cuda or cuda:N.

    ``field`` is what asks for it, in refusals of one that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"{field} = {name}: must be auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise InputError(
            f"{field} = {name}: this machine has {count} such devices; use auto or cpu"
        )
    return device


def check_precision(precision: str, device: torch.device, field: str) -> None:
    """Refuse a ``training.precision`` that the device does not compute in.

    On a CPU all but float32, TF32 on an older GPU, bfloat16 on one that only emulates it.
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


def keep_freed_memory() -> None:
    """Let the process keep memory that layers free, where the C library is glibc.

    It else goes back to the system after each layer and comes again page by page: a fifth of the
    processor's time for a gradient at full size, a sixth of the quickstart's training.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # Of older versions no block above 32 MiB is kept, and a value beyond that is refused.
    if mallopt and (mallopt(_MMAP_THRESHOLD, 2**30) or mallopt(_MMAP_THRESHOLD, 2**25)):
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Allow TF32 on GPUs or forbid it in a ``with`` block, where the fastest convolutions are used.

    Those are looked for once a shape: the same batch after batch. The other half of a precision is
    `convolution_type`.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    try:
        cudnn.allow_tf32 = matmul.allow_tf32 = precision == "tf32"
        cudnn.benchmark = True
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before


@contextmanager
def torch_settings(
    device: torch.device, threads: int, seed: int, precision: str = "float32"
) -> Iterator[None]:
    """Seed torch, set CPU threads (0: as they are) and precision inside a ``with`` block."""
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


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Restore what `random_state` returned; a CUDA state is used on CUDA devices alone."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def upload(values: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device, without waiting for what that has in hand."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values


def peak_memory(device: torch.device) -> int:
    """Return the most bytes that this process has taken so far, on a GPU of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
