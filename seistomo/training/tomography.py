"""The tomography problem: gathers in, velocity out, as a configuration and a data set have it."""

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from seistomo.config import Config, TrainingConfig
from seistomo.config.schema import require_same
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.dataset.store.schema import DATA_SECTIONS, PERFORMANCE_KEYS
from seistomo.device import convolution_type
from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network
from seistomo.progress import say, warn
from seistomo.ranks import Processes
from seistomo.training.augmentation import check_symmetric
from seistomo.training.data import GatherSamples, sample_bytes
from seistomo.training.fit import Stop, fit
from seistomo.training.gather_statistics import gather_statistics
from seistomo.training.history import RunResult
from seistomo.training.losses import make_loss, squared_error
from seistomo.training.memory import GIB, memory_for_samples, optimizer_vectors, step_memory
from seistomo.training.objective import micro_batch_size
from seistomo.training.positions import positions_seen
from seistomo.training.problem import Method, Problem
from seistomo.training.scaling import Normalization, learn_normalization, training_rows
from seistomo.training.scores import mean_squared_error, structural_similarity
from seistomo.training.stream import StreamedSamples, window_length

# A configuration may differ from the data set's here: how many samples, which, and how stored.
FREE_KEYS = {"dataset.samples", "dataset.seed", "dataset.storage"}
FREE_KEYS |= {f"{section}.{key}" for section, key in PERFORMANCE_KEYS}
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
        problem, seed = TomographyProblem(config, data), config.training.seed
        options = {"resume": resume, "overwrite": overwrite, "stop": stop, "processes": processes}
        return fit(problem, problem.method(), seed, run_dir, **options)


