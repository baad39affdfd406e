"""What an iteration of each optimizer costs, in units of Adam's.

Optimizers take turns of K iterations, K the interval of full gradients: wherever a turn begins it
holds one full gradient, so that its mean iteration is that of a whole epoch. The data are made up:
what a step costs depends on how many samples there are, not on what they show.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seistomo.config import NetworkConfig
from seistomo.device import choose_device, convolution_type, torch_settings
from seistomo.errors import InputError
from seistomo.experiments import problems, records
from seistomo.experiments.machine import describe_machine, machine_line
from seistomo.experiments.problems import regression
from seistomo.experiments.study import MethodEntry, Study
from seistomo.experiments.tables import NOTHING, markdown_table, median_range
from seistomo.experiments.timing import now, ratios, take_turns
from seistomo.files import write_text
from seistomo.networks import build_network
from seistomo.networks.mnist import MnistCNN
from seistomo.optim import ModelObjective, epoch_objectives, make_optimizer
from seistomo.training.losses import squared_error
from seistomo.training.objective import micro_batch_size

NAME = "optimizer-cost.json"
# A Gauss–Newton product costs as much as so many gradients, through forward differentiation.
PRODUCT_GRADIENTS = 1.5
# Gathers (source, receiver, time), velocity (depth, x), batch, micro-batch (0: as in training). A
# batch should not fit into one: the graph that is kept from one product to the next would not be
# there at the paper's size.
TOMOGRAPHY = {
    "small": ((11, 32, 100), (50, 50), 16, 8),
    "paper": ((31, 256, 300), (100, 100), 100, 0),
}
TOMOGRAPHY_BATCHES = 8  # K is the paper's epoch
MNIST_BATCH, MNIST_BATCHES, MNIST_INTERVAL = 1000, 60, 10
SINE_BATCH, SINE_TURN = 1000, 10  # turns of ten times K: a step takes half a millisecond
BY_HAND = "by-hand"


@dataclass(frozen=True)
class CostProblem:
    """A training set of made-up data, and how an optimizer goes through it."""

    title: str
    network: Callable[[], nn.Module]
    loss: Any
    inputs: Tensor
    targets: Tensor
    batch_size: int
    interval: int  # K; it divides the epoch
    micro_batch: int | None = None
    unit: float = 1.0
    turn: int = 1  # of so many times K iterations


class Contestant:
    """An optimizer at work on a problem."""

    def __init__(self, entry: MethodEntry, problem: CostProblem, device: torch.device):
        self._problem, self._device = problem, device
        self._network = problem.network().to(device)
        options = problems.resolved(entry.options, problem, problem.batch_size)
        self._optimizer = make_optimizer(
            entry.optimizer, self._network.parameters(), entry.learning_rate, options
        )
        self._objectives = self._epochs()
        self.iterations, self.gradients, self.products = 0, 0.0, 0.0

    def _epochs(self) -> Iterator[ModelObjective]:
        problem, generator = self._problem, torch.Generator().manual_seed(0)
        while True:
            yield from epoch_objectives(
                self._network,
                problem.loss,
                problem.inputs,
                problem.targets,
                problem.batch_size,
                generator=generator,
                micro_batch=problem.micro_batch,
            )

    def turn(self) -> float:
        """Take the steps of a turn; return the seconds of one."""
        steps = self._problem.interval * self._problem.turn
        started = now(self._device)
        for _ in range(steps):
            objective = next(self._objectives)
            self._optimizer.step(objective)
            self.gradients += objective.gradient_evaluations
            self.products += objective.ggn_products
        self.iterations += steps
        return (now(self._device) - started) / steps

    def count(self) -> float:
        """Return what an iteration should cost by gradients and products of a batch."""
        return (self.gradients + PRODUCT_GRADIENTS * self.products) / self.iterations


def loop_by_hand(
    entry: MethodEntry, problem: CostProblem, device: torch.device
) -> Callable[[], float]:
    """Return the turn of a torch optimizer in a loop as one writes it without an objective."""
    network, size = problem.network().to(device), problem.batch_size
    optimizer = make_optimizer(entry.optimizer, network.parameters(), entry.learning_rate)
    steps, at_once = problem.interval * problem.turn, problem.micro_batch or size

    def batches() -> Iterator[Tensor]:
        while True:
            yield from torch.randperm(len(problem.inputs)).split(size)

    rows_of = batches()

    def turn() -> float:
        started = now(device)
        for _ in range(steps):
            rows = next(rows_of).to(device)
            optimizer.zero_grad()
            for part in rows.split(at_once):
                loss = problem.loss(network(problem.inputs[part]), problem.targets[part])
                (loss if len(part) == len(rows) else loss * (len(part) / len(rows))).backward()
            optimizer.step()
        return (now(device) - started) / steps

    return turn


def sine_problem() -> CostProblem:
    """Return the noisy sine of the SGN paper (Gargiani et al. 2020, section 4.2)."""
    problem = regression.sine({"batch_size": SINE_BATCH})
    train = problem.split("train")
    interval = len(train) // SINE_BATCH
    title = f"Noisy sine, {len(train):,} samples in batches of {SINE_BATCH:,}, K = {interval}"

    def network() -> nn.Module:
        return problem.network(torch.Generator().manual_seed(0))

    data = train.inputs, train.targets
    return CostProblem(title, network, problem.loss, *data, SINE_BATCH, interval, turn=SINE_TURN)


def mnist_problem(batch_size: int = MNIST_BATCH) -> CostProblem:
    """Return the SQGN paper's MNIST problem (section 6.1) on images made up."""
    samples = batch_size * MNIST_BATCHES
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (samples,), generator=generator)
    shapes = torch.rand(10, 1, 7, 7, generator=generator).square()
    images = functional.interpolate(200 * shapes, scale_factor=4)[labels]
    images += 50 * torch.rand(images.shape, generator=generator)
    # With some labels wrong there is always something left to do.
    wrong = torch.rand(samples, generator=generator) < 0.1
    labels[wrong] = torch.randint(10, (int(wrong.sum()),), generator=generator)
    title = f"MNIST CNN, {samples:,} samples in batches of {batch_size:,}, K = {MNIST_INTERVAL}"

    def network() -> nn.Module:
        return MnistCNN(generator=torch.Generator().manual_seed(0))

    loss = functional.cross_entropy
    return CostProblem(title, network, loss, images, labels, batch_size, MNIST_INTERVAL)


