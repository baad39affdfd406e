"""Velocity models of others: found, read, brought to m/s and the wanted spacing, cut, kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from seistomo.config import EvaluationConfig
from seistomo.dataset import open_velocity, write_velocity
from seistomo.dataset.exchange.crops import (
    CropOptions,
    Ends,
    Place,
    grid_places,
    nodes_within,
    random_places,
    resample,
    resample_mask,
    resampled_nodes,
)
from seistomo.dataset.exchange.formats import open_files
from seistomo.dataset.exchange.model_file import (
    FEWEST_NODES,
    FileOptions,
    ModelFile,
    in_metres,
    require_spacing,
    require_speeds,
    require_units,
)
from seistomo.errors import InputError
from seistomo.files import reading, require_file, require_space
from seistomo.progress import bar, counted, say
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
        Arrays that say none are taken to have this one.
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
    clip: Ends = (None, None)
    crops: CropOptions = field(default_factory=CropOptions)
    salt_threshold: float | None = EvaluationConfig().salt_threshold
    family: str = "imported"

    def __post_init__(self) -> None:
        if self.spacing is not None:
            require_spacing(self.spacing, "--spacing")
        low, high = self.clip
        if None not in self.clip and not low < high:
            raise InputError(f"--clip {low:g}:{high:g}: must be LOWEST:HIGHEST, m/s")
        if self.salt_threshold is not None and not 0 < self.salt_threshold < np.inf:
            raise InputError(f"--salt-threshold {self.salt_threshold:g}: must be above 0 m/s")
        if not self.family.strip():
            raise InputError("--family: must be a name, such as marmousi2")


def import_velocity(
    paths: Sequence[str | Path],
    out: str | Path,
    options: ImportOptions | None = None,
    *,
    overwrite: bool = False,
) -> str:
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

    Returns
    -------
    str
        What was written, in one line.

    Raises
    ------
    InputError
        If a file cannot be read, its grid or speeds are implausible, models differ in size and
        are not cut, or ``out`` exists.
    """
    out, options = Path(out), options or ImportOptions()
    require_file(out, overwrite)
    files = open_files(paths, options.file)
    if out.resolve() in [file.path.resolve() for file in files]:
        raise InputError(f"--out {out}: is a file that is read; give another name")
    spacing = _common_spacing(files, options.spacing)
    files = [
        replace(file, spacing=(spacing, spacing)) if None in file.spacing else file
        for file in files
    ]
    _tell(files)
    parts, crops = _parts(files, spacing, options.crops), options.crops
    shape = crops.size or _common_shape(parts, spacing)
    if min(shape) < FEWEST_NODES:
        raise InputError(
            f"{parts[0].name}: {shape[0]} x {shape[1]} nodes (depth x x) at {spacing:g} m; must be"
            f" {FEWEST_NODES} x {FEWEST_NODES} or more: a smaller --spacing, or larger pieces"
        )
    load = lru_cache(KEPT_MODELS)(lambda number: _prepare(parts[number], spacing, options))

    def cut(place: Place) -> VelocityModel:
        return cut_piece(load(place.model), place, shape, spacing, parts[place.model].name)

    shapes = [part.shape for part in parts]
    if crops.count is None:
        possible = iter(grid_places(shapes, shape, crops.stride or shape))
    else:
        possible = random_places(shapes, shape, crops.count, crops.seed)
    places, dropped = [], 0
    for place in possible:
        if crops.min_contrast and np.ptp(cut(place).velocity) < crops.min_contrast:
            dropped += 1
            continue
        places.append(place)
        if len(places) == crops.count:
            break
    if len(places) < (crops.count or 1):
        raise InputError(
            f"--min-contrast {crops.min_contrast:g}: only {len(places)} of"
            f" {len(places) + dropped} pieces have it"
        )
    require_space(out, len(places) * (5 * shape[0] * shape[1] + 200))
    shown = bar(map(cut, places), total=len(places), description="import", unit="model")
    write_velocity(out, shown, spacing, overwrite=overwrite)
    with open_velocity(out) as made:
        speeds = f"{made.minimum:.0f} to {made.maximum:.0f} m/s"
    left_out = f"; {dropped} of little contrast left out" if dropped else ""
    return (
        f"{out}: {counted(len(places), 'model')} of {shape[0]} x {shape[1]} nodes (depth x x) at"
        f" {spacing:g} m, {speeds}{left_out}"
    )


def _common_spacing(files: Sequence[ModelFile], wanted: float | None) -> float:
    """Return the spacing wanted, or the one that all files have both ways."""
    for file in files:
        if None in file.spacing and (file.known_from or wanted is None):
            said = "does not say the spacing of its grid"
            if file.known_from:
                depth, x = ((step and f"{step:g} m") or "nothing" for step in file.spacing)
                said = f"says {depth} in depth and {x} in x ({file.known_from})"
            raise InputError(
                f"{file.path}: {said}; give --file-spacing, in m: one number for what is not said,"
                " or DEPTHxX"
            )
        for step in file.spacing:
            if step is not None:
                require_spacing(step, f"{file.path}: the file's spacing ({file.known_from})")
    if wanted is not None:
        return wanted
    first = files[0].spacing
    if abs(first[0] / first[1] - 1) > 1e-6:
        raise InputError(
            f"{files[0].path}: its spacing is {first[0]:g} m in depth and {first[1]:g} m in x; give"
            " --spacing, the one wanted both ways"
        )
    for file in files:
        if not np.allclose(file.spacing, first, rtol=1e-6):
            raise InputError(
                f"{file.path}: its spacing is {file.spacing[0]:g} m x {file.spacing[1]:g} m, that"
                f" of {files[0].path} {first[0]:g} m; give --spacing, the one wanted for all"
            )
    return first[0]


