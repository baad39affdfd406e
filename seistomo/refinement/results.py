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
from seistomo.dataset.exchange import RecordedShots
from seistomo.dataset.exchange.segy import write_section
from seistomo.evaluation import figures
from seistomo.evaluation.metrics import MISFITS, SCORES, ScoreTable
from seistomo.evaluation.misfit import Example, offset_taper
from seistomo.evaluation.own_gathers import drawn_beside_training
from seistomo.evaluation.prediction import mean_and_std, prediction_attributes, read_gathers
from seistomo.evaluation.report import (
    Comparison,
    build_cases,
    choose_examples,
    environment_facts,
    write_page,
)
from seistomo.evaluation.scoring import CSV
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
# Of gathers of one's own so many samples are drawn.
MOST_SHOWN = 4
# A figure, its title and what it shows.
Drawing = tuple[figures.Figure, str, str]
CONTENT = ("metrics.json", "refined.h5", "iterations.csv")
"""What tells a refinement from any other folder."""


def write_record(path: Path, starts: np.ndarray, found: Inversion) -> None:
    """Write what became of the starts [start, depth, x] of one sample, whole or not at all."""
    content = {"start": starts.astype(np.float32), "velocity": found.velocity, "shot": found.shot}
    facts = {key: value for key, value in vars(found).items() if key not in content}
    with files.written_whole(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **content, facts=json.dumps(facts))


def read_record(path: Path) -> dict[str, Any]:
    """Return ``start``, ``velocity`` and ``shot`` [start, ...] and the facts of an `Inversion`."""
    with np.load(path, allow_pickle=False) as held:
        content = dict(held)
    return {**content, **json.loads(str(content.pop("facts")))}


