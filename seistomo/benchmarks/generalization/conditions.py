"""The conditions that a run is scored under: what differs from its training data, one at a time."""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path

from seistomo.benchmarks.generalization.wavelets import wavelet_settings
from seistomo.config import Config, parse_config
from seistomo.config.families import FAMILIES, OPENFWI_FAMILIES
from seistomo.errors import InputError
from seistomo.evaluation.corruption import Corruption
from seistomo.progress import quietly
from seistomo.simulation import check_simulation

SNRS = (20.0, 10.0, 0.0)
"""Signal-to-noise ratios, dB."""
DEAD_SHARES = (0.1, 0.3)
WAVELET_FACTORS = (0.8, 1.2)
FINEST_ACCURACY = 8
# Ordinary seeds are small numbers: no training set shares a model with these.
FIRST_SEED = 2**62

REFERENCE, MARMOUSI = "reference", "marmousi"
GROUPS = {
    "reference": "Reference",
    "records": "Worse records",
    "physics": "Other physics",
    "trained": "Families trained on, new models",
    "other": "Other families",
    "crops": "Crops of one section",
}
"""Headings of the groups of conditions, in their order."""
SAME_MODELS = ("reference", "records", "physics")
"""Groups whose rows are all of the reference's models."""


@dataclass(frozen=True)
class Condition:
    """One row of the table.

    Attributes
    ----------
    name
        Short name, for files.
    label
        What people read.
    group
        One of `GROUPS`.
    settings
        ``section.key=value`` strings that its data are simulated with, beside the run's own.
    corruption
        What is done to the gathers when they are read.
    note
        What to say below the table.
    """

    name: str
    label: str
    group: str
    settings: tuple[str, ...] = ()
    corruption: Corruption = field(default_factory=Corruption)
    note: str = ""

    @property
    def same_models(self) -> bool:
        """Whether its models are those of the reference, in the same order."""
        return self.group in SAME_MODELS

    @property
    def is_simulated(self) -> bool:
        """Whether it has a data set of its own."""
        return self.group not in ("reference", "records")


@dataclass(frozen=True)
class Skipped:
    """A condition that is left out, and why."""

    name: str
    label: str
    reason: str


def reference_condition(has_data: bool) -> Condition:
    """Return the row that the others are compared with."""
    label = "own test split" if has_data else "new models, own settings"
    return Condition(REFERENCE, label, "reference")


def marmousi_condition(note: str) -> Condition:
    """Return the row of crops of a section that the user has named."""
    return Condition(MARMOUSI, "Marmousi crops", "crops", note=note)


def record_conditions() -> list[Condition]:
    """Return the rows of noise and dead traces."""
    noisy = [
        Condition(
            f"snr-{snr:g}",
            f"noise, SNR {snr:g} dB",
            "records",
            corruption=Corruption(noise_snr=snr),
        )
        for snr in SNRS
    ]
    dead = [
        Condition(
            f"dead-{share:.0%}".rstrip("%"),
            f"{share:.0%} dead traces".replace("%", " %"),
            "records",
            corruption=Corruption(dead_traces=share),
        )
        for share in DEAD_SHARES
    ]
    return [*noisy, *dead]


def physics_conditions(config: Config, folder: Path) -> Iterator[Condition]:
    """Yield the rows whose waves differ.

    Parameters
    ----------
    config
        The run's configuration.
    folder
        Where a stretched copy of a wavelet file is written.
    """
    simulation, survey, spacing = config.simulation, config.survey, config.velocity.spacing
    for factor in WAVELET_FACTORS:
        change = f"{factor - 1:+.0%}".replace("-", "\N{MINUS SIGN}").replace("%", " %")
        name = f"wavelet-{factor:.0%}".rstrip("%")
        settings = wavelet_settings(survey, factor, folder / f"{name}.csv")
        yield Condition(name, f"wavelet {change} in frequency", "physics", settings)
    grid = (simulation.grid_spacing or spacing) / 2
    yield Condition("finer-grid", f"modelling grid of {grid:g} m", "physics", finer_grid(config))
    if simulation.accuracy < FINEST_ACCURACY:
        settings = (f"simulation.accuracy={FINEST_ACCURACY}",)
        yield Condition("accuracy", f"differences of order {FINEST_ACCURACY}", "physics", settings)
    deeper = (f"survey.source_depth={survey.source_depth + spacing!r}",)
    yield Condition("source-depth", f"sources {spacing:g} m deeper", "physics", deeper)
    if simulation.density == "constant":
        variable = ('simulation.density="gardner"',)
        yield Condition("density", "density after Gardner", "physics", variable)


