"""The learning rate over the epochs."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from seistomo.config.training import TrainingConfig


class Schedule:
    """A torch scheduler that is stepped once an epoch.

    Parameters
    ----------
    optimizer
        Its groups' learning rates at this moment are the first epoch's.
    config
        The section ``[training]``.
    """

    def __init__(self, optimizer: Optimizer, config: TrainingConfig):
        self._config, self._optimizer = config, optimizer
        self._scheduler: LRScheduler
        if config.schedule == "plateau":
            self._scheduler = ReduceLROnPlateau(
                optimizer,
                factor=config.plateau_factor,
                patience=config.plateau_patience,
                min_lr=[
                    group["lr"] * config.final_learning_rate for group in optimizer.param_groups
                ],
            )
        else:
            self._scheduler = LambdaLR(optimizer, lambda epoch: _share(config, epoch))

    def end_epoch(self, loss: float) -> None:
        """Set the next epoch's learning rate; ``loss`` is what a plateau is judged by."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(loss)
        else:
            self._scheduler.step()

    def state_dict(self) -> dict:
        """Return the scheduler's state."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Restore the scheduler's state; more epochs than before stretch the schedule."""
        self._scheduler.load_state_dict(state)
        if isinstance(self._scheduler, LambdaLR):
            share = _share(self._config, self._scheduler.last_epoch)
            groups, rates = self._optimizer.param_groups, self._scheduler.base_lrs
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate * share


def _share(config: TrainingConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, from 0, as a share of the first's."""
    if config.schedule == "constant":
        return 1.0
    done = min(1.0, epoch / max(1, config.epochs - 1))
    if config.schedule == "cosine":
        done = (1 - math.cos(math.pi * done)) / 2
    return 1 + (config.final_learning_rate - 1) * done