def collect(
    out_dir: Path,
    run: Run,
    data: DatasetReader | RecordedShots,
    rows: np.ndarray,
    records: Sequence[dict[str, Any]],
    request: dict[str, Any],
    inverter: Inverter,
) -> dict[str, Any]:
    """Write ``out_dir`` from the records of all its samples; return the metrics."""
    models = {
        name: mean_and_std(np.stack([record[name] for record in records], axis=1))
        for name in ("start", "velocity")
    }
    means = {name: mean for name, (mean, _) in models.items()}
    misfits = [
        {key: float(np.mean([record[key][place] for record in records])) for key in MISFITS}
        for place in (0, 1)
    ]
    own, tables, scores = isinstance(data, RecordedShots), {}, {"start": {}, "velocity": {}}
    samples = pd.DataFrame({"index": rows})
    if not own:
        tables, scores = _score(run, data, rows, records, models)
        columns = ["index", "family", "salt_fraction", *SCORES]
        samples = tables["velocity"].samples[columns].copy()
        for score in SCORES:
            samples[f"start_{score}"] = tables["start"].column(score)
    for place, moment in enumerate(("start_", "")):
        for key in MISFITS:
            samples[moment + key] = [record[key][place] for record in records]
    for key in ("solves", "seconds"):
        samples[key] = [record[key] for record in records]
    samples["notices"] = ["; ".join(record["notices"]) for record in records]
    pairs = list(zip(rows, records, strict=True))
    metrics = {
        "samples": len(records),
        **scores["velocity"],
        **misfits[1],
        "start": {**scores["start"], **misfits[0]},
        **{key: float(samples[key].mean()) for key in ("solves", "seconds")},
        "notices": {str(row): record["notices"] for row, record in pairs if record["notices"]},
        "said": data.said if own else [],
        "split": request["split"],
        "stages": list(inverter.stages),
        "request": request,
    }
    history = pd.concat(
        [pd.DataFrame(record["history"]).assign(sample=int(row)) for row, record in pairs],
        ignore_index=True,
    )
    history = history[["sample", *history.columns.drop("sample")]]
    with files.folder_written_whole(out_dir) as folder:
        attributes = prediction_attributes(run, data, request["checkpoint"])
        velocity = zip(*models["velocity"], strict=True)
        write_predictions(folder / "refined.h5", velocity, rows, data.depth, data.x, attributes)
        if own and len(rows) == 1:
            text = [f"REFINED FROM RUN {run.path.name}", f"FROM THE GATHERS OF {data.path.name}"]
            places = data.lines[rows[0]].places(data.x)
            spacing = run.config.velocity.spacing
            write_section(folder / "refined.segy", means["velocity"][0], *places, spacing, text)
        text = json.dumps(metrics, indent=2, allow_nan=False)
        (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
        samples.to_csv(folder / "samples.csv", **CSV)
        _write_report(folder, run, data, rows, metrics, tables, means, records)
        history.to_csv(folder / "iterations.csv", **CSV)
    return metrics


def _score(
    run: Run,
    data: DatasetReader,
    rows: np.ndarray,
    records: Sequence[dict[str, Any]],
    models: dict[str, Any],
) -> tuple[dict[str, ScoreTable], dict[str, dict[str, Any]]]:
    """Return the scores of starts and results: a row a sample, and over all samples."""
    bounds, threshold = data.config.velocity, run.config.evaluation.salt_threshold
    reference, families, tables, scores = data.read_velocity(rows), data.families(rows), {}, {}
    for name, (mean, std) in models.items():
        table = ScoreTable(
            run.normalization.mean_velocity, bounds.maximum - bounds.minimum, threshold
        )
        table.add(mean, reference, rows, families)
        scores[name] = table.summary()
        each = np.stack([record[name] for record in records], axis=1)
        if len(each) > 1:
            spread = SpreadTable(*table.settings)
            spread.add(each, mean, std, reference)
            table.samples[spread.samples.columns] = spread.samples
            scores[name]["ensemble"] = spread.summary(table.samples, None)
        tables[name] = table
    for key in ("baseline", "oracle_1d"):
        del scores["start"][key]
    return tables, scores


def _write_report(
    folder: Path,
    run: Run,
    data: DatasetReader | RecordedShots,
    rows: np.ndarray,
    metrics: dict[str, Any],
    tables: dict[str, ScoreTable],
    means: dict[str, np.ndarray],
    records: Sequence[dict[str, Any]],
) -> None:
    """Write ``figures/`` and ``report.html``; without ``tables`` nobody knows the true models."""
    settings, start = metrics["request"]["refinement"], metrics["start"]
    candidates, scores = {"Refined": metrics, "Start": start}, {}
    if tables:
        before, after = (
            {score: tables[name].column(score) for score in ("rmse", "ssim", "mse", "salt_iou")}
            for name in ("start", "velocity")
        )
        names = {"rmse": "RMSE (m/s)", "ssim": "SSIM"}
        scores = {name: (before[score], after[score]) for score, name in names.items()}
        candidates["Mean training model"] = metrics["baseline"]
        candidates["Own lateral mean (oracle)"] = metrics["oracle_1d"]
        examples = choose_examples(after["ssim"], after["salt_iou"])
        shown = list(examples.values())
        threshold = run.config.evaluation.salt_threshold
        drawn = {"models": _models_beside_truth(data, rows, means, examples, threshold)}
        kind, headline = _judged(before, after)
    else:
        shown = list(range(len(rows)))[:MOST_SHOWN]
        gathers = (
            drawn_beside_training(run, data),
            "Gathers beside the training data's",
            "Black must lie where black lies, and the wave along the surface come as early.",
        )
        drawn = {"gathers": gathers, "models": _models_alone(data, rows, means, shown)}
        fell = metrics["data_misfit_far"] < start["data_misfit_far"]
        kind = "unclear" if fell else "bad"
        headline = f"The refined models explain the gathers {'better' if fell else 'no better'}."
    drawn["misfit_gathers"] = _shots(data, rows, records, shown, metrics["request"])
    drawn["inversion"] = _histories(records, scores)
    write_page(
        "refinement.html.jinja",
        folder,
        drawn,
        metrics,
        title=f"Refinement of {run.path.name} on {data.path.name}",
        settings=settings,
        start_words=START_WORDS.get(settings["start"], f"starting from {settings['start']}"),
        kind=kind,
        headline=headline,
        details=_details(metrics),
        candidates=list(candidates.items()),
        origin=[
            describe_dataset(data.path) if tables else f"{data.path}: {data.identity}",
            toml_text({"refinement": settings}),
            environment_facts(),
        ],
    )


def _models_beside_truth(
    data: DatasetReader,
    rows: np.ndarray,
    means: dict[str, np.ndarray],
    examples: dict[str, int],
    threshold: float,
) -> Drawing:
    shown = list(examples.values())
    models = {"Start": means["start"][shown], "Refined": means["velocity"][shown]}
    cases = build_cases(data, list(examples), rows[shown], models, threshold)
    return (
        figures.predictions_figure(cases, data.depth, data.x, difference=True),
        "Reference, start, refined and difference",
        "Best, median and worst refined sample by SSIM, and one with salt. All models share one"
        " colour scale; in the differences red is too fast, blue too slow. The outline is the true"
        " salt.",
    )


def _models_alone(
    data: RecordedShots, rows: np.ndarray, means: dict[str, np.ndarray], shown: list[int]
) -> Drawing:
    models = [means[name][place] for place in shown for name in ("start", "velocity")]
    names = [f"{rows[place]}: {name}" for place in shown for name in ("start", "refined")]
    surveys = [data.read_survey(rows[place]) for place in shown for _ in range(2)]
    return (
        figures.models_figure(np.stack(models), data.depth, data.x, names, surveys),
        "Start and refined",
        "On one colour scale.",
    )


def _shots(
    data: DatasetReader | RecordedShots,
    rows: np.ndarray,
    records: Sequence[dict[str, Any]],
    shown: list[int],
    request: dict[str, Any],
) -> Drawing:
    cases = []
    for place in shown:
        row, record = rows[place], records[place]
        gathers = read_gathers(data, rows[place : place + 1], request["noise_snr"])[0]
        source, survey = len(gathers) // 2, data.read_survey(row)
        # As they count: near traces depend on the grid.
        near = request["refinement"]["near_offset"]
        taper = offset_taper(survey, near)[source, :, None]
        begun, ended = record["shot"][0] * taper
        ends = " to ".join(f"{misfit:.3g}" for misfit in record["data_misfit_far"])
        ends += ", the first member's gathers" * (len(record["shot"]) > 1)
        example = Example(row, source, survey, gathers[source] * taper, ended, begun)
        cases.append((f"Sample {row}: misfit {ends}", example))
    return (
        figures.misfit_gathers_figure(cases, data.time, "start"),
        "A shot: recorded, over the refined model, and what is left unexplained",
        "The middle shot of the samples above, each on one grey scale; traces near the source left"
        " out, as in the inversion.",
    )


def _histories(records: Sequence[dict[str, Any]], scores: dict[str, Any]) -> Drawing:
    grouped = [pd.DataFrame(record["history"]).groupby("member") for record in records]
    histories = [history for members in grouped for _, history in members]
    columns = [{name: history[name].to_numpy() for name in history} for history in histories]
    return (
        figures.inversion_figure(columns, scores),
        "Misfit, and scores before and after" if scores else "Misfit",
        "Each stage begins anew: its band holds more frequencies."
        + " On the dashed line nothing has changed." * bool(scores),
    )


def _details(metrics: dict[str, Any]) -> list[str]:
    start, details = metrics["start"], []
    if "rmse" in metrics:
        details.append(
            f"RMSE {start['rmse']:.0f} to {metrics['rmse']:.0f} m/s, SSIM {start['ssim']:.3f} to"
            f" {metrics['ssim']:.3f}."
        )
    details += [
        f"Misfit of far traces {start['data_misfit_far']:.3g} to {metrics['data_misfit_far']:.3g}:"
        " it proves nothing alone, for a model that skipped cycles has a small one, too.",
        f"{metrics['solves']:.0f} solves of the wave equation for the whole survey and"
        f" {metrics['seconds']:.1f} s a sample.",
        *metrics["said"],
    ]
    if metrics["notices"]:
        count = counted(len(metrics["notices"]), "sample")
        details.append(f"Of {count} the gathers speak against the result: see below.")
    return details


def _judged(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> tuple[str, str]:
    """Return whether results are nearer to the truth than their starts: a kind and a sentence."""
    mse, ssim = (Comparison(score, after[score], before[score]) for score in ("mse", "ssim"))
    total = counted(len(after["mse"]), "sample")
    wins = f"in {mse.better} of {total} by RMSE, in {ssim.better} by SSIM"
    if mse.clear and ssim.clear:
        return "good", f"The refined models are nearer to the truth than the start: {wins}."
    if mse.gain > 0 or ssim.gain > 0:
        return "unclear", f"The refined models are not clearly nearer to the truth (nearer {wins})."
    return "bad", f"The refined models are further from the truth than the start (nearer {wins})."
