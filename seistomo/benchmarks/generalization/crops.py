"""Pieces of a large section, as large as the run's models, that lie within its bounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import numpy as np

from seistomo.config import VelocityConfig
from seistomo.dataset.exchange.crops import CropOptions, Place, random_places
from seistomo.dataset.exchange.files import open_files
from seistomo.dataset.exchange.importing import KEPT_MODELS
from seistomo.dataset.exchange.prepare import Preparation
from seistomo.dataset.exchange.source import FileOptions, ModelFile, StoredModel
from seistomo.dataset.models import ROUNDING
from seistomo.dataset.store import file_format
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.dataset.store.velocity_writer import VelocityWriter
from seistomo.errors import InputError
from seistomo.files import written_whole
from seistomo.velocity import VelocityModel

# Pieces whose speeds differ by less, m/s, are water or one bed.
LEAST_CONTRAST = 300.0


@dataclass(frozen=True)
class CropSummary:
    """What `cut_crops` did.

    Attributes
    ----------
    crops
        Pieces written.
    beyond, flat
        Pieces left out because speeds lie outside the bounds, or hardly differ.
    """

    crops: int
    beyond: int
    flat: int


def cut_crops(
    path: str | Path,
    options: FileOptions,
    grid: VelocityConfig,
    samples: int,
    seed: int,
    out: Path,
) -> CropSummary:
    """Cut pieces at random places, no two the same, and write them to a velocity file.

    Parameters
    ----------
    path
        SEG-Y, .npy, .npz or raw file, a velocity file or a data set.
    options
        What the file does not say itself.
    grid
        Shape, spacing and bounds of the run's models; others are resampled to this spacing.
    samples, seed
        Pieces wanted, and the seed of their places.
    out
        The velocity file, which appears whole or not at all.

    Returns
    -------
    CropSummary
        Fewer pieces than wanted where there are no more.

    Raises
    ------
    InputError
        If the file cannot be read, is smaller than the run's models, or has no piece within the
        bounds.
    """
    with _opened(Path(path), options) as files:
        models = Preparation(
            files,
            units=options.units,
            spacing=grid.spacing,
            clip=(None, None),
            salt_threshold=None,
            crops=CropOptions(size=grid.shape),
        )
        _require_room(path, models, grid)
        chooser = _Chooser(models, grid)
        pieces = chooser.pieces(
            random_places(models.shapes, CropOptions(grid.shape, None, 1, seed))
        )
        first = next(pieces, None)
        if first is None:
            raise InputError(
                f"--marmousi {path}: none of its {chooser.beyond + chooser.flat} pieces of"
                f" {grid.shape[0]} x {grid.shape[1]} nodes lies within the run's velocity.minimum"
                f" and velocity.maximum, {grid.minimum:g} to {grid.maximum:g} m/s, with a contrast"
                f" of {LEAST_CONTRAST:g} m/s"
            )
        with (
            written_whole(out) as temporary,
            VelocityWriter(temporary, grid.shape, grid.spacing) as writer,
        ):
            for piece in chain([first], islice(pieces, samples - 1)):
                writer.append(piece)
            return CropSummary(writer.models, chooser.beyond, chooser.flat)


class _Chooser:
    """Cuts pieces and counts those that it leaves out."""

    def __init__(self, models: Preparation, grid: VelocityConfig) -> None:
        self._load, self._spacing = lru_cache(KEPT_MODELS)(models.load), models.spacing
        self._grid = grid
        self.beyond = self.flat = 0

    def pieces(self, places: Iterator[Place]) -> Iterator[VelocityModel]:
        """Yield the pieces that are within the bounds and not flat."""
        low, high = self._grid.minimum * (1 - ROUNDING), self._grid.maximum * (1 + ROUNDING)
        for place in places:
            piece = self._cut(place)
            least, most = piece.velocity.min(), piece.velocity.max()
            if not low <= least <= most <= high:
                self.beyond += 1
            elif most - least < LEAST_CONTRAST:
                self.flat += 1
            else:
                yield piece

    def _cut(self, place: Place) -> VelocityModel:
        model, (depth, x) = self._load(place.model), self._grid.shape
        part = np.s_[place.row : place.row + depth, place.column : place.column + x]
        corner = {"depth_m": place.row * self._spacing, "x_m": place.column * self._spacing}
        return VelocityModel(
            np.ascontiguousarray(model.velocity[part]),
            np.ascontiguousarray(model.salt_mask[part]),
            model.family or "crop",
            {**model.parameters, **corner},
        )


@contextmanager
def _opened(path: Path, options: FileOptions) -> Iterator[list[ModelFile]]:
    """Open a file of any of the formats; close it afterwards."""
    if not path.is_file():
        raise InputError(f"--marmousi {path}: no such file")
    if file_format(path) is None:
        files = open_files([path], options)
        if files[0].spacing is None:
            said = files[0].known_from or "does not say the spacing of its grid"
            raise InputError(f"--marmousi {path}: {said}; give --file-spacing, m")
        yield files
        return
    with open_velocity(path) as models:

        def read(number: int) -> StoredModel:
            model = models.model(number)
            return StoredModel(model.velocity, model.salt_mask, model.family, model.parameters)

        spacing = (models.spacing, models.spacing)
        yield [ModelFile(path, models.models, models.shape, spacing, "the file", read)]


def _require_room(path: str | Path, models: Preparation, grid: VelocityConfig) -> None:
    """Refuse sections that are smaller than the run's models, over which its survey lies."""
    wanted = grid.shape
    if any(shape[0] >= wanted[0] and shape[1] >= wanted[1] for shape in models.shapes):
        return
    depth, x = max(models.shapes, key=lambda shape: shape[0] * shape[1])
    raise InputError(
        f"--marmousi {path}: {depth} x {x} nodes (depth x x) at {grid.spacing:g} m are smaller than"
        f" the run's models of {wanted[0]} x {wanted[1]}, so its survey does not fit"
    )
