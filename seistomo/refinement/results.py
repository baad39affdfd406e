"""What a refinement leaves: a record a sample, and from all of them scores, figures and a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seistomo import files
from seistomo.dataset import DatasetReader, write_predictions
from seistomo.evaluation.metrics import MISFITS, SCORES, ScoreTable
from seistomo.evaluation.prediction import prediction_attributes
from seistomo.refinement.inversion import Inversion, Inverter
from seistomo.training import Run

CONTENT = ("metrics.json", "refined.h5", "iterations.csv")
"""What tells a refinement from any other folder."""


def write_record(path: Path, start: np.ndarray, found: Inversion) -> None:
    """Write what became of one sample, whole or not at all."""
    content = {
        "start": start.astype(np.float32),
        "velocity": found.velocity,
        "facts": json.dumps({key: vars(found)[key] for key in vars(found) if key != "velocity"}),
    }
    with files.written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **content)


def read_record(path: Path) -> dict[str, Any]:
    """Return a record: ``start``, ``velocity`` and the facts of an `Inversion` by name."""
    with np.load(path, allow_pickle=False) as held:
        facts = json.loads(str(held["facts"]))
        return {"start": held["start"], "velocity": held["velocity"], **facts}


def collect(
    out_dir: Path,
    paths: tuple[Path, Path, Path],
    run: Run,
    data: DatasetReader,
    rows: np.ndarray,
    records: Sequence[dict[str, Any]],
    request: dict[str, Any],
    inverter: Inverter,
) -> dict[str, Any]:
    """Write ``out_dir`` from the records of all its samples; return the metrics."""
    bounds, threshold = data.config.velocity, run.config.evaluation.salt_threshold
    tables = {
        name: ScoreTable(
            run.normalization.mean_velocity, bounds.maximum - bounds.minimum, threshold
        )
        for name in ("start", "velocity")
    }
    reference, families = data.read_velocity(rows), data.families(rows)
    for name, table in tables.items():
        table.add(np.stack([record[name] for record in records]), reference, rows, families)
    start, refined = tables["start"].summary(), tables["velocity"].summary()
    facts = {
        f"{moment}{key}": float(np.mean([record[key][place] for record in records]))
        for key in MISFITS
        for place, moment in enumerate(("start_", ""))
    }
    work = {key: float(np.mean([r[key] for r in records])) for key in ("solves", "seconds")}
    metrics = {
        **refined,
        "data_misfit": facts["data_misfit"],
        "data_misfit_far": facts["data_misfit_far"],
        "start": {
            **{key: start[key] for key in (*SCORES, "loss")},
            "data_misfit": facts["start_data_misfit"],
            "data_misfit_far": facts["start_data_misfit_far"],
        },
        **work,
        "notices": {
            str(row): record["notices"]
            for row, record in zip(rows, records, strict=True)
            if record["notices"]
        },
        "stages": list(inverter.stages),
        "request": request,
    }
    samples = tables["velocity"].samples[["index", "family", "salt_fraction", *SCORES]].copy()
    for score in SCORES:
        samples[f"start_{score}"] = tables["start"].column(score)
    for place, moment in enumerate(("start_", "")):
        for key in MISFITS:
            samples[moment + key] = [record[key][place] for record in records]
    for key in ("solves", "seconds"):
        samples[key] = [record[key] for record in records]
    samples["notices"] = ["; ".join(record["notices"]) for record in records]
    history = pd.concat(
        [
            pd.DataFrame(record["history"]).assign(sample=int(row))
            for row, record in zip(rows, records, strict=True)
        ],
        ignore_index=True,
    )
    history = history[["sample", *history.columns.drop("sample")]]
    csv = {"index": False, "float_format": "%.9g", "lineterminator": "\n"}
    with files.folder_written_whole(out_dir) as folder:
        attributes = prediction_attributes(run, data, request["checkpoint"])
        velocity = (record["velocity"] for record in records)
        write_predictions(folder / "refined.h5", velocity, rows, data.depth, data.x, attributes)
        text = json.dumps(metrics, indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        samples.to_csv(folder / "samples.csv", **csv)
        history.to_csv(folder / "iterations.csv", **csv)
    return metrics
