"""The folder of an export lists where every sample is."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seistomo.dataset import DatasetReader, VelocityReader
from seistomo.dataset.store.schema import SPLITS, software_versions

MARKER = "export.json"
"""What tells an exported folder from any other; it says where the content comes from."""
SAMPLES = "samples.csv"
COLUMNS = ("gathers", "velocity", "place", "row", "split", "seed", "index", "family")


def describe_export(
    folder: Path,
    data: VelocityReader,
    rows: Sequence[int],
    places: Iterable[tuple[str, str, int]],
    facts: Mapping[str, Any],
) -> None:
    """Write which row of the data set is where (``samples.csv``), and where all comes from.

    ``places`` are the files of gathers and velocity of each row and its place in both.
    """
    drawn, survey = [("", "", "")] * len(rows), {}
    if isinstance(data, DatasetReader):
        splits = (SPLITS[split] for split in data.splits[rows])
        drawn = [(split, *seed) for split, seed in zip(splits, data.seeds(rows), strict=True)]
        first = data.read_survey(rows[0])
        survey["time_step_s"] = data.config.survey.time_step
        survey["survey_of_first_sample"] = {f"{k}_m": v.tolist() for k, v in first.items()}
    with (folder / SAMPLES).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for place, row, told, family in zip(places, rows, drawn, data.families(rows), strict=True):
            writer.writerow([*place, row, *told, family])
    content = {
        "data_set": data.path.name,
        "data_identity": data.identity,
        "software": software_versions(),
        "samples": len(rows),
        "velocity_units": "m/s",
        "spacing_m": data.spacing,
        **survey,
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
