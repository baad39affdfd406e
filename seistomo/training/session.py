"""Everything of a run that changes while it trains, built anew or from a checkpoint."""

from dataclasses import astuple, replace

import torch

from seistomo.config import Config
from seistomo.dataset import DatasetReader
from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network, parameter_count
from seistomo.optim import OptimizerError, Ranks, make_optimizer
from seistomo.progress import say, warn
from seistomo.ranks import Processes
from seistomo.training.augmentation import corrupts
from seistomo.training.averaging import WeightAverage
from seistomo.training.batches import batch_count, batch_size, check_interval
from seistomo.training.checkpoint import Checkpoint, Progress
from seistomo.training.data import EpochData, SharedRanks, SplitData
from seistomo.training.device import convolution_type, random_state, restore_random_state
from seistomo.training.history import EpochRow
from seistomo.training.losses import check_loss, structural_loss
from seistomo.training.memory import MemoryEstimate, limited_micro_batch, peak_memory
from seistomo.training.normalization import Normalization, learn_normalization
from seistomo.training.objective import micro_batch_size
from seistomo.training.room import free_memory, memory_budget
from seistomo.training.schedule import Schedule

# What is said of where samples are kept.
KEPT = {
    "device": "kept in memory",
    "host": "kept in the machine's memory",
    "file": "read anew each epoch",
}


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
    processes
        The processes that share the work.

    Attributes
    ----------
    network, optimizer, schedule, normalization, progress, history
        As in `Checkpoint`, alive; the network holds the optimizer's own weights.
    average
        The average of its weights, which is evaluated and saved.
    train_split, validation_split
        The samples, after `load_data`.
    micro_batch
        Samples forwarded at once.
    memory
        What a step is estimated to take, where there is a limit; else None.
    structural
        What is minimized in place of the published loss, or None.

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
        processes: Processes,
    ):
        self.config, self.data, self.device = config, data, device
        self.processes = processes
        self.network = self._build_network()
        self.optimizer = self._build_optimizer()
        self.schedule = Schedule(self.optimizer, config.training)
        self.average = WeightAverage(config.training, self.network)
        self.progress, self.history = Progress(), []
        self._train, self._validation = data.indices("train"), data.indices("validation")
        check_interval(config, self.optimizer, len(self._train))
        self.micro_batch = micro_batch_size(
            config.training.micro_batch, self.network.largest_activation, device
        )
        self.memory = self._limit_memory()
        if checkpoint:
            self._restore(checkpoint)
        else:
            self._start()
        bounds = data.config.velocity
        self.structural = structural_loss(
            config.training, self.normalization.velocity, bounds.maximum - bounds.minimum
        )

    def load_data(self) -> None:
        """Scale the samples into memory where they fit."""
        memory, host = self._memory_for_data()
        late = corrupts(self.config.training)
        splits = []
        for samples, scale_late in ((self._train, late), (self._validation, False)):
            split = SplitData(
                self.data,
                samples,
                self.normalization,
                self.device,
                memory,
                scale_late,
                host,
                self.processes,
            )
            memory -= split.needed_bytes(split.owned) if split.place == "device" else 0
            host -= split.needed_bytes(split.owned) if split.place == "host" else 0
            splits.append(split)
        self.train_split, self.validation_split = splits

    def ranks(self, epoch: EpochData) -> Ranks:
        """Return how the processes share the samples of an epoch."""
        return SharedRanks(epoch.samples, epoch.owners)

    def _limit_memory(self) -> MemoryEstimate | None:
        """Lower the micro-batch to what the memory limit, if there is one, leaves room for."""
        settings = self.config.training
        if settings.memory_limit is None:
            return None
        largest = batch_size(settings, settings.epochs - 1, len(self._train))
        share = -(-largest // self.processes.count)
        estimate = limited_micro_batch(
            self.config,
            self.network,
            self.optimizer,
            self.device,
            self.micro_batch,
            share,
            batch_count(settings, 0, len(self._train)),
        )
        self.micro_batch = estimate.micro_batch
        return estimate

    def _memory_for_data(self) -> tuple[int, int]:
        """Return the bytes on the device, and beside a GPU in the machine, for samples."""
        asked, neighbours = self.config.training.cache_memory, self.processes.local_count
        memory = memory_budget(asked, self.device)
        if self.memory is not None:
            # What the estimate sets aside for samples that are read anew is free then.
            memory = min(memory, self.memory.limit - self.memory.total + self.memory.read_anew)
        if self.device.type == "cuda":
            return memory, free_memory() // 2 // neighbours if asked is None else 0
        return memory if asked is not None else memory // neighbours, 0

    def describe(self) -> None:
        """Say what is about to be trained, on what, and where."""
        sizes = " x ".join(map(str, self.data.gather_shape))
        models = " x ".join(map(str, self.data.velocity_shape))
        kept = KEPT[self.train_split.place]
        if self.train_split.owned:
            kept += f", 1/{self.processes.count} by each process"
        if self.processes.count > 1:
            say(f"{self.processes.count} processes share each batch")
        threads = f" ({torch.get_num_threads()} threads)" if self.device.type == "cpu" else ""
        say(
            f"network {self.config.network.name}: {parameter_count(self.network):,} weights,"
            f" gathers {sizes} to models {models}"
        )
        say(
            f"{len(self._train)} training and {len(self._validation)} validation samples, {kept};"
            f" {self._batches_in_words()}, {self.micro_batch} samples at once;"
            f" {self.device}{threads}"
        )
        if self.memory is not None:
            say(str(self.memory))
        if not len(self._validation):
            say("no validation split: the best epoch is the one with the lowest training loss")

    def _batches_in_words(self) -> str:
        """Return how many batches an epoch has, and of how many samples."""
        settings, samples = self.config.training, len(self._train)
        first, last = (batch_size(settings, epoch, samples) for epoch in (0, settings.epochs - 1))
        text = f"{batch_count(settings, 0, samples)} batches an epoch of at most {first}"
        return f"{text}, of {last} at the end" if last > first else text

    def checkpoint(self) -> Checkpoint:
        """Return the present state (sharing its tensors)."""
        self.progress.peak_memory = max(self.progress.peak_memory, peak_memory(self.device))
        return Checkpoint(
            config=self.config.to_toml(),
            data_identity=self.data.identity,
            gather_shape=tuple(self.data.gather_shape),
            velocity_shape=tuple(self.data.velocity_shape),
            normalization=self.normalization.state(),
            network=self.average.network_state(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            random=random_state(self.device),
            threads=torch.get_num_threads(),
            progress=replace(self.progress),
            history=[astuple(row) for row in self.history],
            averaging=self.average.state(),
            ranks=self.processes.count,
            micro_batch=self.micro_batch,
        )

    def _build_network(self) -> TomographyNetwork:
        generator = torch.Generator().manual_seed(self.config.training.seed)
        network = build_network(
            self.config.network, self.data.gather_shape, self.data.velocity_shape, generator
        )
        network.convolution_type = convolution_type(self.config.training.precision)
        return network.to(self.device)

    def _build_optimizer(self) -> torch.optim.Optimizer:
        settings = self.config.optimizer
        try:
            optimizer = make_optimizer(
                settings.name, self.network.parameters(), settings.learning_rate, settings.options
            )
        except OptimizerError as error:
            raise InputError(str(error)) from None
        check_loss(self.config.training, settings.name, optimizer)
        return optimizer

    def _start(self) -> None:
        self.normalization = self.processes.shared(
            lambda: learn_normalization(self.data, self.config.training)
        )
        if self.config.network.output_bias == "mean":
            mean = self.normalization.velocity.scale(self.normalization.mean_velocity)
            self.network.set_output_bias(torch.from_numpy(mean))

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.normalization = Normalization.from_state(checkpoint.normalization)
        self.average.restore(checkpoint.network, checkpoint.averaging)
        self._restore_optimizer(checkpoint)
        if checkpoint.micro_batch not in (0, self.micro_batch) and self.processes.leads:
            warn(
                f"{checkpoint.micro_batch} samples were forwarded at once before, now"
                f" {self.micro_batch}; results will differ in rounding"
            )
        self.progress = replace(checkpoint.progress)
        self.history = [EpochRow(*row) for row in checkpoint.history]
        restore_random_state(checkpoint.random, self.device)

    def _restore_optimizer(self, checkpoint: Checkpoint) -> None:
        try:
            self.optimizer.load_state_dict(checkpoint.optimizer)
            self.schedule.load_state_dict(checkpoint.schedule)
        except (OptimizerError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"optimizer.name = {self.config.optimizer.name}: the checkpoint's state cannot be"
                f" taken up ({error}); it may be of another version: train anew in another folder"
            ) from None
