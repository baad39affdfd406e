"""Velocity models of others: read, brought to m/s and the wanted spacing, cut, kept as HDF5."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from seistomo.config import EvaluationConfig
from seistomo.dataset.exchange.crops import CropOptions, Place, grid_places, random_places
from seistomo.dataset.exchange.files import open_files, tell
from seistomo.dataset.exchange.prepare import Preparation
from seistomo.dataset.exchange.source import FileOptions
from seistomo.dataset.store.velocity_file import open_velocity
from seistomo.dataset.store.velocity_writer import VelocityWriter
from seistomo.errors import InputError
from seistomo.files import require_space, written_whole
from seistomo.progress import bar, counted
from seistomo.velocity import VelocityModel

# Whole models kept in memory while crops are cut from them.
KEPT_MODELS = 4


@dataclass(frozen=True)
class ImportOptions:
    """What becomes of the models that are read.

    Attributes
    ----------
    file
        What the files do not say.
    spacing
        Wanted distance between nodes, m, both ways; None: the files', if the same both ways.
        Files that say none are taken to have this one.
    clip
        Lowest and highest speed, m/s: what lies beyond is set to it; None: no bound.
    crops
        Which pieces are taken.
    salt_threshold
        Speed from which a node counts as salt, m/s, where the file has no mask; None: no salt.
    family
        Name of the models' family where the file says none.
    """

    file: FileOptions = field(default_factory=FileOptions)
    spacing: float | None = None
    clip: tuple[float | None, float | None] = (None, None)
    crops: CropOptions = field(default_factory=CropOptions)
    salt_threshold: float | None = EvaluationConfig().salt_threshold
    family: str = "imported"

    def __post_init__(self) -> None:
        """Refuse what would be read and change nothing."""
        if self.salt_threshold is not None and not 0 < self.salt_threshold < np.inf:
            raise InputError(f"--salt-threshold {self.salt_threshold:g}: must be above 0 m/s")
        if not self.family.strip():
            raise InputError("--family: must be a name, such as marmousi2")


@dataclass(frozen=True)
class ImportSummary:
    """What a call of `import_velocity` wrote; ``str`` gives one line for people."""

    path: Path
    models: int
    shape: tuple[int, int]
    spacing: float
    minimum: float
    maximum: float
    dropped: int

    def __str__(self) -> str:
        """Return one line for people."""
        dropped = f"; {self.dropped} of little contrast left out" if self.dropped else ""
        return (
            f"{self.path}: {counted(self.models, 'model')} of {self.shape[0]} x {self.shape[1]}"
            f" nodes (depth x x) at {self.spacing:g} m, {self.minimum:.0f} to"
            f" {self.maximum:.0f} m/s{dropped}"
        )


def import_velocity(
    paths: Sequence[str | Path],
    out: str | Path,
    options: ImportOptions | None = None,
    *,
    overwrite: bool = False,
) -> ImportSummary:
    """Bring velocity models of other programs into a velocity file, to be shot over.

    Parameters
    ----------
    paths
        Files, or folders of files, of one format.
    out
        The velocity file; it appears whole or not at all.
    options
        What the files do not say, and what becomes of their models.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If a file cannot be read, its speeds are none in m/s, models differ in size and are not
        cut, or ``out`` exists.
    """
    out, options = Path(out), options or ImportOptions()
    if os.path.lexists(out) and not overwrite:
        raise InputError(f"--out {out}: exists already; use --overwrite or another name")
    files = open_files(paths, options.file)
    if out.resolve() in [file.path.resolve() for file in files]:
        raise InputError(f"--out {out}: is a file that is read; give another name")
    models = Preparation(
        files,
        units=options.file.units,
        spacing=options.spacing,
        clip=options.clip,
        salt_threshold=options.salt_threshold,
        crops=options.crops,
    )
    tell(files, options.spacing)
    pieces = _Pieces(models, options)
    require_space(out, len(pieces) * (5 * pieces.shape[0] * pieces.shape[1] + 200))
    with (
        written_whole(out) as temporary,
        VelocityWriter(temporary, pieces.shape, models.spacing) as writer,
    ):
        for piece in bar(pieces, total=len(pieces), description="import", unit="model"):
            writer.append(piece)
    with open_velocity(out) as made:
        return ImportSummary(
            out, made.models, made.shape, made.spacing, made.minimum, made.maximum, pieces.dropped
        )


class _Pieces:
    """The models that are written, one after another."""

    def __init__(self, models: Preparation, options: ImportOptions) -> None:
        self._models, self._options, self._crops = models, options, options.crops
        self._load = lru_cache(KEPT_MODELS)(models.load)
        self.dropped = 0
        self.shape = self._crops.size or self._common_shape()
        self._grid: list[Place] = []
        if self._crops.count is None:
            whole = replace(self._crops, size=self.shape)
            self._grid = grid_places(models.shapes, whole)

    def __len__(self) -> int:
        return self._crops.count or len(self._grid)

    def __iter__(self) -> Iterator[VelocityModel]:
        places = iter(self._grid)
        if self._crops.count is not None:
            places = random_places(self._models.shapes, self._crops)
        made = 0
        for place in places:
            piece = self._cut(place)
            if np.ptp(piece.velocity) < self._crops.min_contrast:
                self.dropped += 1
                continue
            yield piece
            made += 1
            if made == self._crops.count:
                return
        if self._crops.count is not None or not made:
            contrast = f"--min-contrast {self._crops.min_contrast:g}"
            raise InputError(f"{contrast}: only {made} of {self.dropped + made} pieces have it")

    def _cut(self, place: Place) -> VelocityModel:
        model = self._load(place.model)
        depth, x = self.shape
        part = np.s_[place.row : place.row + depth, place.column : place.column + x]
        step = self._models.spacing
        corner = {
            "depth_m": model.corner[0] + place.row * step,
            "x_m": model.corner[1] + place.column * step,
        }
        return VelocityModel(
            np.ascontiguousarray(model.velocity[part]),
            np.ascontiguousarray(model.salt_mask[part]),
            model.family or self._options.family,
            {**model.parameters, **corner},
        )

    def _common_shape(self) -> tuple[int, int]:
        first = self._models.shapes[0]
        for index, shape in enumerate(self._models.shapes):
            if shape != first:
                raise InputError(
                    f"{self._models.place_of(index)}: {shape[0]} x {shape[1]} nodes at"
                    f" {self._models.spacing:g} m, the first model {first[0]} x {first[1]}; give"
                    " --crop DEPTHxX to cut pieces of one size"
                )
        return first
