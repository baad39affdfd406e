"""What a measurement was made on; no names of hosts or users."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seistomo import __version__
from seistomo.device import choose_device
from seistomo.progress import counted


def describe_machine(device: str = "auto", threads: int = 0) -> dict[str, Any]:
    """Return processor, cores, threads, GPU and versions."""
    chosen = choose_device(device)
    facts = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": threads or torch.get_num_threads(),
        "device": chosen.type,
        "torch": torch.__version__,
        "seistomo": __version__,
    }
    if chosen.type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(chosen)
    return facts


def machine_line(facts: Mapping[str, Any]) -> str:
    """Return the same in one line of text."""
    cores = f"{counted(facts['cores'], 'core')}, " if facts["cores"] else ""
    where = f"{facts['processor']}, {cores}{counted(facts['threads'], 'thread')}"
    if "gpu" in facts:
        where = f"{facts['gpu']}; {where}"
    return f"{where}; torch {facts['torch']}, seistomo {facts['seistomo']}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
