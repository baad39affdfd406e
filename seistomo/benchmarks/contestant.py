"""An optimizer that takes steps on a problem, by the clock."""

from collections.abc import Iterator

import torch
from torch import Tensor

from seistomo.benchmarks.cost_problems import Candidate, CostProblem
from seistomo.benchmarks.timed_objective import StopWatch, TimedObjective
from seistomo.optim import ModelObjective, epoch_objectives, make_optimizer


class Contestant:
    """An optimizer at work on a problem.

    Parameters
    ----------
    candidate, problem
        What to run.
    inputs, targets
        The training set on the device.

    Attributes
    ----------
    candidate
        The optimizer.
    watch
        Seconds of the parts of its timed steps.
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
        self._objectives = self._epochs(problem.batch_size)
        self.watch = StopWatch(self._device)
        self._iterations, self._gradients, self._products = 0, 0.0, 0.0

    def _epochs(self, batch_size: int) -> Iterator[ModelObjective]:
        problem, generator = self._problem, torch.Generator().manual_seed(0)
        samples = len(self._data[0]) // problem.batch_size * batch_size
        while True:
            yield from epoch_objectives(
                self._network,
                problem.loss,
                *(tensor[:samples] for tensor in self._data),
                batch_size,
                generator=generator,
                micro_batch=problem.micro_batch,
            )

    def run(self, iterations: int, timed: bool = False, batch_size: int | None = None) -> float:
        """Take some steps; return their seconds.

        Parameters
        ----------
        iterations
            How many.
        timed
            Whether to take the time of the parts too.
        batch_size
            Samples a batch, in epochs of their own with as many batches; left out: the problem's.
        """
        objectives = self._objectives if batch_size is None else self._epochs(batch_size)
        started = self.watch.now()
        for _ in range(iterations):
            objective = next(objectives)
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
        self.run(2)
        self._iterations, self._gradients, self._products = 0, 0.0, 0.0
