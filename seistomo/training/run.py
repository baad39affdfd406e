"""A trained run, ready to predict."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from seistomo.config import Config, parse_config
from seistomo.device import (
    check_precision,
    choose_device,
    computing_in,
    convolution_type,
    torch_settings,
)
from seistomo.errors import InputError
from seistomo.networks import TomographyNetwork, build_network
from seistomo.progress import warn
from seistomo.ranks import Processes
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.history import BEST, CHECKPOINT, Row
from seistomo.training.mute import Positions
from seistomo.training.objective import micro_batch_size
from seistomo.training.problem import Problem
from seistomo.training.scaling import Normalization


@dataclass(frozen=True)
class Run:
    """A trained network with everything that it needs to predict.

    Attributes
    ----------
    path
        The run directory.
    config
        The run's configuration; its velocity and survey are those of the training data.
    network
        The network, on its device.
    normalization
        Scalings of gathers and velocity, and the mean training model.
    history
        A row of ``history.csv`` an epoch up to this checkpoint.
    data_identity
        Identity of the data set that it was trained on.
    epoch
        Epochs that the network has been trained for.
    gather_shape, velocity_shape
        (source, receiver, time) and (depth, x).
    gathers
        `gather_statistics` of the training split; None: of a run that does not know them.
    precision
        What it predicts in: the run's own, or float32 where the device has not that.
    """

    path: Path
    config: Config
    network: TomographyNetwork
    normalization: Normalization
    history: list[Row]
    data_identity: str
    epoch: int
    gather_shape: tuple[int, int, int]
    velocity_shape: tuple[int, int]
    gathers: dict[str, float] | None = None
    precision: str = "float32"

    @torch.no_grad()
    def predict(
        self, gathers: np.ndarray, positions: Sequence[Positions | None] | None = None
    ) -> np.ndarray:
        """Predict velocity models.

        Parameters
        ----------
        gathers
            As recorded or simulated, not scaled: float32 [sample, source, receiver, time].
        positions
            Of each sample's sources and receivers, for a run with `training.mute`; left out, or
            None for a sample: those of the run's survey before jitter. See `Mute.weights`.

        Returns
        -------
        np.ndarray
            Velocity, float32 [sample, depth, x], m/s.

        Raises
        ------
        InputError
            If the gathers are not of the survey that the network was trained for.
        """
        gathers = np.asarray(gathers, dtype=np.float32)
        if gathers.ndim != 4 or gathers.shape[1:] != tuple(self.gather_shape):
            raise InputError(
                f"gathers [sample, source, receiver, time] = {list(gathers.shape)}: the run"
                f" {self.path} was trained for [sample, {', '.join(map(str, self.gather_shape))}]"
            )
        device = next(self.network.parameters()).device
        size = micro_batch_size(0, self.network.largest_activation, device)
        predicted = np.empty((len(gathers), *self.velocity_shape), dtype=np.float32)
        for start in range(0, len(gathers), size):
            rows = slice(start, start + size)
            places = positions and positions[rows]
            recorded = torch.tensor(gathers[rows], device=device)
            inputs = self.normalization.gathers(recorded, places).float().unsqueeze(1)
            with computing_in(self.precision):
                outputs = self.network(inputs)
                if self.config.evaluation.mirror:
                    outputs = (outputs + self.network(inputs.flip(2, 3)).flip(2)) / 2
            predicted[rows] = self.normalization.velocity.unscale(outputs).cpu().numpy()
        return predicted


def load_run(
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "auto",
) -> Run:
    """Load a trained run.

    Parameters
    ----------
    run_dir
        The run directory.
    checkpoint
        "best": the epoch with the lowest validation loss; "last": the last one.
    device
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    InputError
        If there is no such run or checkpoint, or the file is damaged.
    """
    run_dir = Path(run_dir)
    if checkpoint not in ("best", "last"):
        raise InputError(f"checkpoint = {checkpoint!r}: must be best or last")
    if not run_dir.is_dir():
        raise InputError(f"run {run_dir}: no such directory")
    place = choose_device(device)
    path = run_dir / (BEST if checkpoint == "best" else CHECKPOINT)
    saved = load_checkpoint(path)
    learnt = saved.problem
    if "normalization" not in learnt:
        raise InputError(f"run {run_dir}: is no run of the tomography problem")
    shapes = learnt["gather_shape"], learnt["velocity_shape"]
    config = parse_config(saved.config, origin=str(path))
    precision = precision_on(place, config.training.precision, run_dir)
    network = build_network(config.network, *shapes, torch.Generator())
    network.load_state_dict(saved.network)
    network.convolution_type = convolution_type(precision)
    return Run(
        path=run_dir,
        config=config,
        network=network.to(place).eval(),
        normalization=Normalization.from_state(learnt["normalization"]),
        history=saved.history,
        data_identity=saved.data_identity,
        epoch=saved.progress.epoch,
        gather_shape=shapes[0],
        velocity_shape=shapes[1],
        precision=precision,
        gathers=learnt.get("gathers"),
    )


def score_as_trained(
    problem: Problem,
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    split: str = "test",
    device: str = "auto",
) -> dict[str, float]:
    """Score a run of any problem as it was trained: in its own precision, with its settings.

    Parameters
    ----------
    problem
        What was learnt.
    run_dir, checkpoint, device
        As for `load_run`.
    split
        Which samples.

    Returns
    -------
    dict
        The problem's scores.

    Raises
    ------
    InputError
        As `load_run`.
    """
    place = choose_device(device)
    saved = load_checkpoint(Path(run_dir) / (BEST if checkpoint == "best" else CHECKPOINT))
    settings = type(problem.settings)(**tomllib.loads(saved.config)["training"])
    precision = precision_on(place, settings.precision, run_dir)
    settings = settings.model_copy(update={"precision": precision})
    with torch_settings(place, settings.threads, settings.seed, precision):
        problem.prepare(settings, place, Processes())
        problem.load_state(saved.problem)
        network = problem.network(torch.Generator())
        network.load_state_dict(saved.network)
        return problem.scores(network.to(place).eval(), problem.split(split).to(place))


def precision_on(device: torch.device, precision: str, run_dir: str | Path) -> str:
    """Return a run's precision, or float32, with a warning, where a device does not have it."""
    try:
        check_precision(precision, device, "training.precision")
    except InputError as error:
        warn(f"run {run_dir}: {error}; predicts in float32")
        return "float32"
    return precision
