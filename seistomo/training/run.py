"""A trained run, ready to predict."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from seistomo.config import Config, parse_config
from seistomo.config.schema import require_same
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
from seistomo.training.augmentation import turned
from seistomo.training.checkpoint import FREE_KEYS, load_checkpoint, load_weights
from seistomo.training.directory import member_folders
from seistomo.training.history import BEST, CHECKPOINT, Row
from seistomo.training.objective import micro_batch_size
from seistomo.training.positions import Positions, network_inputs, own_positions
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
            Of each sample's sources and receivers, m, as `DatasetReader.read_survey` returns them,
            for the U-Net and a `training.mute`; left out, or None for a sample: those of the run's
            survey before jitter.

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
        width, sees_positions = self.config.velocity.x_extent, self.config.network.sees_positions
        own = own_positions(positions, self.config.survey.positions(width))
        predicted = np.empty((len(gathers), *self.velocity_shape), dtype=np.float32)
        for start in range(0, len(gathers), size):
            rows = slice(start, start + size)
            places = own and own[rows]
            recorded = torch.tensor(gathers[rows], device=device)
            scaled = self.normalization.gathers(recorded, places).float()
            inputs = network_inputs(scaled, places if sees_positions else None, width)
            with computing_in(self.precision):
                outputs = self.network(inputs)
                if self.config.evaluation.mirror:
                    outputs = (outputs + self.network(turned(inputs)).flip(2)) / 2
            predicted[rows] = self.normalization.velocity.unscale(outputs).cpu().numpy()
        return predicted

    def predict_each(
        self, gathers: np.ndarray, positions: Sequence[Positions | None] | None = None
    ) -> np.ndarray:
        """As `predict`, of each member of an ensemble: float32 [member, sample, depth, x], m/s."""
        return self.predict(gathers, positions)[None]


@dataclass(frozen=True)
class Ensemble(Run):
    """Runs that differ in their seed alone, as one run that predicts their mean.

    Attributes
    ----------
    path
        The folder of the members.
    members
        The runs, at least two. All other attributes are the first member's.
    """

    members: tuple[Run, ...] = ()

    def predict(
        self, gathers: np.ndarray, positions: Sequence[Positions | None] | None = None
    ) -> np.ndarray:
        """Predict the mean over the members; see `Run.predict`."""
        each = self.predict_each(gathers, positions)
        return each.mean(axis=0, dtype=np.float64).astype(np.float32)

    def predict_each(
        self, gathers: np.ndarray, positions: Sequence[Positions | None] | None = None
    ) -> np.ndarray:
        """As `predict`, of each member: float32 [member, sample, depth, x], m/s."""
        return np.stack([member.predict(gathers, positions) for member in self.members])


def load_run(
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    device: str = "auto",
) -> Run:
    """Load a trained run, or an ensemble of runs, which predicts their mean.

    Parameters
    ----------
    run_dir
        The run directory, or the folder that `train_ensemble` has made.
    checkpoint
        "best": the epoch with the lowest validation loss; "last": the last one.
    device
        auto, cpu, cuda or cuda:N.

    Raises
    ------
    InputError
        If there is no such run or checkpoint, or the file is damaged; if the members of an
        ensemble differ in more than their seed.
    """
    run_dir = Path(run_dir)
    members = member_folders(run_dir)
    if members:
        runs = tuple(load_run(member, checkpoint, device) for member in members)
        _require_members(run_dir, runs)
        return Ensemble(**{**vars(runs[0]), "path": run_dir, "members": runs})
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
    load_weights(network, saved.network, path)
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


def _require_members(folder: Path, runs: Sequence[Run]) -> None:
    """Refuse what is no ensemble: too few runs, of several data sets, of other settings."""
    if len(runs) < 2:
        raise InputError(
            f"run {folder}: an ensemble of {runs[0].path.name} alone, and needs two members; go on"
            " with train --members --resume"
        )
    first, seeds = runs[0], {}
    for run in runs:
        names = f"{run.path.name} of {folder}"
        if run.data_identity != first.data_identity:
            raise InputError(
                f"{names}: was trained on data set {run.data_identity}, {first.path.name} on"
                f" {first.data_identity}; members share one"
            )
        dumps = (one.config.model_dump() for one in (run, first))
        remedy = f"{names} may differ in training.seed alone"
        free = (FREE_KEYS - {"evaluation"}) | {"training.seed"}
        require_same(f"{first.path.name} was trained", *dumps, remedy, free)
        seed = run.config.training.seed
        if seed in seeds:
            raise InputError(
                f"training.seed = {seed} in {names}: {seeds[seed]} has it too; members need seeds"
                " of their own"
            )
        seeds[seed] = run.path.name


def score_as_trained(
    problem: Problem,
    run_dir: str | Path,
    checkpoint: Literal["best", "last"] = "best",
    split: str = "test",
    device: str = "auto",
) -> dict[str, float]:
    """Score a run of any problem as it was trained: in its own precision, with its settings."""
    place = choose_device(device)
    path = Path(run_dir) / (BEST if checkpoint == "best" else CHECKPOINT)
    saved = load_checkpoint(path)
    settings = type(problem.settings)(**tomllib.loads(saved.config)["training"])
    precision = precision_on(place, settings.precision, run_dir)
    settings = settings.model_copy(update={"precision": precision})
    with torch_settings(place, settings.threads, settings.seed, precision):
        problem.prepare(settings, place, Processes())
        problem.load_state(saved.problem)
        network = problem.network(torch.Generator())
        load_weights(network, saved.network, path)
        return problem.scores(network.to(place).eval(), problem.split(split).to(place))


def precision_on(device: torch.device, precision: str, run_dir: str | Path) -> str:
    """Return a run's precision, or float32, with a warning, where a device does not have it."""
    try:
        check_precision(precision, device, "training.precision")
    except InputError as error:
        warn(f"run {run_dir}: {error}; predicts in float32")
        return "float32"
    return precision
