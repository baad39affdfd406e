"""Conditions that a run is scored under: what differs from its training data, one at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seistomo.config import Config, VelocityConfig
from seistomo.config.velocity import FAMILIES, OPENFWI_FAMILIES
from seistomo.dataset import open_velocity, write_velocity
from seistomo.dataset.exchange import FileOptions, ImportOptions, import_velocity
from seistomo.dataset.exchange.crops import random_places
from seistomo.dataset.exchange.importing import cut_piece
from seistomo.dataset.models import ROUNDING, StoredModels
from seistomo.errors import InputError
from seistomo.experiments import records
from seistomo.experiments.study import Condition, Section
from seistomo.files import write_text
from seistomo.simulation.wavelet import read_own_wavelet, wavelet_delay

# Pieces of a section whose speeds differ by less, m/s, are water or one bed.
LEAST_CONTRAST = 300.0


@dataclass(frozen=True)
class Case:
    """A condition with what it takes of this run."""

    condition: Condition
    settings: tuple[str, ...] = ()  # section.key=value beside the run's own
    note: str = ""  # what to say below the table

    @property
    def name(self) -> str:
        return self.condition.name

    @property
    def simulated(self) -> bool:
        """Whether it has a data set of its own, and not the reference's gathers."""
        return bool(self.settings or self.condition.crops)

    @property
    def corruption(self) -> dict[str, float | None]:
        """What is done to the gathers when they are read."""
        return {
            "noise_snr": self.condition.noise_snr,
            "dead_traces": self.condition.dead_traces,
        }

    @property
    def same_models(self) -> bool:
        """Whether its models are the reference's, in the same order."""
        return not (self.condition.families or self.condition.crops)


def cases_of(condition: Condition, config: Config, folder: Path) -> Iterator[Case]:
    """Yield a condition for a run's configuration; of families one each, those trained on first.

    ``folder``: where a stretched copy of a wavelet file is written.
    """
    spacing, settings = config.velocity.spacing, list(condition.set)
    if condition.wavelet is not None:
        path = folder / f"{condition.name}.csv"
        settings += wavelet_settings(config, condition.wavelet, path)
    if condition.grid is not None:
        settings += grid_settings(config, condition.grid)
    if condition.deeper is not None:
        depth = config.survey.source_depth + condition.deeper * spacing
        settings.append(f"survey.source_depth={depth!r}")
    if not condition.families:
        yield Case(condition, tuple(settings))
        return
    known = [name for name in FAMILIES if config.velocity.draws(name)]
    for name in [*known, *(name for name in FAMILIES if name not in known)]:
        group = "Families trained on, new models" if name in known else "Other families"
        of = {"name": f"{condition.name}-{name}", "label": name, "group": group}
        drawn_within, note = _within_bounds(config.velocity, name)
        own = (*settings, f"velocity.families={name}", *drawn_within)
        yield Case(condition.model_copy(update=of), own, note)


def _within_bounds(velocity: VelocityConfig, family: str) -> tuple[tuple[str, ...], str]:
    """Return settings that draw a family within the run's bounds, and what to say of it."""
    low, high = velocity.openfwi_velocity
    within = max(low, velocity.minimum), min(high, velocity.maximum)
    if family not in OPENFWI_FAMILIES or within == (low, high) or within[0] >= within[1]:
        return (), ""
    note = f"speeds from {within[0]:g} to {within[1]:g} m/s, the run's bounds"
    return (f"velocity.openfwi_velocity={list(within)}",), note


def grid_settings(config: Config, factor: float) -> list[str]:
    """Return settings of a modelling grid of another spacing; edges as wide in metres."""
    spacing = (config.simulation.grid_spacing or config.velocity.spacing) * factor
    width = round(config.simulation.pml_width / factor)
    return [f"simulation.grid_spacing={spacing!r}", f"simulation.pml_width={width}"]


def wavelet_settings(config: Config, factor: float, path: Path) -> list[str]:
    """Return settings that multiply all frequencies of the wavelet; its peak stays as it is.

    The peak keeps its time, too: with the delay that goes with the new frequency all arrivals
    would be early or late by a part of a period, which is another error than a wrong wavelet.
    ``path``: where a stretched copy is written if the wavelet is from a file.
    """
    survey = config.survey
    if survey.wavelet == "file":
        own, peak = read_own_wavelet(survey), wavelet_delay(survey)
        time = own.start + np.arange(len(own.samples)) * own.step
        time = peak + (time - peak) / factor
        lines = (f"{t:.12g},{s:.12g}\n" for t, s in zip(time, own.samples, strict=True) if t >= 0)
        write_text(path, "".join(lines))
        return [f"survey.wavelet_file={json.dumps(str(path))}", "survey.delay=0.0"]
    delay = f"survey.delay={wavelet_delay(survey)!r}"
    if survey.wavelet == "ormsby":
        corners = [round(factor * corner, 9) for corner in survey.corner_frequencies]
        return [f"survey.corner_frequencies={corners}", delay]
    return [f"survey.frequency={round(factor * survey.frequency, 9)!r}", delay]


def cut_crops(
    section: Section, grid: VelocityConfig, samples: int, seed: int, out: Path
) -> tuple[str, str]:
    """Cut pieces of a section at random places, no two the same, that lie within the run's bounds.

    Returns what to say of them, or nothing and why there are none; pieces that are there are kept.
    """
    kept = out.with_suffix(".json")
    if not section.file:
        return "", "no section was given (--set section.file=FILE)"
    if kept.is_file() and out.is_file():
        return records.read_json(kept)["note"], ""
    whole = out.with_name("section.h5")
    spacing = section.spacing
    file = FileOptions(
        format=section.format,
        units=section.units,
        spacing=tuple(spacing) if isinstance(spacing, list) else spacing,
        shape=section.shape,
    )
    options = ImportOptions(file, grid.spacing, salt_threshold=None, family="crop")
    import_velocity([section.file], whole, options, overwrite=True)
    low, high = grid.minimum * (1 - ROUNDING), grid.maximum * (1 + ROUNDING)
    pieces, beyond, flat = [], 0, 0
    with open_velocity(whole) as models:
        large = [StoredModels(models).model(number) for number in range(models.samples)]
    shapes = [model.velocity.shape for model in large]
    for place in random_places(shapes, tuple(grid.shape), 1, seed):
        piece = cut_piece(large[place.model], place, tuple(grid.shape), grid.spacing, section.file)
        least, most = piece.velocity.min(), piece.velocity.max()
        if not low <= least <= most <= high:
            beyond += 1
        elif most - least < LEAST_CONTRAST:
            flat += 1
        else:
            pieces.append(piece)
        if len(pieces) == samples:
            break
    if not pieces:
        raise InputError(
            f"section.file = {section.file}: none of its {beyond + flat} pieces lies within the"
            f" run's {grid.minimum:g} to {grid.maximum:g} m/s with a contrast of"
            f" {LEAST_CONTRAST:g} m/s"
        )
    write_velocity(out, pieces, grid.spacing, overwrite=True)
    whole.unlink()
    note = f"{len(pieces)} overlapping pieces of {Path(section.file).name}, at random places"
    note += f"; {beyond} with speeds beyond the run's bounds were left out" if beyond else ""
    note += f"; {flat} that hold next to nothing were left out" if flat else ""
    records.write_json(kept, {"note": note})
    return note, ""
