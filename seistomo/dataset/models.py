"""Where the velocity models of a data set come from: drawn at random, or from a file."""

import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from seistomo.config import Config, with_overrides
from seistomo.config.velocity import FAMILIES, HIGHEST, LOWEST_IMPORTED, VelocityConfig
from seistomo.dataset import VelocityReader, open_velocity
from seistomo.errors import InputError
from seistomo.progress import counted
from seistomo.velocity import VelocityModel, draw_model

# Keys of [velocity] that hold for models of a file.
OF_IMPORTED_MODELS = ("minimum", "maximum", "imported")
# Rounding of speeds that are kept in float32, as a part of the bound.
ROUNDING = 1e-6
# Largest share of the nodes for which a clip is proposed: it makes them all alike.
CLIPPED = 0.05


class ModelSource(Protocol):
    """Gives the velocity model of any sample; several threads may ask at once."""

    widths: dict[str, int]  # bytes that a model's family and parameters may take as text

    def model(self, index: int) -> VelocityModel: ...


class DrawnModels:
    """Models drawn as a configuration says."""

    def __init__(self, config: Config) -> None:
        self.config, self.seed = config.velocity, config.dataset.seed
        self.widths = {"family": max(map(len, FAMILIES)), "parameters": text_bound(config.velocity)}

    def model(self, index: int) -> VelocityModel:
        return draw_model(self.config, self.seed, index)


class StoredModels:
    """Models of a velocity file or data set."""

    def __init__(self, reader: VelocityReader) -> None:
        self.reader = reader
        self.widths = reader.widths

    def model(self, index: int) -> VelocityModel:
        self.reader.intact([index])
        return VelocityModel(
            velocity=self.reader.read_velocity([index])[0],
            salt_mask=self.reader.read_salt_mask([index])[0],
            family=self.reader.families([index])[0],
            parameters=self.reader.parameters(index),
        )


def text_bound(config: VelocityConfig) -> int:
    """Return more bytes than what is drawn for a model can take as JSON.

    Numbers take up to 24 characters, those of layers, which are rounded, up to 12.
    """
    thickest = max(config.layer_thickness[1], 1.0)
    layers = max(config.layers[1], math.ceil((config.depth_extent + config.spacing) / thickest))
    layers = max(layers, config.openfwi_layers[1], config.openfwi_fault_layers_b[1]) + 1
    faults = max(1, config.faults[1], config.openfwi_faults_a[1], config.openfwi_faults_b[1])
    bodies = 4 if config.draws_salt else 0
    return 1024 + 40 * layers + 150 * config.folds[1] + 320 * faults + 480 * bodies


@contextmanager
def models_for(config: Config, velocity: str | Path | None) -> Iterator[tuple[Config, ModelSource]]:
    """Give a configuration and the source of its models, of a file if one is named."""
    if velocity is not None:
        with open_velocity(velocity) as models:
            yield config_for(config, models), StoredModels(models)
        return
    if config.velocity.imported is not None:
        raise InputError(
            f"velocity.imported = {config.velocity.imported}: the models came from a file; give it"
            " with --velocity, or leave this key out to draw models"
        )
    yield config, DrawnModels(config)


def overrides_for(velocity: str | Path, source: str, overrides: Sequence[str]) -> list[str]:
    """Return the ``--set`` strings with which to load a configuration for a file's models.

    ``source`` is what is loaded: a path, or a preset, whose number of samples does not count.
    """
    for override in overrides:
        section, _, key = override.partition("=")[0].strip().partition(".")
        if section == "velocity" and key not in OF_IMPORTED_MODELS:
            raise InputError(
                f"--set {override}: has no effect with --velocity, whose models are not drawn and"
                f" whose grid is the file's; {', '.join(OF_IMPORTED_MODELS)} may be set"
            )
    with open_velocity(velocity) as models:
        added = _grid(models)
        given = any(text.partition("=")[0].strip() == "dataset.samples" for text in overrides)
        if not given and not Path(source).is_file():
            added.append(f"dataset.samples={models.samples}")
    return [*overrides, *added]


def config_for(config: Config, models: VelocityReader) -> Config:
    """Return a configuration for shooting over the models of a file.

    Grid and identity are the file's; ``dataset.samples`` is the number of its models unless
    ``config`` states one.
    """
    imported = config.velocity.imported
    if imported not in (None, models.models_identity):
        raise InputError(
            f"--velocity {models.path}: holds other models ({models.models_identity}) than those"
            f" that the configuration was made with (velocity.imported = {imported})"
        )
    _require_speeds(config, models)
    stated = "samples" in config.dataset.model_fields_set
    if stated and config.dataset.samples > models.samples:
        raise InputError(
            f"dataset.samples = {config.dataset.samples}: --velocity {models.path} holds"
            f" {counted(models.samples, 'model')}; use --samples {models.samples} or fewer"
        )
    settings = [*_grid(models), f'velocity.imported="{models.models_identity}"']
    if not stated:
        settings.append(f"dataset.samples={models.samples}")
    return with_overrides(config, settings)


def _grid(models: VelocityReader) -> list[str]:
    """Return the ``--set`` strings that give a configuration the grid of a file's models."""
    return [
        f"velocity.shape=[{models.velocity_shape[0]}, {models.velocity_shape[1]}]",
        f"velocity.spacing={models.spacing!r}",
    ]


def _require_speeds(config: Config, models: VelocityReader) -> None:
    low, high = config.velocity.minimum, config.velocity.maximum
    remedies, clip, allowed = [], ["", ""], True
    if models.minimum < low * (1 - ROUNDING):
        remedies.append(f"--set velocity.minimum={math.floor(models.minimum)}")
        clip[0], allowed = f"{low:g}", models.minimum >= LOWEST_IMPORTED
    if models.maximum > high * (1 + ROUNDING):
        remedies.append(f"--set velocity.maximum={math.ceil(models.maximum)}")
        clip[1], allowed = f"{high:g}", allowed and math.ceil(models.maximum) <= HIGHEST
    if not remedies:
        return
    nodes = (models.read_velocity([row]) for row in range(models.samples))
    share = float(np.mean([np.mean((speed < low) | (speed > high)) for speed in nodes]))
    choices = [" ".join(remedies)] if allowed else []
    if share <= CLIPPED:
        choices.append(f"seistomo import --clip {':'.join(clip)}")
    remedy = f"use {', or '.join(choices)}" if choices else "a clip would change too much"
    raise InputError(
        f"--velocity {models.path}: speeds from {models.minimum:g} to {models.maximum:g} m/s are"
        f" not all between velocity.minimum = {low:g} and velocity.maximum = {high:g}"
        f" ({share:.2%} of the nodes outside); {remedy}"
    )


def end_with_parent() -> None:
    """Leave Ctrl-C to the parent process, and end when it has ended: what a drawing one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
