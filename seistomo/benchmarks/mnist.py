"""One training run on MNIST: epochs, evaluation, and all that continuing needs."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from seistomo.benchmarks.history import EpochEntry, Milestone, RunResult
from seistomo.benchmarks.mnist_data import Samples
from seistomo.benchmarks.settings import EPOCH_ITERATIONS, RunSettings
from seistomo.errors import InputError
from seistomo.networks.mnist import MnistCNN
from seistomo.optim import OptimizerError, epoch_objectives, make_optimizer
from seistomo.training.device import random_state, restore_random_state

STUCK_EPOCHS = 5
"""Epochs after which a stuck run is given up ("a few epochs", Thiele et al. 2021, 6.1.1)."""
# Evaluation in pieces: on CPUs small enough for the cache, on GPUs one piece.
_EVALUATED_AT_ONCE = {"cpu": 500, "cuda": 10_000}


class MnistRun:
    """A run that is trained epoch by epoch and can be put away between them.

    Start weights and batches depend on the seed and the number of the attempt alone, so that all
    optimizers start and go alike.

    Parameters
    ----------
    settings
        What to run.
    train, test
        The samples, on the device.

    Raises
    ------
    InputError
        For an optimizer or option that cannot be used, or a batch larger than the training set.
    """

    def __init__(self, settings: RunSettings, train: Samples, test: Samples):
        self.settings, self.train, self.test = settings, train, test
        self.device = train.images.device
        count = len(train.labels)
        if settings.batch_size > count:
            raise InputError(
                f"batch_size = {settings.batch_size}: there are {count} training samples"
            )
        self.batches = epoch_batches(count, settings.batch_size)
        self.restarts, self.lost_seconds = 0, 0.0
        self._begin()

    def _begin(self) -> None:
        """Start an attempt: weights, batches, optimizer."""
        seeds = np.random.SeedSequence([self.settings.seed, self.restarts]).generate_state(3)
        weights, batches, rest = (int(seed) for seed in seeds)
        torch.manual_seed(rest)
        self._generator = torch.Generator().manual_seed(batches)
        network = MnistCNN(generator=torch.Generator().manual_seed(weights))
        self.network = network.to(self.device)
        self.optimizer = self._make_optimizer()
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._decay())
        self.history: list[EpochEntry] = []
        self.milestones: list[Milestone] = []
        self.diverged = ""

    def _make_optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        try:
            return make_optimizer(
                settings.optimizer,
                self.network.parameters(),
                settings.learning_rate,
                settings.options,
            )
        except OptimizerError as error:
            raise InputError(str(error)) from None

    def _decay(self) -> Callable[[int], float]:
        """Return the factor on the learning rate by iteration."""
        if self.settings.schedule == "constant":
            return lambda iteration: 1.0
        steps = self.settings.epochs * self.batches
        return lambda iteration: (1 + math.cos(math.pi * min(iteration / steps, 1))) / 2

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        if not self.history:
            return bool(self.diverged)
        last, settings = self.history[-1], self.settings
        target, budget = settings.stop_accuracy, settings.stop_seconds
        return (
            bool(self.diverged)
            or last.epoch >= settings.epochs
            or (target is not None and self.result().seconds_to(target) < math.inf)
            or (budget is not None and last.seconds + self.lost_seconds >= budget)
        )

    def run_epoch(self) -> None:
        """Train an epoch and judge it; begin anew where the run turns out to be stuck."""
        self._mark, self._spent = self._clock(), 0.0
        try:
            work, loss = self._steps()
        except OptimizerError as error:
            raise InputError(f"optimizer {self.settings.optimizer}: {error}") from None
        self._stop_clock()
        self._end_epoch(self._spent, loss / self.batches, work)

    def _steps(self) -> tuple[Tensor, float]:
        work, total = torch.zeros(2, dtype=torch.float64), torch.zeros((), device=self.device)
        for objective in epoch_objectives(
            self.network,
            cross_entropy,
            self.train.images,
            self.train.labels,
            self.settings.batch_size,
            generator=self._generator,
            batches=self.batches,
        ):
            loss = self.optimizer.step(objective)
            if loss is None:
                raise OptimizerError("its step(closure) returned no loss")
            self.schedule.step()
            # Summed where it is: reading it would make a GPU wait for every step.
            total = total + loss
            work += torch.tensor([objective.gradient_evaluations, objective.ggn_products])
            self._look(objective.batch_index + 1)
        return work, float(total)

    def _look(self, done: int) -> None:
        """Note the accuracy where it is due after so many batches of the epoch."""
        every = self.settings.judge_iterations
        if every is None or done % every or done == self.batches:
            return
        self._stop_clock()
        before = self.history[-1].seconds if self.history else 0.0
        iteration = len(self.history) * self.batches + done
        self.milestones.append(Milestone(iteration, before + self._spent, self._judge()[1]))
        self._mark = self._clock()

    def _stop_clock(self) -> None:
        self._spent += self._clock() - self._mark

    def _end_epoch(self, seconds: float, train_loss: float, work: Tensor) -> None:
        before = self.history[-1] if self.history else None
        test_loss, accuracy = self._judge()
        entry = EpochEntry(
            epoch=len(self.history) + 1,
            iteration=(len(self.history) + 1) * self.batches,
            seconds=seconds + (before.seconds if before else 0.0),
            train_loss=train_loss,
            test_loss=test_loss,
            test_accuracy=accuracy,
            learning_rate=float(self.optimizer.param_groups[0]["lr"]),
            gradient_evaluations=float(work[0]) + (before.gradient_evaluations if before else 0.0),
            ggn_products=float(work[1]) + (before.ggn_products if before else 0.0),
        )
        self.history.append(entry)
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            self.diverged = f"the loss was {test_loss:g} after epoch {entry.epoch}"
        stuck = entry.epoch == STUCK_EPOCHS and entry.is_guess
        if (stuck or self.diverged) and self.restarts < self.settings.restarts:
            self.restarts += 1
            self.lost_seconds += entry.seconds
            self._begin()

    @torch.no_grad()
    def _judge(self) -> tuple[float, float]:
        """Return cross-entropy and accuracy on the split that the run is judged by."""
        piece = _EVALUATED_AT_ONCE.get(self.device.type, _EVALUATED_AT_ONCE["cpu"])
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        for images, labels in zip(*(part.split(piece) for part in self.test), strict=True):
            outputs = self.network(images)
            loss += cross_entropy(outputs, labels, reduction="sum")
            right += (outputs.argmax(1) == labels).sum()
        count = len(self.test.labels)
        return float(loss) / count, int(right) / count

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def result(self) -> RunResult:
        """Return what the run has come to."""
        return RunResult(
            tuple(self.history),
            self.restarts,
            self.lost_seconds,
            self.diverged,
            tuple(self.milestones),
        )

    def state(self) -> dict[str, Any]:
        """Return all that `load_state` needs to go on bit for bit (on a CPU)."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "batches": self._generator.get_state(),
            "random": random_state(self.device),
            "threads": torch.get_num_threads(),
            "history": [asdict(entry) for entry in self.history],
            "restarts": self.restarts,
            "lost_seconds": self.lost_seconds,
            "diverged": self.diverged,
            "milestones": [asdict(seen) for seen in self.milestones],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self._generator.set_state(state["batches"])
        restore_random_state(state["random"], self.device)
        self.history = [EpochEntry(**entry) for entry in state["history"]]
        self.restarts, self.lost_seconds = state["restarts"], state["lost_seconds"]
        self.diverged = state["diverged"]
        self.milestones = [Milestone(**seen) for seen in state.get("milestones", ())]


def epoch_batches(samples: int, batch_size: int) -> int:
    """Return how many batches an epoch has.

    60, as in the paper, or as many whole batches as the samples make; from ten on a multiple of
    ten, which the paper's interval K of full gradients divides.
    """
    batches = min(EPOCH_ITERATIONS, samples // batch_size)
    return batches - batches % 10 if batches > 10 else batches
