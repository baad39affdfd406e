"""The most memory that a process takes whose steps are those of one optimizer.

Freed memory stays with a process, so each optimizer is measured in one of its own.
"""

import multiprocessing
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from seistomo.benchmarks.contestant import Contestant
from seistomo.benchmarks.cost_problems import ProblemChoice
from seistomo.device import choose_device
from seistomo.training.device import torch_settings


def peak_memory(choice: ProblemChoice, label: str, device: str, threads: int) -> int:
    """Return the peak memory of steps of one optimizer, in bytes.

    It is measured in a new process, after as many steps on single samples as fill the
    optimizer's history. The data are part of it: on a CPU they are held in memory, on a GPU there.

    Parameters
    ----------
    choice
        The problem.
    label
        The candidate's label.
    device
        auto, cpu, cuda or cuda:N.
    threads
        CPU threads; 0: as torch chooses.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, choice, label, device, threads).result()


def _measured(choice: ProblemChoice, label: str, device: str, threads: int) -> int:
    place = choose_device(device)
    problem = choice.build(place)
    candidate = next(c for c in problem.candidates if c.label == label)
    with torch_settings(place, threads, 0, choice.precision):
        contestant = Contestant(
            candidate, problem, problem.inputs.to(place), problem.targets.to(place)
        )
        # A history is filled by whole epochs, so that the next step starts one.
        steps = candidate.options.get("history", 0)
        contestant.run(-(-steps // problem.interval) * problem.interval, batch_size=1)
        contestant.run(2)
    return _peak(place)


def _peak(device: torch.device) -> int:
    """Return the most bytes that this process has taken, on a GPU of its memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    status = Path("/proc/self/status")
    if status.exists():  # What getrusage tells starts with the parent process's peak.
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
