"""One model of a file made ready to be cut: in m/s, within bounds, at the wanted spacing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seistomo.dataset.exchange.crops import CropOptions, nodes_within
from seistomo.dataset.exchange.resample import resample, resample_mask, resampled_nodes
from seistomo.dataset.exchange.source import UNITS, ModelFile, StoredModel
from seistomo.dataset.store.writer import FASTEST, SLOWEST
from seistomo.errors import InputError


@dataclass(frozen=True)
class Prepared:
    """A model at the wanted spacing.

    Attributes
    ----------
    velocity
        float32 [depth, x], m/s.
    salt_mask
        bool [depth, x].
    family
        From the file, or None.
    parameters
        From the file, with the file's name and the model's number in it.
    corner
        Depth and x of the first node in the file's model, m.
    """

    velocity: np.ndarray
    salt_mask: np.ndarray
    family: str | None
    parameters: dict[str, Any]
    corner: tuple[float, float]


class Preparation:
    """Reads models by number, over all files, and makes them ready.

    Attributes
    ----------
    shapes
        Nodes (depth, x) of each model when ready.
    spacing
        Distance between nodes, m, both ways.

    Raises
    ------
    InputError
        If a spacing is not known, or the files' differ.
    """

    def __init__(
        self,
        files: Sequence[ModelFile],
        *,
        units: str,
        spacing: float | None,
        clip: tuple[float | None, float | None],
        salt_threshold: float | None,
        crops: CropOptions,
    ) -> None:
        if spacing is not None and not 0 < spacing < np.inf:
            raise InputError(f"--spacing {spacing:g}: must be above 0 m")
        if None not in clip and not clip[0] < clip[1]:
            raise InputError(f"--clip {clip[0]:g}:{clip[1]:g}: must be LOWEST:HIGHEST, m/s")
        self._units, self._clip, self._threshold, self._crops = units, clip, salt_threshold, crops
        self._files = [(file, number) for file in files for number in range(file.models)]
        if all(file.told for file in files):
            # Back into the order of the data set, which an export sorts by split.
            self._files.sort(key=lambda place: place[0].told[place[1]][0])
        self.spacing = _common_spacing(files, spacing)
        windows = {file.path: self._window(file) for file in files}
        self._windows = [windows[file.path] for file, _ in self._files]
        self.shapes = [(len(rows), len(columns)) for rows, columns in self._windows]

    def load(self, index: int) -> Prepared:
        """Return model ``index``.

        Raises
        ------
        InputError
            If it holds what is no speed in the unit given.
        """
        file, number = self._files[index]
        stored = file.read(number)
        name = f"{file.path}, model {number}" if file.models > 1 else str(file.path)
        velocity = self._in_metres(stored.velocity, name)
        old, new = _spacing_of(file, self.spacing), (self.spacing, self.spacing)
        velocity = resample(velocity, old, new).astype(np.float32)
        rows, columns = self._windows[index]
        part = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        origin = {"file": file.path.name, "model": number}
        return Prepared(
            velocity[part],
            self._salt(stored, velocity, old, new)[part],
            stored.family or (file.told[number][1] if file.told else None),
            {**stored.parameters, **origin},
            (rows.start * self.spacing, columns.start * self.spacing),
        )

    def place_of(self, index: int) -> str:
        """Return file and number of a model, for messages."""
        file, number = self._files[index]
        return f"{file.path}, model {number}"

    def _window(self, file: ModelFile) -> tuple[range, range]:
        spacing, wanted = _spacing_of(file, self.spacing), self.spacing
        nodes = [resampled_nodes(file.shape[axis], spacing[axis], wanted) for axis in (0, 1)]
        return (
            nodes_within(nodes[0], wanted, self._crops.depth_range, "--depth-range"),
            nodes_within(nodes[1], wanted, self._crops.x_range, "--x-range"),
        )

    def _in_metres(self, values: np.ndarray, name: str) -> np.ndarray:
        if not np.isfinite(values).all():
            raise InputError(f"{name}: holds values that are no finite numbers")
        factor = UNITS[self._units]
        velocity = values if factor == 1 else values.astype(np.float64) * factor
        low, high = float(velocity.min()), float(velocity.max())
        if high < SLOWEST:
            other = " are these km/s? Use --units km/s" if self._units == "m/s" else ""
            raise InputError(f"{name}: speeds of {low:g} to {high:g} m/s are too slow;{other}")
        if low > FASTEST:
            other = " are these m/s? Use --units m/s" if self._units != "m/s" else ""
            raise InputError(f"{name}: speeds of {low:g} to {high:g} m/s are too fast;{other}")
        if self._clip != (None, None):
            velocity = np.clip(velocity, *self._clip)
        if velocity.min() < SLOWEST or velocity.max() > FASTEST:
            raise InputError(
                f"{name}: holds speeds of {low:g} to {high:g} m/s; if the rest is right,"
                " --clip LOWEST:HIGHEST limits them"
            )
        return velocity

    def _salt(
        self,
        stored: StoredModel,
        velocity: np.ndarray,
        old: tuple[float, float],
        new: tuple[float, float],
    ) -> np.ndarray:
        if stored.salt_mask is not None:
            return resample_mask(stored.salt_mask, old, new)
        if self._threshold is None:
            return np.zeros(velocity.shape, dtype=bool)
        return velocity > self._threshold


def _common_spacing(files: Sequence[ModelFile], wanted: float | None) -> float:
    """Return the spacing wanted, or the one that all files have both ways."""
    if wanted is not None:
        return wanted
    for file in files:
        if file.spacing is None:
            said = file.known_from or "does not say the spacing of its grid"
            raise InputError(
                f"{file.path}: {said}; give --file-spacing, in m, both ways or as DEPTHxX"
            )
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


def _spacing_of(file: ModelFile, wanted: float) -> tuple[float, float]:
    return file.spacing or (wanted, wanted)
