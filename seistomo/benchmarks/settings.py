"""What one training run on MNIST is made of."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from seistomo.errors import InputError

EPOCH_ITERATIONS = 60
"""Iterations that the SQGN paper calls an epoch, whatever the batch size."""
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class RunSettings:
    """Settings of one training run; equal settings on the same data give the same run.

    Attributes
    ----------
    optimizer, learning_rate, options
        As for `seistomo.optim.make_optimizer`.
    batch_size
        |S|, samples a batch.
    epochs
        How long to train; see `seistomo.benchmarks.mnist.epoch_batches`.
    seed
        Draws start weights and batches; the same for all optimizers.
    pixels
        ``raw`` (0 to 255) or ``unit`` (0 to 1).
    schedule
        ``constant``, or ``cosine``: the learning rate falls to 0 along half a cosine.
    restarts
        How many times a run that got stuck may begin anew with another seed.
    stop_accuracy
        End once the accuracy has reached this, 0 to 1; None: train all epochs.
    stop_seconds
        End once this much optimizer time is spent, s; None: train all epochs.
    judge_iterations
        Look at the accuracy after every so many iterations too; None: after whole epochs alone.
    """

    optimizer: str
    learning_rate: float
    options: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 1000
    epochs: int = 100
    seed: int = 0
    pixels: str = "raw"
    schedule: str = "constant"
    restarts: int = 0
    stop_accuracy: float | None = None
    stop_seconds: float | None = None
    judge_iterations: int | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}: must be at least 1")
        for name in ("seed", "restarts"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} = {getattr(self, name)}: must not be negative")
        if self.judge_iterations is not None and self.judge_iterations < 1:
            raise InputError(f"judge_iterations = {self.judge_iterations}: must be at least 1")
        if not 0 < self.learning_rate < math.inf:
            raise InputError(f"learning_rate = {self.learning_rate}: must be a positive number")
        if self.schedule not in SCHEDULES:
            raise InputError(f"schedule = {self.schedule}: must be one of {', '.join(SCHEDULES)}")

    def key(self, data: str, device: str) -> str:
        """Return the name under which the run is kept.

        Any setting that changes what a run does changes the key. How many epochs does not,
        where the learning rate is constant: a longer run continues a shorter one.

        Parameters
        ----------
        data
            Identity of the data and their split.
        device
            Kind of device: its rounding is part of the run.
        """
        content = asdict(self) | {"data": data, "device": device}
        if self.schedule == "constant":
            del content["epochs"]
        if self.judge_iterations is None:
            del content["judge_iterations"]
        text = json.dumps(content, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        name = self.optimizer.rpartition(".")[2]
        return f"{name}-{self.learning_rate:g}-b{self.batch_size}-s{self.seed}-{digest}"
