"""The tomography problem: gathers in, velocity out, as a configuration and a data set have it."""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from seistomo.config import Config, TrainingConfig
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.dataset.store.schema import DATA_SECTIONS, PERFORMANCE_KEYS
from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network
from seistomo.progress import say, warn
from seistomo.ranks import Processes
from seistomo.training.augmentation import Corruption, corrupts
from seistomo.training.data import EpochData, SplitData
from seistomo.training.device import convolution_type
from seistomo.training.fit import Stop, fit
from seistomo.training.gather_statistics import gather_statistics
from seistomo.training.history import RunResult
from seistomo.training.losses import squared_error, structural_loss
from seistomo.training.memory import MemoryEstimate, limited_micro_batch
from seistomo.training.mirror import check_symmetric, mirrored_rows
from seistomo.training.normalization import Normalization, learn_normalization
from seistomo.training.objective import micro_batch_size
from seistomo.training.problem import Method, Problem
from seistomo.training.room import free_memory, memory_budget
from seistomo.training.scores import mean_squared_error, structural_similarity

TRAINING_SECTIONS = ("network", "training", "optimizer", "evaluation")
# A configuration may differ from the data set's here: how many samples, which, and how stored.
FREE_KEYS = {("dataset", "samples"), ("dataset", "seed"), ("dataset", "storage"), *PERFORMANCE_KEYS}
# What is said of where samples are kept.
KEPT = {
    "device": "kept in memory",
    "host": "kept in the machine's memory",
    "file": "read anew each epoch",
}
# From this share of outputs that are zero for every sample on, a warning is due.
DEAD_SHARE = 0.01


def train(
    config: Config,
    data_path: str | Path,
    run_dir: str | Path,
    resume: bool = False,
    overwrite: bool = False,
    processes: Processes | None = None,
    stop: Stop | None = None,
) -> RunResult:
    """Train the tomography network of a configuration on a data set; see `fit`.

    Parameters
    ----------
    config
        The configuration; what describes the data is taken from the data set.
    data_path
        The data set.
    run_dir, resume, overwrite, processes, stop
        As for `fit`.

    Raises
    ------
    InputError
        For a configuration that does not fit the data set, and as `fit`.
    TrainingDivergedError
        If the loss becomes NaN or infinite; the last good checkpoint is kept.
    """
    if processes is None:
        with Processes.from_environment().together() as processes:
            return train(config, data_path, run_dir, resume, overwrite, processes, stop)
    with open_dataset(data_path) as data:
        problem = TomographyProblem(config, data)
        return fit(
            problem,
            problem.method(),
            config.training.seed,
            run_dir,
            resume=resume,
            overwrite=overwrite,
            stop=stop,
            processes=processes,
        )