def tomography_problem(
    size: str, batch_size: int | None, precision: str, device: torch.device
) -> CostProblem:
    """Return the SQGN paper's tomography problem (section 6.2) on data made up."""
    if size not in TOMOGRAPHY:
        raise InputError(f"problem.size = {size}: must be one of {', '.join(TOMOGRAPHY)}")
    shape, velocity_shape, usual, micro_batch = TOMOGRAPHY[size]
    batch_size = batch_size or usual
    samples = TOMOGRAPHY_BATCHES * batch_size
    generator = torch.Generator().manual_seed(0)
    gathers = torch.randn(samples, 1, *shape, generator=generator)
    velocity = 0.5 + 0.1 * torch.randn(samples, *velocity_shape, generator=generator)
    mean = velocity.mean(0)

    def network() -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        built = build_network(NetworkConfig(), shape, velocity_shape, generator)
        built.set_output_bias(mean)
        built.convolution_type = convolution_type(precision)
        return built

    micro_batch = micro_batch_size(micro_batch, network().largest_activation, device)
    title = (
        f"Tomography CNN, gathers {' × '.join(map(str, shape))}, {samples} samples in batches of"
        f" {batch_size}, K = {TOMOGRAPHY_BATCHES}"
    )
    return CostProblem(
        title,
        network,
        squared_error,
        gathers,
        velocity,
        batch_size,
        TOMOGRAPHY_BATCHES,
        min(micro_batch, max(1, batch_size // 2)),
    )


def measure_cost(study: Study, out: Path, overwrite: bool = False, command: str = "") -> str:
    """Time the study's methods in turns, problem by problem; write and return the page."""
    records.refuse_results(out / NAME, overwrite)
    settings = problems.loop_settings(study.training)
    device = choose_device(settings.device)
    wanted = {str(entry.problem) for entry in study.trained}
    groups: dict[str, list[MethodEntry]] = {}
    for entry in study.methods:
        # The first of a problem's methods is Adam: it always takes part.
        if str(entry.problem) in wanted and (
            entry in study.trained or str(entry.problem) not in groups
        ):
            groups.setdefault(str(entry.problem), []).append(entry)
    page, found = f"# {study.title}\n", {}
    with torch_settings(device, settings.threads, 0, settings.precision):
        machine = describe_machine(settings.device, settings.threads)
        for entries in groups.values():
            title, rows = _measure(study, entries, device)
            lines = [["optimizer", "ms/iteration", "/ Adam's", "by count", "paper"]]
            papers = {entry.name: entry.paper.get("ratio") for entry in entries}
            labels = {entry.name: entry.label for entry in entries}
            labels[BY_HAND] = f"{entries[0].label}, a loop by hand"
            for name, label in labels.items():
                row, paper = rows[name], papers.get(name)
                milliseconds = [1000 * one for one in row["seconds"]]
                lines.append(
                    [
                        label,
                        median_range(milliseconds, 1),
                        median_range(row["ratios"]),
                        f"{row['count']:.2f}",
                        NOTHING if paper is None else f"{paper:.3g}",
                    ]
                )
            page += f"\n## {title}\n\n{markdown_table(lines)}"
            found[entries[0].problem["name"]] = {"title": title, "optimizers": rows}
    page += "\n" + "".join(f"- {note}\n" for note in study.notes)
    page += f"- Median (lowest to highest) of {study.seeds} turns; {machine_line(machine)}\n"
    page += f"\n`{command}`\n" if command else ""
    content = {"machine": machine, "command": command, "problems": found}
    write_text(out / "index.md", page)
    records.write_json(out / NAME, content)
    return page


def _measure(
    study: Study, entries: list[MethodEntry], device: torch.device
) -> tuple[str, dict[str, Any]]:
    """Return a problem's title, and seconds, ratios to the first method's and counts by name."""
    problem = _problem(study, entries[0].problem, device)
    inputs, targets = problem.inputs.to(device), problem.targets.to(device)
    problem = replace(problem, inputs=inputs, targets=targets)
    contestants = {entry.name: Contestant(entry, problem, device) for entry in entries}
    turns = {name: one.turn for name, one in contestants.items()}
    turns[BY_HAND] = loop_by_hand(entries[0], problem, device)
    seconds = take_turns(turns, study.seeds, description=problem.title)
    first = seconds[entries[0].name]
    rows = {
        name: {
            "seconds": taken,
            "ratios": ratios(taken, first),
            "ratio": statistics.median(ratios(taken, first)),
            "count": contestants[name].count() if name in contestants else 1.0,
        }
        for name, taken in seconds.items()
    }
    return problem.title, rows


def _problem(study: Study, options: Mapping[str, Any], device: torch.device) -> CostProblem:
    training = study.training
    if options.get("name") == "sine":
        return sine_problem()
    if options.get("name") == "mnist":
        return mnist_problem(training.get("batch_size", MNIST_BATCH))
    precision = training.get("precision", "float32")
    size = str(study.problem.get("size") or options.get("size", "small"))
    return tomography_problem(size, training.get("batch_size"), precision, device)
