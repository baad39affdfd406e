"""What an iteration of each optimizer costs, in units of Adam's, and which part of it costs what.

All optimizers take turns, so that whatever else the machine does hits all alike, and each time
is divided by Adam's of the same repeat. A repeat is K iterations, K the interval of full
gradients: wherever it begins it holds one full gradient, so that its mean iteration is that of
a whole epoch.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from seistomo.benchmarks.contestant import Contestant
from seistomo.benchmarks.cost_problems import OPTIMIZERS, PROBLEMS, CostProblem, ProblemChoice
from seistomo.benchmarks.machine import describe_machine, machine_line
from seistomo.benchmarks.reached_speed import GIGA, MatrixProducts, ReachedSpeed
from seistomo.benchmarks.step_memory import peak_memory
from seistomo.benchmarks.tables import NOTHING, format_table
from seistomo.benchmarks.timed_objective import GRADIENT, PARTS, PRODUCT
from seistomo.device import choose_device
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.progress import bar
from seistomo.training.device import check_precision, convolution_type, torch_settings
from seistomo.training.room import GIB

NAME = "optimizer-cost"
OTHER = "other"
MATRIX = "matrix"
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


@dataclass(frozen=True)
class Measured:
    """What the iterations of a problem's optimizers cost, and the speed they reach.

    Attributes
    ----------
    costs
        An optimizer each.
    speed
        None where the problem does not count its operations.
    """

    costs: list[Cost]
    speed: ReachedSpeed | None


def measure(
    problem: CostProblem, repeats: int, device: torch.device, precision: str = "float32"
) -> Measured:
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
    precision
        ``training.precision``, which matrix products are to have too.
    """
    inputs, targets = problem.inputs.to(device), problem.targets.to(device)
    field = [Contestant(c, problem, inputs, targets) for c in problem.candidates]
    matrices = None
    if problem.operations:
        matrices = MatrixProducts(device, convolution_type(precision) or torch.float32)
    apart = device.type == "cuda"
    rounds: list[list[float]] = []
    parts: list[list[dict[str, float]]] = []
    rates: list[dict[str, float]] = []
    with bar(total=(repeats + 1) * len(field), description=problem.name, unit="run") as shown:
        for contestant in field:
            contestant.warm_up()
            shown.update()
        for _ in range(repeats):
            rounds.append(_round(problem, field, not apart, not apart, matrices))
            seconds = _round(problem, field, True, False, matrices) if apart else rounds[-1]
            parts.append([_parts(*pair) for pair in zip(field, seconds, strict=True)])
            if matrices:
                rates.append({MATRIX: matrices.rate(), **_rates(problem, field)})
            shown.update(len(field))
    costs = [
        _cost(contestant, index, rounds, parts, problem.interval)
        for index, contestant in enumerate(field)
    ]
    return Measured(costs, _speed(problem, matrices, rates) if matrices else None)


def _round(
    problem: CostProblem,
    field: Sequence[Contestant],
    timed: bool,
    stepwise: bool,
    matrices: MatrixProducts | None = None,
) -> list[float]:
    """Let each take K steps, in turns of one or of K; return the seconds of each."""
    for contestant in field:
        contestant.watch.reset()
    if matrices:
        matrices.reset()
    seconds = [0.0] * len(field)
    turn = 1 if stepwise else problem.interval
    for _ in range(problem.interval // turn):
        for index, contestant in enumerate(field):
            seconds[index] += contestant.run(turn, timed)
        if matrices:
            matrices.turn()
    return seconds


def _rates(problem: CostProblem, field: Sequence[Contestant]) -> dict[str, float]:
    """Return GFLOP/s of Adam's gradients and SQGN's products on whole batches, of a round."""
    batches = problem.interval * problem.batch_size / GIGA
    adam = field[0].watch.seconds[GRADIENT]
    rates = {GRADIENT: problem.operations.gradient * batches / adam}
    for contestant in field:
        # Of many products at the same weights all but the first leave operations out.
        if contestant.candidate.optimizer == "sqgn" and contestant.counts()[1] == 1:
            seconds = contestant.watch.seconds[PRODUCT]
            rates[PRODUCT] = problem.operations.product * batches / seconds
    return rates


def _speed(
    problem: CostProblem, matrices: MatrixProducts, rates: Sequence[dict[str, float]]
) -> ReachedSpeed:
    matrix, gradient, product = (
        [one[name] for one in rates if name in one] for name in (MATRIX, GRADIENT, PRODUCT)
    )
    return ReachedSpeed(problem.operations, matrices.size, matrix, gradient, product)


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
                _milliseconds(cost.seconds),
                f"{cost.ratio:.2f} ({low:.2f} to {high:.2f})",
                f"{cost.counted:.2f}",
                NOTHING if cost.paper is None else f"{cost.paper:.1f}",
                *(f"{cost.parts[part]:.2f}" for part in (*PARTS, OTHER)),
            ]
        )
    return format_table(lines)