class TomographyProblem(Problem):
    """Velocity from gathers.

    Parameters
    ----------
    config
        The configuration; what describes the data is taken from the data set.
    data
        The open data set.

    Raises
    ------
    InputError
        If they do not go together.
    """

    name = "tomography"
    score_names = ("mse", "ssim")
    unit_name = "(m/s)²"

    def __init__(self, config: Config, data: DatasetReader):
        self.config, self.data = config_for(config, data), data
        self.settings: TrainingConfig = self.config.training
        self.identity = data.identity
        self.normalization: Normalization | None = None
        self._memory: MemoryEstimate | None = None
        self._budget: tuple[int, int] | None = None
        self._warned = False

    def method(self) -> Method:
        """Return the configuration's own optimizer."""
        own = self.config.optimizer
        return Method(own.name, own.name, own.learning_rate, own.options)

    def description(self) -> dict[str, Any]:
        """Return all sections of the configuration."""
        return self.config.model_dump()

    def prepare(self, settings: TrainingConfig, device: torch.device, processes: Processes) -> None:
        """Refuse settings that the data cannot be trained with; see `Problem`."""
        self.settings, self._device, self._processes = settings, device, processes
        self.normalization = self._memory = self._budget = None
        check_count(settings, self.data)
        if settings.mirror:
            check_symmetric(self.data, "training.mirror")
        if self.config.evaluation.mirror:
            check_symmetric(self.data, "evaluation.mirror")

    def network(self, generator: torch.Generator) -> TomographyNetwork:
        """Return the network; where it starts at the mean model, that is learnt first."""
        if self.normalization is None:
            self._learnt(
                self._processes.shared(lambda: learn_normalization(self.data, self.settings))
            )
        shapes = self.data.gather_shape, self.data.velocity_shape
        network = build_network(self.config.network, *shapes, generator)
        network.convolution_type = convolution_type(self.settings.precision)
        if self.config.network.output_bias == "mean":
            mean = self.normalization.velocity.scale(self.normalization.mean_velocity)
            network.set_output_bias(torch.from_numpy(mean))
        return network

    def _learnt(self, normalization: Normalization) -> None:
        """Take up how gathers and velocity are scaled, and what follows for the loss."""
        self.normalization = normalization
        self.unit = normalization.velocity.span**2
        structural = structural_loss(self.settings, normalization.velocity, self._velocity_range)
        if structural:
            structural.convex = False
        self.loss = structural or squared_error
        self.reported = squared_error if structural else None

    @property
    def _velocity_range(self) -> float:
        return self.config.velocity.maximum - self.config.velocity.minimum

    def state(self) -> dict[str, Any]:
        """Return the scalings, what gathers are like, and shapes of gathers and velocity."""
        return {
            "normalization": self.normalization.state(),
            "gathers": self._gather_statistics,
            "gather_shape": tuple(self.data.gather_shape),
            "velocity_shape": tuple(self.data.velocity_shape),
        }

    @cached_property
    def _gather_statistics(self) -> dict[str, float]:
        return gather_statistics(self.data, self.data.indices("train"))

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned."""
        self._learnt(Normalization.from_state(state["normalization"]))

    def samples_at_once(
        self,
        network: TomographyNetwork,
        optimizer: torch.optim.Optimizer,
        asked: int,
        largest: int,
        batches: int,
    ) -> int:
        """Return how many samples fit cache and memory; see `Problem`."""
        size = micro_batch_size(asked, network.largest_activation, self._device)
        if self.settings.memory_limit is not None:
            share = -(-largest // self._processes.count)
            config = self.config.model_copy(update={"training": self.settings})
            self._memory = limited_micro_batch(
                config, network, optimizer, self._device, size, share, batches
            )
            size = self._memory.micro_batch
            say(str(self._memory))
        return size

    def split(self, name: str) -> "GatherSamples":
        """Return the samples of a split; they are read by `GatherSamples.to`."""
        return GatherSamples(self, self.data.indices(name))

    @torch.no_grad()
    def scores(self, network: TomographyNetwork, samples: "GatherSamples") -> dict[str, float]:
        """Return scores of a split, which the processes share.

        "loss" is Eq. 9 and "mse" the mean over pixels, (m/s)²; "dead_pixels" the share that the
        network's last ReLU leaves zero for every sample.
        """
        split, together = samples.held, self._processes
        own = together.share(len(split))
        size = micro_batch_size(self.settings.micro_batch, network.largest_activation, self._device)
        if self._memory is not None:
            size = self._memory.micro_batch
        groups = [own[first : first + size] for first in range(0, len(own), size)]
        squares, similarities = [np.empty(0)], [np.empty(0)]
        alive = torch.zeros(self.data.velocity_shape, dtype=torch.bool)
        for rows, batch in zip(groups, split.batches(groups), strict=True):
            inputs, _ = batch.take(torch.arange(len(batch)))
            outputs = network(inputs)
            alive |= (outputs > 0).any(dim=0).cpu()
            predicted = self.normalization.velocity.unscale(outputs.cpu().numpy())
            reference = self.data.read_velocity(split.samples[rows])
            squares.append(mean_squared_error(predicted, reference))
            similarities.append(structural_similarity(predicted, reference, self._velocity_range))
        alive = together.any_of(alive)
        mse = float(together.gathered(np.concatenate(squares), len(split)).mean())
        ssim = float(together.gathered(np.concatenate(similarities), len(split)).mean())
        dead = 1 - float(alive.float().mean())
        if dead > DEAD_SHARE and not self._warned and together.leads:
            self._warned = True
            warn(
                f"{dead:.0%} of the output pixels are zero for every sample and learn nothing"
                ' more; use network.output_bias = "mean", a smaller network.output_scale or a'
                " lower optimizer.learning_rate"
            )
        return {"loss": mse * alive.numel(), "mse": mse, "ssim": ssim, "dead_pixels": dead}

    def scores_in_words(self, row: Mapping[str, Any]) -> str:
        """Return RMSE and SSIM."""
        return f"RMSE {math.sqrt(row['mse']):.0f} m/s, SSIM {row['ssim']:.3f}"

    def load(self, samples: NDArray[np.int64], late: bool) -> SplitData:
        """Scale samples into memory where they fit beside those that are there already."""
        memory, host = self._budget or self._memory_for_data()
        split = SplitData(
            self.data,
            samples,
            self.normalization,
            self._device,
            memory,
            late and corrupts(self.settings),
            host,
            self._processes,
        )
        needed = split.needed_bytes(split.owned)
        memory -= needed if split.place == "device" else 0
        host -= needed if split.place == "host" else 0
        self._budget = memory, host
        return split

    def _memory_for_data(self) -> tuple[int, int]:
        """Return the bytes on the device, and beside a GPU in the machine, for samples."""
        asked, neighbours = self.settings.cache_memory, self._processes.local_count
        memory = memory_budget(asked, self._device)
        if self._memory is not None:
            # What the estimate sets aside for samples that are read anew is free then.
            memory = min(memory, self._memory.limit - self._memory.total + self._memory.read_anew)
        if self._device.type == "cuda":
            return memory, free_memory() // 2 // neighbours if asked is None else 0
        return memory if asked is not None else memory // neighbours, 0


class GatherSamples:
    """The samples of a split of the tomography problem; see `Samples`."""

    def __init__(self, problem: TomographyProblem, indices: NDArray[np.int64]):
        self.problem, self.indices = problem, indices
        self.held: SplitData | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def waited(self) -> float:
        """Seconds that batches were waited for so far."""
        return self.held.clock.seconds

    def to(self, device: torch.device) -> "GatherSamples":
        """Read the samples; those that are trained on may be changed anew each epoch."""
        problem = self.problem
        trained_on = np.array_equal(self.indices, problem.data.indices("train"))
        self.held = problem.load(self.indices, late=trained_on)
        if trained_on:
            kept = KEPT[self.held.place]
            if self.held.owned:
                kept += f", 1/{self.held.processes.count} by each process"
            sizes, models = (
                " x ".join(map(str, shape))
                for shape in (problem.data.gather_shape, problem.data.velocity_shape)
            )
            say(
                f"network {problem.config.network.name}: gathers {sizes} to models {models};"
                f" samples {kept}"
            )
        return self

    def epoch(self, number: int, groups: Sequence[NDArray[np.int64]]) -> EpochData:
        """Return an epoch as (seed, number) has it."""
        settings = self.problem.settings
        mirrored = None
        if settings.mirror:
            mirrored = mirrored_rows(settings.seed, number, len(self))
        return EpochData(self.held, groups, mirrored, Corruption.of(settings, number))


def config_for(config: Config, data: DatasetReader) -> Config:
    """Return the run's configuration: what describes data is the data set's own.

    Raises
    ------
    InputError
        If ``config`` states a setting of the data that is not the data set's, or the data set's
        do not go with its other settings.
    """
    for section in DATA_SECTIONS:
        _require_same(section, getattr(config, section), data)
    parts = {name: getattr(data.config, name) for name in DATA_SECTIONS}
    parts |= {name: getattr(config, name) for name in TRAINING_SECTIONS}
    try:
        return Config(**parts)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{data.path}: does not go with the configuration: {problem}") from None


def check_count(settings: TrainingConfig, data: DatasetReader) -> None:
    """Refuse a training split that is empty or smaller than a batch."""
    count = len(data.indices("train"))
    if count == 0:
        raise InputError(f"{data.path}: holds no training samples; see dataset.split")
    if settings.batch_size > count:
        raise InputError(
            f"training.batch_size = {settings.batch_size}: the training split of {data.path} holds"
            f" {count} samples; use at most {count}, or simulate more"
        )


def _require_same(section: str, stated: BaseModel, data: DatasetReader) -> None:
    for key in type(stated).model_fields:
        wanted, found = getattr(stated, key), getattr(getattr(data.config, section), key)
        free = key not in stated.model_fields_set or (section, key) in FREE_KEYS
        if not free and wanted != found:
            raise InputError(
                f"{section}.{key} = {_plain(wanted)}: {data.path} was made with {_plain(found)};"
                " train with the data set's configuration, or leave the key out"
            )


def _plain(value: object) -> object:
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value