def finer_grid(config: Config) -> tuple[str, ...]:
    """Return the settings of a modelling grid of half the spacing; edges as wide in metres."""
    spacing = (config.simulation.grid_spacing or config.velocity.spacing) / 2
    width = 2 * config.simulation.pml_width
    return (f"simulation.grid_spacing={spacing!r}", f"simulation.pml_width={width}")


def family_conditions(config: Config) -> list[Condition]:
    """Return a row for each family, those of the run's training set first."""
    known = [name for name in FAMILIES if config.velocity.draws(name)]
    unknown = [name for name in FAMILIES if name not in known]
    return [
        _family(config, name, group)
        for group, names in (("trained", known), ("other", unknown))
        for name in names
    ]


def _family(config: Config, name: str, group: str) -> Condition:
    """Return a family's row.

    The speeds of OpenFWI's families are of no run: where its bounds are narrower, they are drawn
    within them.
    """
    settings, velocity = (f"velocity.families={name}",), config.velocity
    low, high = velocity.openfwi_velocity
    within = max(low, velocity.minimum), min(high, velocity.maximum)
    if name not in OPENFWI_FAMILIES or within == (low, high) or within[0] >= within[1]:
        return Condition(f"family-{name}", name, group, settings)
    note = f"speeds from {within[0]:g} to {within[1]:g} m/s, the run's bounds"
    settings += (f"velocity.openfwi_velocity={list(within)}",)
    return Condition(f"family-{name}", name, group, settings, note=note)


def configured(
    config: Config, condition: Condition, samples: int, seed: int, models: str
) -> Config:
    """Return the configuration of a condition's data set.

    Parameters
    ----------
    config
        The run's.
    condition
        The condition.
    samples, seed
        Number of samples, and the seed that the user gave.
    models
        Identity of the velocity file that is shot over; empty where models are drawn.

    Raises
    ------
    InputError
        If the run's grid, bounds or survey do not allow it.
    """
    shared = [
        f"dataset.samples={samples}",
        f"dataset.seed={FIRST_SEED + seed}",
        # Nothing is trained on; a share for training must be.
        "dataset.split=[1, 0, 1]",
    ]
    if models:
        shared.append(f'velocity.imported="{models}"')
    text = config.to_toml(without=["velocity.imported"])
    return parse_config(text, [*shared, *condition.settings], origin=condition.label)


def simulable(
    config: Config, conditions: Sequence[Condition], models: str
) -> tuple[list[Condition], list[Skipped]]:
    """Return the conditions that can be simulated, and the others with the reason.

    A wavelet that the run's modelling grid cannot carry is shot on one of half the spacing, and
    the row says so.

    Parameters
    ----------
    config
        The run's configuration.
    conditions
        Wanted ones.
    models
        Identity of the reference's models.
    """
    kept, skipped = [], []
    for condition in conditions:
        tried = [condition]
        if condition.name.startswith("wavelet"):
            tried.append(_on_finer_grid(config, condition))
        reason = ""
        for attempt in tried:
            problem = _problem(config, attempt, models if attempt.same_models else "")
            if not problem:
                kept.append(attempt)
                break
            reason = reason or problem
        else:
            skipped.append(Skipped(condition.name, condition.label, reason))
    return kept, skipped


def _on_finer_grid(config: Config, condition: Condition) -> Condition:
    note = "on a modelling grid of half the spacing: the run's cannot carry this wavelet"
    settings = (*condition.settings, *finer_grid(config))
    return Condition(condition.name, condition.label, condition.group, settings, note=note)


def _problem(config: Config, condition: Condition, models: str) -> str:
    """Return why a condition cannot be simulated; what is merely poor is warned of later."""
    try:
        with quietly(), redirect_stderr(io.StringIO()):
            check_simulation(configured(config, condition, 2, 0, models))
    except InputError as error:
        return str(error).removeprefix(f"{condition.label}: ")
    return ""
