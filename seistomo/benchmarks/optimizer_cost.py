"""What an iteration of each optimizer costs, in units of Adam's, and which part of it costs what.

All optimizers take turns, so that whatever else the machine does hits all alike, and each time
is divided by Adam's of the same repeat. A repeat is K iterations, K the interval of full
gradients: wherever it begins it holds one full gradient, so that its mean iteration is that of
a whole epoch.
"""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seistomo.benchmarks.cost_problems import Candidate, CostProblem, cost_problem
from seistomo.benchmarks.machine import describe_machine, machine_line
from seistomo.benchmarks.tables import NOTHING, format_table
from seistomo.benchmarks.timed_objective import PARTS, StopWatch, TimedObjective
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.optim import ModelObjective, epoch_objectives, make_optimizer
from seistomo.progress import bar
from seistomo.training.device import torch_settings

PROBLEMS = ("mnist", "tomography")
NAME = "optimizer-cost"
OTHER = "other"
# A Gauss-Newton product costs as much as so many gradients, through forward differentiation.
PRODUCT_GRADIENTS = 1.5
NOTE = f"""
Time of an iteration in units of Adam's in the same repeat, median (lowest to highest) over the
repeats. By count: gradients and {PRODUCT_GRADIENTS:g} for each Gauss–Newton product. Paper: Thiele
et al. (2021), section 6. The parts are in units of Adam's iteration; "other" is the two-loop
recursion, the vectors of conjugate gradients, the update itself.
"""


@dataclass(frozen=True)
class Cost:
    """What one optimizer's iterations cost.

    Attributes
    ----------
    label, paper
        As in `Candidate`.
    seconds
        Seconds an iteration, one number a repeat.
    ratios
        The same in units of Adam's, one number a repeat.
    parts
        Gradient, full gradient ..., other: seconds an iteration in units of Adam's, medians over
        the repeats.
    gradients, products
        Gradients and Gauss–Newton products of a batch an iteration, full gradients included.
    """

    label: str
    paper: float | None
    seconds: list[float]
    ratios: list[float]
    parts: dict[str, float]
    gradients: float
    products: float

    @property
    def ratio(self) -> float:
        """Time of an iteration in units of Adam's: the median."""
        return statistics.median(self.ratios)

    @property
    def counted(self) -> float:
        """What it should cost by the number of gradients and products, in units of Adam's."""
        return self.gradients + PRODUCT_GRADIENTS * self.products


class Contestant:
    """An optimizer at work on a problem.

    Parameters
    ----------
    candidate, problem
        What to run.
    inputs, targets
        The training set on the device.
    """

    def __init__(self, candidate: Candidate, problem: CostProblem, inputs: Tensor, targets: Tensor):
        self.candidate, self._problem = candidate, problem
        self._data, self._device = (inputs, targets), inputs.device
        self._network = problem.network().to(self._device)
        self._optimizer = make_optimizer(
            candidate.optimizer,
            self._network.parameters(),
            candidate.learning_rate,
            candidate.options,
        )
        self._objectives = self._epochs()
        self.watch = StopWatch(self._device)
        self._iterations, self._gradients, self._products = 0, 0.0, 0.0

    def _epochs(self) -> Iterator[ModelObjective]:
        problem, generator = self._problem, torch.Generator().manual_seed(0)
        while True:
            yield from epoch_objectives(
                self._network,
                problem.loss,
                *self._data,
                problem.batch_size,
                generator=generator,
                micro_batch=problem.micro_batch,
            )

    def run(self, iterations: int, timed: bool) -> float:
        """Take some steps; return their seconds. ``timed``: those of the parts too."""
        started = self.watch.now()
        for _ in range(iterations):
            objective = next(self._objectives)
            self._optimizer.step(TimedObjective(objective, self.watch) if timed else objective)
            self._gradients += objective.gradient_evaluations
            self._products += objective.ggn_products
        self._iterations += iterations
        return self.watch.now() - started

    def counts(self) -> tuple[float, float]:
        """Return gradients and Gauss–Newton products of a batch, an iteration."""
        return self._gradients / self._iterations, self._products / self._iterations

    def warm_up(self) -> None:
        """Take the first steps: memory is laid out, kernels are chosen, curvature is traced."""
        self.run(2, timed=False)
        self._iterations, self._gradients, self._products = 0, 0.0, 0.0


def measure(problem: CostProblem, repeats: int, device: torch.device) -> list[Cost]:
    """Measure what an iteration of each of the problem's optimizers costs.

    Parameters
    ----------
    problem
        The problem.
    repeats
        Repeats, each of K iterations of each optimizer.
    device
        Where to run. On a GPU, which runs ahead of the clock, parts are timed in repeats of
        their own.
    """
    inputs, targets = problem.inputs.to(device), problem.targets.to(device)
    field = [Contestant(c, problem, inputs, targets) for c in problem.candidates]
    apart = device.type == "cuda"
    rounds: list[list[float]] = []
    parts: list[list[dict[str, float]]] = []
    with bar(total=(repeats + 1) * len(field), description=problem.name, unit="run") as shown:
        for contestant in field:
            contestant.warm_up()
            shown.update()
        for _ in range(repeats):
            rounds.append(_round(problem, field, timed=not apart, stepwise=not apart))
            seconds = _round(problem, field, timed=True, stepwise=False) if apart else rounds[-1]
            parts.append([_parts(*pair) for pair in zip(field, seconds, strict=True)])
            shown.update(len(field))
    return [
        _cost(contestant, index, rounds, parts, problem.interval)
        for index, contestant in enumerate(field)
    ]


