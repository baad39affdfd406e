"""The problems on which optimizers are timed: MNIST and seismic tomography, on made-up data.

What a step costs does not depend on what the images show, only on how many there are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from seistomo.benchmarks.operations import Operations, count_operations
from seistomo.benchmarks.paper import SQGN_OPTIONS, SQGN_RATE, SVRG_OPTIONS
from seistomo.config.network import NetworkConfig
from seistomo.config.training import TrainingConfig
from seistomo.errors import InputError
from seistomo.networks import build_network
from seistomo.networks.mnist import MnistCNN
from seistomo.optim.objective import Loss
from seistomo.training.device import convolution_type
from seistomo.training.losses import squared_error
from seistomo.training.objective import micro_batch_size

PRECISIONS = get_args(TrainingConfig.model_fields["precision"].annotation)
# The data are made up: how soon conjugate gradients converge on them says nothing.
SGN_OPTIONS = {"cg_iterations": 10, "cg_min_iterations": 10}


@dataclass(frozen=True)
class Candidate:
    """An optimizer to be timed.

    Attributes
    ----------
    label
        What it is called.
    optimizer, learning_rate, options
        As for `seistomo.optim.make_optimizer`.
    paper
        Time of an iteration in units of Adam's that the SQGN paper reports; None where it
        reports none.
    """

    label: str
    optimizer: str
    learning_rate: float
    options: dict[str, Any] = field(default_factory=dict)
    paper: float | None = None


@dataclass(frozen=True)
class CostProblem:
    """A problem on which optimizers are timed.

    Attributes
    ----------
    name, title
        Its name, and a heading that says the sizes.
    network
        Makes the network, on the CPU.
    loss
        ℓ(outputs, targets).
    inputs, targets
        The training set, on the CPU.
    batch_size
        |S|.
    interval
        K: iterations from one full gradient to the next. It divides the epoch.
    candidates
        What is timed; the first is Adam.
    micro_batch
        Samples forwarded at once; None: see `seistomo.optim.ModelObjective`.
    operations
        Operations of one sample, where a network's speed is worth stating.
    """

    name: str
    title: str
    network: Callable[[], nn.Module]
    loss: Loss
    inputs: Tensor
    targets: Tensor
    batch_size: int
    interval: int
    candidates: tuple[Candidate, ...]
    micro_batch: int | None = None
    operations: Operations | None = None


def mnist_problem(batch_size: int = 1000, batches: int = 60) -> CostProblem:
    """Return the MNIST problem of the SQGN paper (section 6.1), with images made up."""
    samples = batch_size * batches
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(10, (samples,), generator=generator)
    shapes = torch.rand(10, 1, 7, 7, generator=generator).square()
    images = functional.interpolate(200 * shapes, scale_factor=4)[labels]
    images += 50 * torch.rand(images.shape, generator=generator)
    # With some labels wrong there is always something left to do.
    wrong = torch.rand(samples, generator=generator) < 0.1
    labels[wrong] = torch.randint(10, (int(wrong.sum()),), generator=generator)
    without = SQGN_OPTIONS | {"full_gradient_interval": "never"}
    fewer = max(1, round(batch_size / 10))
    subsampled = SQGN_OPTIONS | {"curvature_samples": fewer}
    return CostProblem(
        name="mnist",
        title=f"MNIST CNN, {samples:,} samples in batches of {batch_size:,}, K = 10",
        network=lambda: MnistCNN(generator=torch.Generator().manual_seed(0)),
        loss=functional.cross_entropy,
        inputs=images,
        targets=labels,
        batch_size=batch_size,
        interval=SQGN_OPTIONS["full_gradient_interval"],
        candidates=(
            Candidate("Adam", "adam", 1e-2, paper=1.0),
            Candidate("SGD", "sgd", 1e-3, paper=7 / 7),
            Candidate("SVRG", "svrg", 1e-3, SVRG_OPTIONS, paper=39 / 7),
            Candidate("SQGN", "sqgn", SQGN_RATE, SQGN_OPTIONS, paper=57 / 7),
            Candidate(f"SQGN, T = {fewer}", "sqgn", SQGN_RATE, subsampled, paper=54 / 7),
            Candidate("SQGN, no variance reduction", "sqgn", SQGN_RATE, without, paper=26 / 7),
            Candidate("SGN, 10 CG iterations", "sgn", 1.0, SGN_OPTIONS),
        ),
    )


@dataclass(frozen=True)
class TomographySize:
    """Sizes of a tomography problem: gathers (source, receiver, time), velocity (depth, x).

    A ``micro_batch`` of 0 is chosen as in training. A batch should not fit into one: the graph
    that is then kept from one product to the next would not be there at the paper's size.
    """

    gathers: tuple[int, int, int]
    velocity: tuple[int, int]
    batch_size: int
    micro_batch: int = 0


TOMOGRAPHY_SIZES = {
    "small": TomographySize((11, 32, 100), (50, 50), 16, micro_batch=8),
    "paper": TomographySize((31, 256, 300), (100, 100), 100),
}


def tomography_problem(
    size: TomographySize, device: torch.device, batches: int = 8, precision: str = "float32"
) -> CostProblem:
    """Return the tomography problem of the SQGN paper (section 6.2), with data made up.

    One full gradient an epoch, as in the paper, whose K of 8 is its epoch.

    Parameters
    ----------
    size
        Sizes.
    device
        Where it will run: micro-batches are chosen to suit.
    batches
        Batches an epoch, K.
    precision
        ``training.precision``.
    """

    def network() -> nn.Module:
        generator = torch.Generator().manual_seed(0)
        built = build_network(NetworkConfig(), size.gathers, size.velocity, generator)
        built.set_output_bias(velocity.mean(0))
        built.convolution_type = convolution_type(precision)
        return built

    samples = batches * size.batch_size
    generator = torch.Generator().manual_seed(0)
    gathers = torch.randn(samples, 1, *size.gathers, generator=generator)
    velocity = 0.5 + 0.1 * torch.randn(samples, *size.velocity, generator=generator)
    options = SQGN_OPTIONS | {"full_gradient_interval": "epoch"}
    fewer = max(1, round(size.batch_size / 10))
    subsampled = options | {"curvature_samples": fewer}
    shape = " × ".join(map(str, size.gathers))
    return CostProblem(
        name="tomography",
        title=(
            f"Tomography CNN, gathers {shape}, {samples} samples in batches of"
            f" {size.batch_size}, K = {batches}"
        ),
        network=network,
        loss=squared_error,
        inputs=gathers,
        targets=velocity,
        batch_size=size.batch_size,
        interval=batches,
        candidates=(
            Candidate("Adam", "adam", 1e-3, paper=1.0),
            Candidate("SGD", "sgd", 1e-7),
            Candidate("SVRG", "svrg", 1e-7, {"full_gradient_interval": "epoch"}),
            Candidate("SQGN", "sqgn", SQGN_RATE, options, paper=4.5 / 1.3),
            Candidate(f"SQGN, T = {fewer}", "sqgn", SQGN_RATE, subsampled),
            Candidate("SGN, 10 CG iterations", "sgn", 1.0, SGN_OPTIONS),
        ),
        micro_batch=micro_batch_size(size.micro_batch, network().largest_activation, device),
        operations=count_operations(network(), (1, *size.gathers)),
    )


PROBLEMS = ("mnist", "tomography")
OPTIMIZERS = ("adam", "sgd", "svrg", "sqgn", "sgn")


@dataclass(frozen=True)
class ProblemChoice:
    """Which problem to build.

    Attributes
    ----------
    name
        ``mnist`` or ``tomography``.
    size, batch_size, precision
        Of the tomography problem: ``small`` or ``paper``; |S|, with as many batches an epoch as
        ever, left out: the size's own; ``training.precision``.
    optimizers
        What is timed beside Adam, by names of optimizers; left out: all.

    Raises
    ------
    InputError
        For values that are not allowed.
    """

    name: str
    size: str = "small"
    batch_size: int | None = None
    precision: str = "float32"
    optimizers: Sequence[str] = OPTIMIZERS

    def __post_init__(self) -> None:
        if self.name not in PROBLEMS:
            raise InputError(f"--problem {self.name}: must be mnist or tomography")
        if self.size not in TOMOGRAPHY_SIZES:
            raise InputError(f"--size {self.size}: must be one of {', '.join(TOMOGRAPHY_SIZES)}")
        if self.batch_size is not None and self.batch_size < 2:
            raise InputError(f"--batch-size {self.batch_size}: must be at least 2")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"--precision {self.precision}: must be one of {', '.join(PRECISIONS)}"
            )
        for name in self.optimizers:
            if name not in OPTIMIZERS:
                raise InputError(f"--optimizer {name}: must be one of {', '.join(OPTIMIZERS)}")

    def build(self, device: torch.device) -> CostProblem:
        """Return the problem, for the device that it will run on."""
        if self.name == "mnist":
            problem = mnist_problem()
        else:
            problem = tomography_problem(self._size(), device, precision=self.precision)
            problem = self._in_pieces(problem)
        wanted = {"adam", *self.optimizers}
        candidates = tuple(c for c in problem.candidates if c.optimizer in wanted)
        return replace(problem, candidates=candidates)

    def _size(self) -> TomographySize:
        size = TOMOGRAPHY_SIZES[self.size]
        return size if self.batch_size is None else replace(size, batch_size=self.batch_size)

    def _in_pieces(self, problem: CostProblem) -> CostProblem:
        """See to it that a smaller batch still takes several pieces (see `TomographySize`)."""
        if self.batch_size is None:
            return problem
        most = self.batch_size // 2
        return replace(problem, micro_batch=min(problem.micro_batch, most))
