"""What a refinement leaves: a record a sample, and from all of them scores, figures and a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seistomo import files
from seistomo.config.schema import toml_text
from seistomo.dataset import DatasetReader, write_predictions
from seistomo.dataset.describe import describe_dataset
from seistomo.evaluation import figures
from seistomo.evaluation.metrics import MISFITS, SCORES, ScoreTable
from seistomo.evaluation.prediction import mean_and_std, prediction_attributes
from seistomo.evaluation.report import (
    SCORE_ROWS,
    Comparison,
    ReportFigure,
    build_cases,
    choose_examples,
    environment_facts,
    render,
)
from seistomo.evaluation.uncertainty import SpreadTable
from seistomo.progress import counted
from seistomo.refinement.inversion import Inversion, Inverter
from seistomo.training import Run

START_WORDS = {
    "prediction": "starting from a network's predictions",
    "members": "starting from the predictions of an ensemble's members, each by itself",
    "mean": "starting from the mean training model",
    "smooth": "starting from the true models smoothed",
}
CSV = {"index": False, "float_format": "%.9g", "lineterminator": "\n"}
CONTENT = ("metrics.json", "refined.h5", "iterations.csv")
"""What tells a refinement from any other folder."""


def write_record(path: Path, starts: np.ndarray, found: Inversion) -> None:
    """Write what became of the starts [start, depth, x] of one sample, whole or not at all."""
    content = {
        "start": starts.astype(np.float32),
        "velocity": found.velocity,
        "facts": json.dumps({key: vars(found)[key] for key in vars(found) if key != "velocity"}),
    }
    with files.written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **content)


def read_record(path: Path) -> dict[str, Any]:
    """Return ``start`` and ``velocity`` [start, depth, x] and the facts of an `Inversion`."""
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
    means, ensembles = {}, {}
    for name, table in tables.items():
        each = np.stack([record[name] for record in records], axis=1)
        mean, std = mean_and_std(each)
        means[name] = mean
        table.add(mean, reference, rows, families)
        if len(each) > 1:
            spread = SpreadTable(*table.settings)
            spread.add(each, mean, std, reference)
            table.samples[spread.samples.columns] = spread.samples
            ensembles[name] = {"ensemble": spread.summary(table.samples, None)}
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
            **ensembles.get("start", {}),
        },
        **ensembles.get("velocity", {}),
        **work,
        "start_by_family": start["by_family"],
        "notices": {
            str(row): record["notices"]
            for row, record in zip(rows, records, strict=True)
            if record["notices"]
        },
        "split": request["split"],
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
    with files.folder_written_whole(out_dir) as folder:
        attributes = prediction_attributes(run, data, request["checkpoint"])
        velocity = zip(mean, std, strict=True)
        write_predictions(folder / "refined.h5", velocity, rows, data.depth, data.x, attributes)
        text = json.dumps(metrics, indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        samples.to_csv(folder / "samples.csv", **CSV)
        _write_report(folder, paths, run, data, metrics, tables, means, records)
        history.to_csv(folder / "iterations.csv", **CSV)
    return metrics


def _write_report(
    folder: Path,
    paths: tuple[Path, Path, Path],
    run: Run,
    data: DatasetReader,
    metrics: dict[str, Any],
    tables: dict[str, ScoreTable],
    means: dict[str, np.ndarray],
    records: Sequence[dict[str, Any]],
) -> None:
    """Write ``figures/`` and ``report.html``."""
    (folder / "figures").mkdir()
    before, after = (
        {score: tables[name].column(score) for score in ("rmse", "ssim", "mse")}
        for name in ("start", "velocity")
    )
    settings = metrics["request"]["refinement"]
    words = START_WORDS.get(settings["start"], f"starting from {settings['start']}")
    examples = choose_examples(after["ssim"], tables["velocity"].column("salt_iou"))
    rows = list(examples.values())
    indices = tables["velocity"].samples["index"].to_numpy()[rows]
    models = {"Start": means["start"][rows], "Refined": means["velocity"][rows]}
    threshold = run.config.evaluation.salt_threshold
    cases = build_cases(data, list(examples), indices, models, threshold)
    tables_of = (pd.DataFrame(record["history"]).groupby("member") for record in records)
    histories = [history for grouped in tables_of for _, history in grouped]
    columns = [{name: h[name].to_numpy() for name in h} for h in histories]
    scores = {
        "RMSE (m/s)": (before["rmse"], after["rmse"]),
        "SSIM": (before["ssim"], after["ssim"]),
    }
    drawn = {
        "models": figures.predictions_figure(cases, data.depth, data.x, difference=True),
        "inversion": figures.inversion_figure(columns, scores),
    }
    saved = {
        name: figures.save(figure, folder / "figures" / f"{name}.png")
        for name, figure in drawn.items()
    }
    mse, ssim = (Comparison(score, after[score], before[score]) for score in ("mse", "ssim"))
    total = counted(len(records), "sample")
    wins = f"in {mse.better} of {total} by RMSE, in {ssim.better} by SSIM"
    clear = mse.clear + ssim.clear
    kind = "good" if clear == 2 else "unclear" if mse.gain > 0 or ssim.gain > 0 else "bad"
    headline = {
        "good": f"The refined models are nearer to the truth than the start: {wins}.",
        "unclear": f"The refined models are not clearly nearer to the truth (nearer {wins}).",
        "bad": f"The refined models are further from the truth than the start (nearer {wins}).",
    }[kind]
    start = metrics["start"]
    details = [
        f"RMSE {start['rmse']:.0f} to {metrics['rmse']:.0f} m/s, SSIM {start['ssim']:.3f} to"
        f" {metrics['ssim']:.3f}.",
        f"Misfit of far traces {start['data_misfit_far']:.3g} to {metrics['data_misfit_far']:.3g}:"
        " it proves nothing alone, for a model that skipped cycles has a small one, too.",
        f"{metrics['solves']:.0f} solves of the wave equation for the whole survey and"
        f" {metrics['seconds']:.1f} s a sample.",
    ]
    if metrics["notices"]:
        count = counted(len(metrics["notices"]), "sample")
        details.append(f"Of {count} the gathers speak against the result: see below.")
    page = render(
        "refinement.html.jinja",
        title=f"Refinement of {paths[0].name} on {paths[1].name}",
        metrics=metrics,
        settings=settings,
        starts=metrics["start_by_family"],
        start_words=words,
        kind=kind,
        headline=headline,
        details=details,
        candidates=[
            ("Start", start),
            ("Refined", metrics),
            ("Mean training model", metrics["baseline"]),
            ("Own lateral mean (oracle)", metrics["oracle_1d"]),
        ],
        score_rows=SCORE_ROWS,
        figures=[
            ReportFigure(
                saved["models"],
                "Reference, start, refined and difference",
                "Velocity models side by side, a row a sample.",
                "Best, median and worst refined sample by SSIM, and one with salt. All models share"
                " one colour scale; in the differences red is too fast, blue too slow. The outline"
                " is the true salt.",
            ),
            ReportFigure(
                saved["inversion"],
                "Misfit, and scores before and after",
                f"Misfit of each sample against solves of the wave equation, and RMSE and SSIM:"
                f" better {wins}.",
                "Each stage begins anew: its band holds more frequencies. On the dashed line"
                " nothing has changed.",
            ),
        ],
        origin=[
            describe_dataset(data.path),
            toml_text({"refinement": settings}),
            environment_facts(),
        ],
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
