"""Room for samples: what one takes, and what there is."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

GIB = 2**30


def sample_bytes(
    gather_shape: Sequence[int], velocity_shape: Sequence[int], gather_type: str
) -> int:
    """Return the bytes of one scaled sample: gathers of ``gather_type`` and velocity."""
    gathers = np.dtype(gather_type).itemsize * int(np.prod(gather_shape))
    return gathers + 4 * int(np.prod(velocity_shape))


def memory_budget(asked: float | None, device: torch.device) -> int:
    """Return the bytes in which scaled samples may be kept.

    Parameters
    ----------
    asked
        GiB; None: half of what is free, on the GPU for a CUDA device.
    device
        Where the samples would be kept.
    """
    if asked is not None:
        return int(asked * GIB)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return free_memory() // 2


def free_memory() -> int:
    """Return the bytes of memory that this process may still take (Linux; else 2 GiB)."""
    limits = [
        _number("/proc/meminfo", lambda text: int(text.split("MemAvailable:")[1].split()[0]) * 1024)
    ]
    limit = _number("/sys/fs/cgroup/memory.max", int)
    used = _number("/sys/fs/cgroup/memory.current", int)
    if limit is not None and used is not None:
        limits.append(max(0, limit - used))
    known = [limit for limit in limits if limit is not None]
    return min(known, default=2 * GIB)


def _number(path: str, parse: Callable[[str], int]) -> int | None:
    try:
        return parse(Path(path).read_text())
    except (OSError, ValueError, IndexError):
        return None