class TomographyProblem(Problem):
    """Velocity from gathers; what describes the data is taken from the data set."""

    name = "tomography"
    score_names = ("mse", "ssim")
    unit_name = "(m/s)²"

    def __init__(self, config: Config, data: DatasetReader):
        self.config, self.data = config_for(config, data), data
        self.settings: TrainingConfig = self.config.training
        self.identity = data.identity
        self.normalization: Normalization | None = None
        self._memory: dict[str, int] = {}
        self._stream: StreamedSamples | None = None
        self._warned = False

    def method(self) -> Method:
        own = self.config.optimizer
        return Method(own.name, own.name, own.learning_rate, own.options)

    def description(self) -> dict[str, Any]:
        return self.config.model_dump()

    def prepare(self, settings: TrainingConfig, device: torch.device, processes: Processes) -> None:
        self.settings, self._device, self._processes = settings, device, processes
        self.normalization, self._memory, self._micro_batch = None, {}, 0
        vars(self).pop("_gather_statistics", None)
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
        width = self.config.velocity.x_extent
        seen = positions_seen(self.config.survey.positions(width), width)
        x = tuple(map(torch.from_numpy, seen))
        network = build_network(self.config.network, *shapes, generator, x)
        network.convolution_type = convolution_type(self.settings.precision)
        if self.config.network.output_bias == "mean":
            mean = self.normalization.velocity.scale(self.normalization.mean_velocity)
            network.set_output_bias(torch.from_numpy(mean))
        return network

    def _learnt(self, normalization: Normalization) -> None:
        """Take up how gathers and velocity are scaled, and what follows for the loss."""
        self.normalization = normalization
        self.unit = normalization.velocity.span**2
        self.loss = make_loss(self.settings, normalization.velocity, self._velocity_range)
        self.reported = None if self.loss is squared_error else squared_error

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
        return gather_statistics(self.data, training_rows(self.data, self.settings))

    def load_state(self, state: dict[str, Any]) -> None:
        self._learnt(Normalization.from_state(state["normalization"]))

    def samples_at_once(
        self,
        network: TomographyNetwork,
        optimizer: torch.optim.Optimizer,
        method: Method,
        asked: int,
        largest: int,
        batches: int,
    ) -> int:
        """Return how many samples fit cache and memory; see `Problem`."""
        settings, device, name = self.settings, self._device, method.optimizer
        size = micro_batch_size(asked, network.largest_activation, device)
        share, read_ahead = -(-largest // self._processes.count), 0
        if device.type == "cpu":
            # A batch that is used and one that is read.
            shapes = self.data.gather_shape, self.data.velocity_shape
            read_ahead = 2 * share * sample_bytes(*shapes, settings.gather_type)
        needed = step_memory(
            network,
            name,
            optimizer_vectors(optimizer, method.options, batches),
            device,
            share,
            read_ahead,
            2 if settings.averaging != "none" else 0,
        )
        limit = settings.memory_limit
        if limit is not None:
            size = needed.most_samples(size, limit, name)
            say(needed.table(size, limit))
        neighbours, total = self._processes.local_count, needed.total
        self._memory |= memory_for_samples(
            settings.cache_memory, device, neighbours, total(min(size, share))
        )
        if limit is not None:
            # What is set aside for samples that are read anew is free where they are kept.
            left = int(limit * GIB) - total(size) + read_ahead
            self._memory["device"] = min(self._memory["device"], left)
        self._micro_batch = size
        return size

    def split(self, name: str) -> GatherSamples:
        """Return the samples of a split; those that are trained on may change each epoch."""
        held = self.normalization, self._processes, self._memory
        sees_positions = self.config.network.sees_positions
        if name == "train" and self.settings.stream_uses is not None:
            self._stream = StreamedSamples(self.data, *held, self.settings, sees_positions)
            return self._stream
        if name == "train":
            rows, settings = training_rows(self.data, self.settings), self.settings
        else:
            rows, settings = self.data.indices(name), None
        return GatherSamples(self.data, rows, *held, settings, sees_positions)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    @torch.no_grad()
    def scores(self, network: TomographyNetwork, samples: GatherSamples) -> dict[str, float]:
        """Return scores of a split, which the processes share.

        "loss" is Eq. 9 and "mse" the mean over pixels, (m/s)²; "dead_pixels" the share that the
        network's last ReLU leaves zero for every sample.
        """
        together, device = self._processes, self._device
        squares, similarities = [torch.zeros(0)], [torch.zeros(0)]
        alive = torch.zeros(self.data.velocity_shape, dtype=torch.bool, device=device)
        largest = network.largest_activation
        size = self._micro_batch or micro_batch_size(self.settings.micro_batch, largest, device)
        for rows, inputs in samples.inputs(size):
            outputs = network(inputs)
            alive |= (outputs > 0).any(dim=0)
            predicted = self.normalization.velocity.unscale(outputs)
            reference = torch.from_numpy(self.data.read_velocity(samples.indices[rows])).to(device)
            squares.append(mean_squared_error(predicted, reference))
            models = predicted.double(), reference.double()
            similarities.append(structural_similarity(*models, self._velocity_range))
        alive = together.any_of(alive)
        mse, ssim = (
            float(together.gathered(torch.cat([v.cpu() for v in values]), len(samples)).mean())
            for values in (squares, similarities)
        )
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
        return f"RMSE {math.sqrt(row['mse']):.0f} m/s, SSIM {row['ssim']:.3f}"


def config_for(config: Config, data: DatasetReader) -> Config:
    """Return the run's configuration: what describes data is the data set's own.

    A setting of the data that the configuration states otherwise is refused.
    """
    ours = config.model_dump(mode="json", include=set(DATA_SECTIONS), exclude_unset=True)
    made = data.config.model_dump(mode="json")
    theirs = {section: {key: made[section][key] for key in ours[section]} for section in ours}
    remedy = "train with the data set's configuration, or leave the key out"
    require_same(f"{data.path} was made", ours, theirs, remedy, FREE_KEYS)
    return with_data_of(config, data)


def with_data_of(config: Config, data: DatasetReader) -> Config:
    """Return a configuration with the data set's sections in place of its own."""
    parts = {name: getattr(config, name) for name in Config.model_fields}
    parts |= {name: getattr(data.config, name) for name in DATA_SECTIONS}
    try:
        return Config(**parts)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{data.path}: does not go with the configuration: {problem}") from None


def check_count(settings: TrainingConfig, data: DatasetReader) -> None:
    """Refuse a training split that is empty or smaller than a batch."""
    count = len(training_rows(data, settings))
    if count == 0:
        raise InputError(f"{data.path}: holds no training samples; see dataset.split")
    if settings.stream_uses is not None:
        if not len(data.indices("validation")):
            raise InputError(
                f"training.stream_uses = {settings.stream_uses}: {data.path} holds no validation"
                " samples, which tell how well a run does; see dataset.split"
            )
        count = window_length(settings, count)
    if settings.batch_size > count:
        held = f"the training split of {data.path} holds {count} samples"
        if settings.samples == count:
            held = f"training.samples = {count}"
        raise InputError(
            f"training.batch_size = {settings.batch_size}: {held}; use at most {count}, or more"
            " samples"
        )