def _round(
    problem: CostProblem, field: Sequence[Contestant], timed: bool, stepwise: bool
) -> list[float]:
    """Let each take K steps, in turns of one or of K; return the seconds of each."""
    for contestant in field:
        contestant.watch.reset()
    seconds = [0.0] * len(field)
    turn = 1 if stepwise else problem.interval
    for _ in range(problem.interval // turn):
        for index, contestant in enumerate(field):
            seconds[index] += contestant.run(turn, timed)
    return seconds


def _parts(contestant: Contestant, seconds: float) -> dict[str, float]:
    parts = dict(contestant.watch.seconds)
    return {**parts, OTHER: seconds - sum(parts.values())}


def _cost(
    contestant: Contestant,
    index: int,
    rounds: list[list[float]],
    parts: list[list[dict[str, float]]],
    interval: int,
) -> Cost:
    adam = [sum(one[0].values()) for one in parts]
    gradients, products = contestant.counts()
    return Cost(
        label=contestant.candidate.label,
        paper=contestant.candidate.paper,
        seconds=[seconds[index] / interval for seconds in rounds],
        ratios=[seconds[index] / seconds[0] for seconds in rounds],
        parts={
            part: statistics.median(
                one[index][part] / unit for one, unit in zip(parts, adam, strict=True)
            )
            for part in (*PARTS, OTHER)
        },
        gradients=gradients,
        products=products,
    )


def cost_table(costs: Sequence[Cost]) -> str:
    """Return the costs as a Markdown table, a row an optimizer."""
    headings = ["optimizer", "ms/iteration", "/ Adam's", "by count", "paper", *PARTS, OTHER]
    lines = [headings]
    for cost in costs:
        low, high = min(cost.ratios), max(cost.ratios)
        lines.append(
            [
                cost.label,
                f"{1000 * statistics.median(cost.seconds):.1f}",
                f"{cost.ratio:.2f} ({low:.2f} to {high:.2f})",
                f"{cost.counted:.2f}",
                NOTHING if cost.paper is None else f"{cost.paper:.1f}",
                *(f"{cost.parts[part]:.2f}" for part in (*PARTS, OTHER)),
            ]
        )
    return format_table(lines)


@dataclass(frozen=True)
class CostOptions:
    """Options of the command ``benchmark optimizer-cost``.

    Attributes
    ----------
    out
        Folder that receives ``optimizer-cost.md`` and ``optimizer-cost.json``.
    problems
        Of ``mnist`` and ``tomography``.
    size
        Of the tomography problem: ``small`` (as when left out) or ``paper``.
    repeats, device, threads, overwrite, command
        As in `seistomo.benchmarks.options.BenchmarkOptions`.
    """

    out: Path
    problems: Sequence[str] = PROBLEMS
    size: str | None = None
    repeats: int = 5
    device: str = "auto"
    threads: int = 0
    overwrite: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise InputError(f"--repeats {self.repeats}: must be at least 1")
        if self.threads < 0:
            raise InputError(f"--threads {self.threads}: must not be negative")
        if self.size is not None and "tomography" not in self.problems:
            raise InputError(f"--size {self.size}: only with --problem tomography")


def run_optimizer_cost(options: CostOptions) -> str:
    """Measure, write page and numbers, and return the page.

    Raises
    ------
    InputError
        For options that cannot be, and if there are results already, unless ``overwrite``.
    """
    path = options.out / f"{NAME}.json"
    if path.exists() and not options.overwrite:
        raise InputError(f"--out {options.out}: holds {path.name} already; give --overwrite")
    device = choose_device(options.device)
    problems = {
        name: cost_problem(name, options.size or "small", device) for name in options.problems
    }
    with torch_settings(device, options.threads, 0):
        machine = describe_machine(device)
        found = {
            name: measure(problem, options.repeats, device) for name, problem in problems.items()
        }
    page = "# What an iteration costs\n"
    for name, costs in found.items():
        page += f"\n## {problems[name].title}\n\n{cost_table(costs)}"
    page += f"{NOTE}{options.repeats} repeats; {machine_line(machine)}\n\n`{options.command}`\n"
    content = {
        "machine": machine,
        "command": options.command,
        "repeats": options.repeats,
        "problems": {name: _record(problems[name], costs) for name, costs in found.items()},
    }
    _write(path, json.dumps(content, indent=1) + "\n")
    _write(options.out / f"{NAME}.md", page)
    return page


def _record(problem: CostProblem, costs: Sequence[Cost]) -> dict[str, Any]:
    rows = [{**asdict(cost), "ratio": cost.ratio, "counted": cost.counted} for cost in costs]
    return {"title": problem.title, "optimizers": rows}


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