def _milliseconds(seconds: Sequence[float]) -> str:
    low, middle, high = (1000 * f(seconds) for f in (min, statistics.median, max))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


@dataclass(frozen=True)
class CostOptions:
    """Options of the command ``benchmark optimizer-cost``.

    Attributes
    ----------
    out
        Folder that receives ``optimizer-cost.md`` and ``optimizer-cost.json``.
    problems
        Of ``mnist`` and ``tomography``.
    size, batch_size, precision
        Of the tomography problem: ``small`` (as when left out) or ``paper``; samples a batch, left
        out: the size's own; ``training.precision``.
    optimizers
        What is timed beside Adam; left out: all.
    memory
        Whether to measure the peak memory of the tomography problem's optimizers too.
    repeats, device, threads, overwrite, command
        As in `seistomo.benchmarks.options.BenchmarkOptions`.
    """

    out: Path
    problems: Sequence[str] = PROBLEMS
    size: str | None = None
    batch_size: int | None = None
    precision: str = "float32"
    optimizers: Sequence[str] = OPTIMIZERS
    memory: bool = True
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
        if "tomography" not in self.problems:
            given = {
                "--size": self.size,
                "--batch-size": self.batch_size,
                "--precision": None if self.precision == "float32" else self.precision,
            }
            for option, value in given.items():
                if value is not None:
                    raise InputError(f"{option} {value}: only with --problem tomography")
        self.choices()

    def choices(self) -> dict[str, ProblemChoice]:
        """Return what to build, by name of a problem."""
        rest = (self.size or "small", self.batch_size, self.precision, tuple(self.optimizers))
        return {name: ProblemChoice(name, *rest) for name in self.problems}


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
    check_precision(options.precision, device, "--precision")
    page, records = "# What an iteration costs\n", {}
    with torch_settings(device, options.threads, 0, options.precision):
        machine = describe_machine(device)
        for name, choice in options.choices().items():
            problem = choice.build(device)
            found = measure(problem, options.repeats, device, options.precision)
            peaks = {}
            if options.memory and problem.operations:
                peaks = _peaks(choice, problem, options)
            page += f"\n## {problem.title}\n\n{cost_table(found.costs)}{_remarks(found, peaks)}"
            records[name] = _record(problem, found, peaks)
    precision = "" if options.precision == "float32" else f"precision {options.precision}; "
    page += f"{NOTE}{options.repeats} repeats; {precision}{machine_line(machine)}\n\n"
    page += f"`{options.command}`\n"
    content = {
        "machine": machine,
        "command": options.command,
        "repeats": options.repeats,
        "precision": options.precision,
        "problems": records,
    }
    _write(path, json.dumps(content, indent=1) + "\n")
    _write(options.out / f"{NAME}.md", page)
    return page


def _peaks(choice: ProblemChoice, problem: CostProblem, options: CostOptions) -> dict[str, int]:
    """Return the peak memory of each optimizer's steps, in bytes."""
    torch.cuda.empty_cache()  # What this process keeps of a GPU, another cannot have.
    labels = [candidate.label for candidate in problem.candidates]
    with bar(total=len(labels), description="memory", unit="optimizer") as shown:
        peaks = {}
        for label in labels:
            peaks[label] = peak_memory(choice, label, options.device, options.threads)
            shown.update()
    return peaks


def _remarks(found: Measured, peaks: Mapping[str, int]) -> str:
    """Return what is said below a table of costs."""
    text = f"\n{found.speed}\n" if found.speed else ""
    if peaks:
        listed = ", ".join(f"{label} {peak / GIB:.2f}" for label, peak in peaks.items())
        text += f"\nPeak memory of a process of its own, data and history in it, GiB: {listed}.\n"
    return text


def _record(problem: CostProblem, found: Measured, peaks: Mapping[str, int]) -> dict[str, Any]:
    rows = [{**asdict(cost), "ratio": cost.ratio, "counted": cost.counted} for cost in found.costs]
    for row in rows:
        if row["label"] in peaks:
            row["peak_memory"] = peaks[row["label"]]
    record = {"title": problem.title, "optimizers": rows}
    return record | {"speed": found.speed.record()} if found.speed else record


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
