"""Everything of a run that changes while it trains, built anew or from a checkpoint."""

from dataclasses import astuple, replace

import torch

from seistomo.config import Config
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network, parameter_count
from seistomo.optim import OptimizerError, make_optimizer
from seistomo.progress import say
from seistomo.training.checkpoint import Checkpoint, Progress
from seistomo.training.data import SplitData, memory_budget
from seistomo.training.device import random_state, restore_random_state
from seistomo.training.history import EpochRow
from seistomo.training.normalization import Normalization, learn_normalization
from seistomo.training.objective import micro_batch_size
from seistomo.training.schedule import Schedule


class Session:
    """Network, optimizer, schedule, scalings, data and progress of a run.

    Parameters
    ----------
    config
        The run's configuration.
    data
        The open data set.
    device
        Where to train.
    checkpoint
        What to continue from; None: start with weights drawn from ``training.seed``.

    Attributes
    ----------
    network, optimizer, schedule, normalization, progress, history
        As in `Checkpoint`, alive.
    train_split, validation_split
        The samples, after `load_data`.
    micro_batch
        Samples forwarded at once.

    Raises
    ------
    InputError
        For optimizer settings or data that cannot be used.
    """

    train_split: SplitData
    validation_split: SplitData

    def __init__(
        self,
        config: Config,
        data: DatasetReader,
        device: torch.device,
        checkpoint: Checkpoint | None,
    ):
        self.config, self.data, self.device = config, data, device
        self.network = self._build_network()
        self.optimizer = self._build_optimizer()
        self.schedule = Schedule(self.optimizer, config.training)
        self.progress, self.history = Progress(), []
        self.micro_batch = micro_batch_size(
            config.training.micro_batch, self.network.largest_activation, device
        )
        self._train, self._validation = data.indices("train"), data.indices("validation")
        self.batches_per_epoch = -(-len(self._train) // config.training.batch_size)
        if checkpoint:
            self._restore(checkpoint)
        else:
            self._start()

    def load_data(self) -> None:
        """Scale the samples into memory where they fit."""
        memory = memory_budget(self.config.training.cache_memory, self.device)
        splits = []
        for samples in (self._train, self._validation):
            split = SplitData(self.data, samples, self.normalization, self.device, memory)
            memory -= split.needed_bytes() if split.in_memory else 0
            splits.append(split)
        self.train_split, self.validation_split = splits

    def describe(self) -> None:
        """Say what is about to be trained, on what, and where."""
        sizes = " x ".join(map(str, self.data.gather_shape))
        models = " x ".join(map(str, self.data.velocity_shape))
        kept = "kept in memory" if self.train_split.in_memory else "read anew each epoch"
        threads = f" ({torch.get_num_threads()} threads)" if self.device.type == "cpu" else ""
        say(
            f"network {self.config.network.name}: {parameter_count(self.network):,} weights,"
            f" gathers {sizes} to models {models}"
        )
        say(
            f"{len(self._train)} training and {len(self._validation)} validation samples, {kept};"
            f" {self.batches_per_epoch} batches an epoch of at most"
            f" {self.config.training.batch_size}, {self.micro_batch} samples at once;"
            f" {self.device}{threads}"
        )
        if not len(self._validation):
            say("no validation split: the best epoch is the one with the lowest training loss")

    def checkpoint(self) -> Checkpoint:
        """Return the present state (sharing its tensors)."""
        return Checkpoint(
            config=self.config.to_toml(),
            data_identity=self.data.identity,
            gather_shape=tuple(self.data.gather_shape),
            velocity_shape=tuple(self.data.velocity_shape),
            normalization=self.normalization.state(),
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            random=random_state(self.device),
            threads=torch.get_num_threads(),
            progress=replace(self.progress),
            history=[astuple(row) for row in self.history],
        )

    def _build_network(self) -> TomographyNetwork:
        generator = torch.Generator().manual_seed(self.config.training.seed)
        network = build_network(
            self.config.network, self.data.gather_shape, self.data.velocity_shape, generator
        )
        return network.to(self.device)

    def _build_optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        try:
            return make_optimizer(
                settings.name, self.network.parameters(), settings.learning_rate, settings.options
            )
        except OptimizerError as error:
            raise InputError(str(error)) from None

    def _start(self) -> None:
        self.normalization = learn_normalization(self.data, self.config.training)
        if self.config.network.output_bias == "mean":
            mean = self.normalization.velocity.scale(self.normalization.mean_velocity)
            self.network.set_output_bias(torch.from_numpy(mean))

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.normalization = Normalization.from_state(checkpoint.normalization)
        self.network.load_state_dict(checkpoint.network)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.schedule.load_state_dict(checkpoint.schedule)
        self.progress = replace(checkpoint.progress)
        self.history = [EpochRow(*row) for row in checkpoint.history]
        restore_random_state(checkpoint.random, self.device)
