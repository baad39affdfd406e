"""The torch settings that training runs with."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

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


@contextmanager
def torch_settings(device: torch.device, threads: int, seed: int) -> Iterator[None]:
    """Seed torch and set its CPU threads inside a ``with`` block; restore both afterwards."""
    before = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    if device.type == "cpu":
        keep_freed_memory()
    with torch.random.fork_rng(devices=devices):
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
