"""What is told of an export beside its arrays: a row a sample, and where everything comes from."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from seistomo.dataset.exchange.folder import MARKER
from seistomo.dataset.store import DatasetReader
from seistomo.dataset.store.schema import SPLITS, software_versions
from seistomo.errors import InputError

SAMPLES = "samples.csv"
COLUMNS = ("gathers", "velocity", "place", "row", "split", "seed", "index", "family")


def write_samples(
    folder: Path,
    data: DatasetReader,
    rows: Sequence[int],
    places: Iterable[tuple[str, str, int]],
) -> None:
    """Write ``samples.csv``: which row of the data set is where in the export.

    Parameters
    ----------
    folder
        Where it is written.
    data, rows
        The data set and the rows of it that were exported, in order.
    places
        Files of the gathers and of the velocity of each, and its place in both.
    """
    splits, seeds, families = data.splits, data.seeds(rows), data.families(rows)
    with (folder / SAMPLES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, place, (seed, index), family in zip(rows, places, seeds, families, strict=True):
            writer.writerow([*place, row, SPLITS[splits[row]], seed, index, family])


def read_samples(folder: Path) -> dict[str, dict[int, tuple[int, str]]]:
    """Return what an exported folder tells of its models; nothing for any other folder.

    Returns
    -------
    dict
        For each velocity file, by place, the row of the data set and the family.
    """
    told: dict[str, dict[int, tuple[int, str]]] = {}
    if not (folder / MARKER).is_file():
        return told
    try:
        with (folder / SAMPLES).open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                places = told.setdefault(line["velocity"], {})
                places[int(line["place"])] = (int(line["row"]), line["family"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder / SAMPLES}: damaged, cannot be read ({error})") from None
    return told


def provenance(data: DatasetReader, rows: Sequence[int], kind: str) -> dict[str, Any]:
    """Return what ``export.json`` says: the data set, its grid, survey and sampling.

    Parameters
    ----------
    data, rows
        The data set and the rows of it that were exported.
    kind
        The format.
    """
    config, survey = data.config, data.read_survey(rows[0])
    return {
        "format": kind,
        "data_set": data.path.name,
        "data_identity": data.identity,
        "software": software_versions(),
        "samples": len(rows),
        "velocity_units": "m/s",
        "spacing_m": config.velocity.spacing,
        "time_step_s": config.survey.time_step,
        "survey_of_first_sample": {f"{name}_m": values.tolist() for name, values in survey.items()},
    }
