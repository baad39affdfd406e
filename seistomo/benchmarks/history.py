"""What a run did, an entry an epoch, and what can be read from it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields

STUCK_ACCURACY = 0.2
"""A run below this may be stuck: guessing scores 0.1, and 0.11 by always naming the digit 1."""
CHANCE_LOSS, CHANCE_MARGIN = math.log(10), 0.05
"""Cross-entropy of guessing; how near to it a run is stuck, and not merely slow."""


@dataclass(frozen=True)
class EpochEntry:
    """One epoch; what is counted is counted from the start of the run.

    Attributes
    ----------
    epoch, iteration
        Epochs and optimizer steps done.
    seconds
        Time spent in optimizer steps, without evaluation and loading, s.
    train_loss
        Mean over the epoch's batches of the cross-entropy before each step.
    test_loss, test_accuracy
        Cross-entropy and share of right answers (0 to 1) after the epoch, on the split that the
        run is judged by.
    learning_rate
        Learning rate of the epoch's last step.
    gradient_evaluations, ggn_products
        Gradients of a batch and Gauss–Newton products with a batch.
    """

    epoch: int
    iteration: int
    seconds: float
    train_loss: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    gradient_evaluations: float
    ggn_products: float

    @property
    def is_guess(self) -> bool:
        """Whether the network does no better than guessing, in accuracy and in loss.

        A small learning rate may take epochs to pass 20 %, with a loss far from that of guessing.
        """
        near = abs(self.test_loss - CHANCE_LOSS) < CHANCE_MARGIN
        return self.test_accuracy < STUCK_ACCURACY and near


@dataclass(frozen=True)
class Milestone:
    """The accuracy in the midst of an epoch, for whoever wants to know when it was reached.

    Attributes
    ----------
    iteration, seconds, test_accuracy
        As in `EpochEntry`.
    """

    iteration: int
    seconds: float
    test_accuracy: float


@dataclass(frozen=True)
class RunResult:
    """A run and what became of it.

    Attributes
    ----------
    history
        An entry an epoch, of the last attempt.
    restarts, lost_seconds
        Attempts given up because they were stuck, and the optimizer time they took.
    diverged
        Why training ended early with numbers that are not finite; empty if it did not.
    milestones
        What was seen between the ends of epochs, where it was asked for.
    """

    history: tuple[EpochEntry, ...]
    restarts: int = 0
    lost_seconds: float = 0.0
    diverged: str = ""
    milestones: tuple[Milestone, ...] = ()

    @property
    def last(self) -> EpochEntry:
        """The entry of the last epoch."""
        return self.history[-1]

    @property
    def stuck(self) -> bool:
        """Whether the run ended no better than guessing, or diverged."""
        return bool(self.diverged) or self.last.is_guess

    @property
    def accuracy(self) -> float:
        """Accuracy at the end, 0 to 1; 0 for a run that diverged."""
        return 0.0 if self.diverged else self.last.test_accuracy

    def columns(self) -> dict[str, list[float]]:
        """Return the history as columns by name, for figures."""
        return {
            field.name: [getattr(entry, field.name) for entry in self.history]
            for field in fields(EpochEntry)
        }

    def curve(self) -> dict[str, list[float]]:
        """Return seconds and accuracy of all looks, as columns."""
        looks = self.looks()
        return {
            "seconds": [seen.seconds for seen in looks],
            "test_accuracy": [seen.test_accuracy for seen in looks],
        }

    def first_epochs(self, count: int) -> "RunResult":
        """Return the run as it was after at most so many epochs."""
        if len(self.history) <= count:
            return self
        kept = self.history[:count]
        seen = tuple(m for m in self.milestones if m.iteration < kept[-1].iteration)
        return RunResult(kept, self.restarts, self.lost_seconds, milestones=seen)

    def seconds_per_iteration(self) -> dict[str, float]:
        """Return the mean over iterations, and the median over epochs of their means, s."""
        return {
            "mean": self.last.seconds / self.last.iteration,
            "median": statistics.median(_epoch_seconds(self.history)),
        }

    def seconds_to(self, accuracy: float) -> float:
        """Return the optimizer time after which ``accuracy`` or more was first seen, s.

        Attempts given up are counted in. Infinity if it was never reached.
        """
        reached = (seen.seconds for seen in self.looks() if seen.test_accuracy >= accuracy)
        return self.lost_seconds + next(reached, math.inf)

    def looks(self) -> list[EpochEntry | Milestone]:
        """Return all looks at the accuracy, in the midst and at the end of epochs, in order."""
        return sorted([*self.milestones, *self.history], key=lambda seen: seen.iteration)


def _epoch_seconds(history: Sequence[EpochEntry]) -> list[float]:
    """Return the seconds an iteration of each epoch."""
    times, iterations = [0.0], [0]
    for entry in history:
        times.append(entry.seconds)
        iterations.append(entry.iteration)
    return [
        (after - before) / (done - did)
        for before, after, did, done in zip(
            times, times[1:], iterations, iterations[1:], strict=False
        )
    ]
