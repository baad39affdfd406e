"""Where the samples of each condition come from: the run's own, or simulated for it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.benchmarks.generalization.conditions import (
    MARMOUSI,
    REFERENCE,
    Condition,
    configured,
    reference_condition,
)
from seistomo.benchmarks.generalization.folder import ResultFolder
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.store.schema import data_settings
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.dataset.store.velocity_writer import VelocityWriter
from seistomo.errors import InputError
from seistomo.evaluation.fit import check_fit
from seistomo.evaluation.prediction import split_indices
from seistomo.files import written_whole
from seistomo.progress import warn
from seistomo.training import Run

REFERENCE_MODELS = "reference-models"


@dataclass(frozen=True)
class Sources:
    """Gives each condition its data set, simulated if it is not there.

    Attributes
    ----------
    run
        The trained run.
    folder
        Where data sets are made.
    data
        The data set that the run was trained on; None: the reference is drawn anew.
    samples, seed
        Samples of a condition, and the seed that the user gave.
    device
        auto, cpu, cuda or cuda:N.
    """

    run: Run
    folder: ResultFolder
    data: Path | None
    samples: int
    seed: int
    device: str

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the reference in its data set, int64 [sample]."""
        if self.data is None:
            return np.arange(self.samples)
        with open_dataset(self.data) as data:
            require_own(self.run, data)
            return split_indices(data, "test")[: self.samples]

    def prepare_reference(self) -> None:
        """Make the reference's data set, or the file of its models that the others are shot over.

        Raises
        ------
        InputError
            If the data set is not the run's, or models that came from a file would have to be
            drawn.
        """
        if self.data is None:
            if self.run.config.velocity.imported is not None:
                raise InputError(
                    f"run {self.run.path}: was trained on imported models, which cannot be drawn"
                    " anew; give its data set with --data"
                )
            self._simulate(reference_condition(has_data=False))
            return
        path = self.folder.data(REFERENCE_MODELS)
        if path.exists():
            return
        grid = self.run.config.velocity
        with (
            open_velocity(self.data) as models,
            written_whole(path) as temporary,
            VelocityWriter(temporary, grid.shape, grid.spacing) as writer,
        ):
            for row in self.rows:
                writer.append(models.model(int(row)))

    @cached_property
    def reference_identity(self) -> str:
        """Identity of the reference's models."""
        with open_velocity(self._reference_models) as models:
            return models.identity

    def prepare(self, condition: Condition) -> None:
        """Simulate a condition's data set; what is there already is kept."""
        if condition.is_simulated:
            self._simulate(condition)

    def data_of(self, condition: Condition) -> tuple[Path, NDArray[np.int64]]:
        """Return a condition's data set and the rows that are scored."""
        if condition.is_simulated:
            path = self.folder.data(condition.name)
            with open_dataset(path) as data:
                return path, data.indices()
        return (self.data or self.folder.data(REFERENCE)), self.rows

    @property
    def _reference_models(self) -> Path:
        return self.folder.data(REFERENCE if self.data is None else REFERENCE_MODELS)

    def crops(self) -> Path:
        """Return where the velocity file of crops belongs."""
        return self.folder.data(f"{MARMOUSI}-models")

    def _simulate(self, condition: Condition) -> None:
        velocity, identity, samples = None, "", self.samples
        if condition.name == MARMOUSI:
            velocity = self.crops()
        elif condition.same_models and condition.name != REFERENCE:
            velocity = self._reference_models
        if velocity is not None:
            with open_velocity(velocity) as models:
                identity, samples = models.identity, models.models
        config = configured(self.run.config, condition, samples, self.seed, identity)
        out = self.folder.data(condition.name)
        simulate(config, out, device=self.device, resume=True, velocity=velocity)


def require_own(run: Run, data: DatasetReader) -> None:
    """Refuse a data set that is not the one that the run was trained on.

    A set that has grown since is still that one: its training samples stay what they were.

    Raises
    ------
    InputError
        Naming the first setting that differs.
    """
    check_fit(run, data)
    if data.identity == run.data_identity:
        return
    ours, theirs = data_settings(run.config), data_settings(data.config)
    for key, value in ours.items():
        if theirs.get(key) != value:
            raise InputError(
                f"--data {data.path}: was made with {key} = {theirs.get(key)!r}, the run's data set"
                f" with {value!r}; give the data set that the run was trained on"
            )
    warn(
        f"--data {data.path}: has the settings of the run's data set, but other samples; the first"
        " row is its own test split only if the set has grown since"
    )