def _tell(files: Sequence[ModelFile]) -> None:
    """Say what was found, alike files together."""
    alike: dict[tuple, list[ModelFile]] = {}
    for file in files:
        key = (file.path.parent, file.models, file.shape, file.spacing, file.known_from, file.top)
        alike.setdefault(key, []).append(file)
    for (_, models, shape, spacing, known_from, top), same in alike.items():
        name = str(same[0].path) if len(same) == 1 else f"{same[0].path} and {len(same) - 1} more"
        grid = f"no spacing stated, taken as {spacing[0]:g} m"
        if known_from:
            grid = f"{spacing[0]:g} m x {spacing[1]:g} m ({known_from})"
        start = f", depth from {top:g} m" if top else ""
        count = counted(models * len(same), "model")
        say(f"{name}: {count} of {shape[0]} x {shape[1]} nodes, {grid}{start}")


@dataclass(frozen=True)
class _Part:
    """The part of one model that is used: its nodes at the wanted spacing."""

    file: ModelFile
    number: int
    rows: range
    columns: range

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.rows), len(self.columns)

    @property
    def name(self) -> str:
        several = self.file.models > 1
        return f"{self.file.path}, model {self.number}" if several else str(self.file.path)


def _parts(files: Sequence[ModelFile], wanted: float, crops: CropOptions) -> list[_Part]:
    """Return all models; those of an export, sorted by split, in the order of the data set."""
    parts = []
    for file in files:
        down, across = (
            resampled_nodes(nodes, step, wanted)
            for nodes, step in zip(file.shape, file.spacing, strict=True)
        )
        rows = nodes_within(down, wanted, crops.depth_range, "--depth-range", file.top)
        columns = nodes_within(across, wanted, crops.x_range, "--x-range")
        parts += [_Part(file, number, rows, columns) for number in range(file.models)]
    if all(file.told for file in files):
        parts.sort(key=lambda part: part.file.told[part.number][0])
    return parts


def _common_shape(parts: Sequence[_Part], spacing: float) -> tuple[int, int]:
    first = parts[0].shape
    for part in parts:
        if part.shape != first:
            raise InputError(
                f"{part.name}: {part.shape[0]} x {part.shape[1]} nodes at {spacing:g} m, the first"
                f" model {first[0]} x {first[1]}; give --crop DEPTHxX to cut pieces of one size"
            )
    return first


def _prepare(part: _Part, spacing: float, options: ImportOptions) -> VelocityModel:
    """Return a model in m/s at the wanted spacing, cut to the part that is used."""
    file, (rows, columns) = part.file, (part.rows, part.columns)
    with reading(file.path):
        stored = file.read(part.number)
    used = tuple(
        slice(int(nodes.start * spacing / step), int(nodes.stop * spacing / step) + 1)
        for nodes, step in zip((rows, columns), file.spacing, strict=True)
    )
    units = options.file.units or "m/s"
    require_units(stored.velocity[used], units, part.name)
    velocity = in_metres(stored.velocity, units)
    if options.clip != (None, None):
        velocity = np.clip(velocity, *options.clip)
    wanted = (spacing, spacing)
    with np.errstate(all="ignore"):
        velocity = resample(velocity, file.spacing, wanted).astype(np.float32)
    if stored.salt_mask is not None:
        salt = resample_mask(stored.salt_mask, file.spacing, wanted)
    elif options.salt_threshold is None:
        salt = np.zeros(velocity.shape, dtype=bool)
    else:
        salt = velocity > options.salt_threshold
    window = np.s_[rows.start : rows.stop, columns.start : columns.stop]
    told = file.told[part.number][1] if file.told else None
    where = {
        "file": file.path.name,
        "model": part.number,
        "depth_m": file.top + rows.start * spacing,
        "x_m": columns.start * spacing,
    }
    family = stored.family or told or options.family
    return VelocityModel(velocity[window], salt[window], family, {**stored.parameters, **where})


def cut_piece(
    model: VelocityModel, place: Place, shape: tuple[int, int], spacing: float, name: str
) -> VelocityModel:
    """Return a piece of an imported model, which notes where it was; ``name`` is the model's."""
    window = np.s_[place.row : place.row + shape[0], place.column : place.column + shape[1]]
    velocity = np.ascontiguousarray(model.velocity[window])
    depth = model.parameters["depth_m"] + place.row * spacing
    x = model.parameters["x_m"] + place.column * spacing
    require_speeds(velocity, f"{name}, from depth {depth:g} m and x {x:g} m")
    return VelocityModel(
        velocity,
        np.ascontiguousarray(model.salt_mask[window]),
        model.family,
        {**model.parameters, "depth_m": depth, "x_m": x},
    )
