"""The folder of an export: it appears whole or not at all, and lists where every sample is."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seistomo import files
from seistomo.dataset.store import DatasetReader
from seistomo.dataset.store.schema import SPLITS, software_versions

MARKER = "export.json"
"""What tells an exported folder from any other; it says where the content comes from."""
SAMPLES = "samples.csv"
COLUMNS = ("gathers", "velocity", "place", "row", "split", "seed", "index", "family")


@contextmanager
def folder_written_whole(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path``; only an exported folder is ever replaced."""
    files.require_replaceable(path, overwrite, [MARKER], "an exported folder")
    with files.folder_written_whole(path) as folder:
        yield folder


def describe_export(
    folder: Path,
    data: DatasetReader,
    rows: Sequence[int],
    places: Iterable[tuple[str, str, int]],
    facts: Mapping[str, Any],
) -> None:
    """Write which row of the data set is where (``samples.csv``), and where all comes from.

    ``places`` are the files of gathers and velocity of each row and its place in both.
    """
    splits, seeds, families = data.splits, data.seeds(rows), data.families(rows)
    with (folder / SAMPLES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, place, (seed, index), family in zip(rows, places, seeds, families, strict=True):
            writer.writerow([*place, row, SPLITS[splits[row]], seed, index, family])
    config, survey = data.config, data.read_survey(rows[0])
    content = {
        "data_set": data.path.name,
        "data_identity": data.identity,
        "software": software_versions(),
        "samples": len(rows),
        "velocity_units": "m/s",
        "spacing_m": config.velocity.spacing,
        "time_step_s": config.survey.time_step,
        "survey_of_first_sample": {f"{name}_m": values.tolist() for name, values in survey.items()},
        **facts,
    }
    text = json.dumps(content, indent=2) + "\n"
    (folder / MARKER).write_text(text, encoding="utf-8")


def exported_spacing(folder: Path) -> float | None:
    """Return the spacing (m) that an exported folder notes; None for any other folder."""
    if not (folder / MARKER).is_file():
        return None
    return float(json.loads((folder / MARKER).read_text(encoding="utf-8"))["spacing_m"])


def exported_samples(folder: Path) -> dict[str, dict[int, tuple[int, str]]]:
    """Return row and family of each model by file and place; nothing for any other folder."""
    told: dict[str, dict[int, tuple[int, str]]] = {}
    if (folder / MARKER).is_file() and (folder / SAMPLES).is_file():
        with (folder / SAMPLES).open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                places = told.setdefault(line["velocity"], {})
                places[int(line["place"])] = (int(line["row"]), line["family"])
    return told
