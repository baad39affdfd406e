"""What became of the race's trials and runs, and which settings are the best."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from seistomo.benchmarks.tomography.outcome import Outcome
from seistomo.benchmarks.tomography.studies.race_length import seconds_to
from seistomo.benchmarks.tomography.studies.race_trials import Trial
from seistomo.errors import InputError

REFERENCE, CONTROL = "adam", "adam-half"


@dataclass(frozen=True)
class Tried:
    """A trial and what came of it.

    Attributes
    ----------
    trial
        The settings.
    epochs
        Of its schedule; None where the run diverged before that was decided.
    outcome
        The run with the first seed; its test split was left alone.
    """

    trial: Trial
    epochs: int | None
    outcome: Outcome

    @property
    def loss(self) -> float:
        """Validation loss at the end, (m/s)²; infinite where the run diverged."""
        return final_loss(self.outcome)


@dataclass(frozen=True)
class Finish:
    """What became of one optimizer.

    Attributes
    ----------
    name
        The optimizer.
    tried
        Its trials.
    best
        The one whose settings were run again; None where all diverged.
    outcomes
        Of the runs with new seeds.
    control
        Whether it is none of the contestants, but Adam's best settings again with half the epochs.
    """

    name: str
    tried: Sequence[Tried]
    best: Tried | None
    outcomes: Sequence[Outcome]
    control: bool = False

    @cached_property
    def whole(self) -> list[Outcome]:
        """The runs that did not diverge."""
        return [one for one in self.outcomes if one.history and not one.diverged]

    def times(self, loss: float) -> list[float]:
        """Return each run's seconds to a validation loss; infinity where it was not reached."""
        return [seconds_to(one.history, loss) for one in self.outcomes]

    def tuning_seconds(self) -> float:
        """Return the optimizer time of all trials, as far as they were recorded, s."""
        histories = [one.outcome.history for one in self.tried]
        return sum(history[-1].seconds for history in histories if history)


def final_loss(one: Outcome) -> float:
    """Return the validation loss after a run's last epoch; infinite where it diverged."""
    return math.inf if one.diverged or not one.history else one.history[-1].validation_loss


def best_of(tried: Mapping[str, Sequence[Tried]]) -> dict[str, Tried | None]:
    """Return the best trial of each optimizer by the validation split; None: all diverged.

    Adam's is the one with the lowest final loss. The others' is the one that is first at that
    loss; where none gets there, the one with the lowest final loss.

    Raises
    ------
    InputError
        If all of Adam's trials diverged.
    """
    first = min(tried[REFERENCE], key=lambda one: one.loss)
    if math.isinf(first.loss):
        raise InputError("--study race: all of Adam's trials diverged, so there is no target")

    def merit(one: Tried) -> tuple[float, float]:
        history = [] if math.isinf(one.loss) else one.outcome.history
        return seconds_to(history, first.loss), one.loss

    best: dict[str, Tried | None] = {}
    for name, trials in tried.items():
        chosen = first if name == REFERENCE else min(trials, key=merit)
        best[name] = None if math.isinf(chosen.loss) else chosen
    return best


def target_of(finishes: Sequence[Finish]) -> float:
    """Return the mean final validation loss of Adam's runs, (m/s)².

    Raises
    ------
    InputError
        If they all diverged.
    """
    adam = next(one for one in finishes if one.name == REFERENCE)
    if not adam.whole:
        raise InputError("--study race: all of Adam's runs diverged, so there is no target")
    return statistics.fmean(final_loss(one) for one in adam.whole)
