"""Waveform inversion from a run's predictions beside classical inversion: a row a refinement."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seistomo.dataset import open_dataset, read_predictions
from seistomo.device import choose_device, torch_settings
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.prediction import read_gathers
from seistomo.evaluation.report import build_cases, choose_examples
from seistomo.experiments import records
from seistomo.experiments.conditions import Case
from seistomo.experiments.generalization import Scoring, plan, prepared
from seistomo.experiments.machine import describe_machine, machine_line
from seistomo.experiments.study import MethodEntry, Study
from seistomo.experiments.tables import NOTHING, markdown_table, mean_deviation, number, spread
from seistomo.files import write_text
from seistomo.progress import say
from seistomo.refinement import refine
from seistomo.refinement.refine import Starts, run_settings

NUMBERS = "refinement.json"
HEADINGS = (
    *("start, method", "samples", "RMSE, m/s", "SSIM", "salt IoU", "misfit", "solves"),
    *("s", "worse: RMSE", "SSIM", "noticed", "to the first row's misfit"),
)
# A method has got to the reference's misfit at so many times it.
NEAR = 1.05
READING = f"""
- start → refined, mean ± standard deviation over samples; **RMSE** is over all pixels and
  samples; **salt IoU** over the samples that hold salt. **misfit**: of traces that are not near
  their source, on the inversion's grid; 1 for gathers of zeros.
- **solves** of the wave equation for a sample's whole survey, and seconds, a sample.
- **worse**: samples that are further from the truth than their start, by RMSE and by SSIM;
  **noticed**: so many of all samples `refine` warned of, which does not know the truth, and so
  many of those that are worse by either score.
- **to the first row's misfit**: solves and seconds, in the median, to {NEAR:g} times the misfit
  that the first row ended at (highest stage), and how many samples got there.
"""


@dataclass(frozen=True)
class Row:
    """A refinement that is there."""

    entry: MethodEntry
    case: Case
    path: Path

    @cached_property
    def samples(self) -> pd.DataFrame:
        return pd.read_csv(self.path / "samples.csv")

    @cached_property
    def history(self) -> pd.DataFrame:
        return pd.read_csv(self.path / "iterations.csv")

    def numbers(self, first: "Row | None") -> dict[str, Any]:
        """Return what the table shows; beside the misfits that another row ended at, if any."""
        metrics, samples = records.read_json(self.path / "metrics.json"), self.samples
        scores = ("rmse", "ssim", "salt_iou", "data_misfit_far")
        worse_rmse = samples["rmse"] > samples["start_rmse"]
        worse_ssim = samples["ssim"] < samples["start_ssim"]
        noticed, worse = samples["notices"].notna(), worse_rmse | worse_ssim
        counts = {
            "worse_rmse": worse_rmse,
            "worse_ssim": worse_ssim,
            "worse": worse,
            "noticed": noticed,
            "worse_noticed": worse & noticed,
        }
        return {
            "name": self.entry.name,
            "condition": self.case.name,
            **{key: metrics[key] for key in ("samples", *scores, "solves", "seconds")},
            **{f"start_{key}": metrics["start"][key] for key in scores},
            **{key: int(mask.sum()) for key, mask in counts.items()},
            "reached": None if first is None else self._reached(first),
        }

    def _reached(self, first: "Row") -> list[tuple[float, float]]:
        """Return solves and seconds of each sample that came near the other's misfit."""
        ends = first.history.groupby("sample")["misfit"].last()
        last = self.history[self.history["stage"] == self.history["stage"].max()]
        near = last[last["misfit"] <= NEAR * last["sample"].map(ends)]
        return list(
            near.groupby("sample")[["solves", "seconds"]].first().itertuples(index=False, name=None)
        )


def compare_inversions(
    study: Study, run_dir: Path, out: Path, overwrite: bool = False, command: str = ""
) -> str:
    """Refine a run's test samples as the study's methods say; write and return the page.

    Each method is a refinement in ``OUT/runs``: the same call goes on where it was interrupted.
    What is observed is shot anew over the test split's models, under each condition.
    """
    known = [condition.name for condition in study.conditions]
    for entry in study.methods:
        if entry.problem.get("condition") not in known:
            raise InputError(
                f"study {study.name}: methods: {entry.name}: problem.condition must be one of"
                f" {', '.join(known)}"
            )
    scoring = prepared(study, run_dir, out, overwrite)
    settings = scoring.settings
    with torch_settings(choose_device(settings.device), settings.threads, study.first_seed):
        foot = machine_line(describe_machine(settings.device, settings.threads))
        foot += f"\n\n`{command}`" if command else ""
        planned, skipped = plan(scoring)
        cases = {case.name: case for case in planned[1:]}
        for entry in study.trained:
            case = cases.get(entry.problem["condition"])
            if case is None:
                say(f"{entry.name}: left out, its condition cannot be simulated")
                continue
            say(f"{entry.name}: {entry.label}, {case.condition.label}")
            data = _observed(scoring, case, cases)
            with open_dataset(data) as stored:
                samples = min(entry.problem.get("samples", study.samples), stored.samples)
            refine(
                run_dir,
                data,
                out / records.RUNS / entry.name,
                overrides=_overrides(entry),
                split="all",
                samples=samples,
                noise_snr=case.condition.noise_snr,
                device=settings.device,
                resume=True,
            )
            rows = _rows(study, cases, out)
            write_text(out / "index.md", _page(scoring, rows, skipped, foot))
        _draw(scoring, _rows(study, cases, out), cases)
    return (out / "index.md").read_text(encoding="utf-8")


def _overrides(entry: MethodEntry) -> list[str]:
    return [f"refinement.{key}={json.dumps(value)}" for key, value in entry.options.items()]


def _observed(scoring: Scoring, case: Case, cases: Mapping[str, Case]) -> Path:
    """Return the data set that a condition's gathers are read from; noise is added then."""
    like = (
        one
        for one in cases.values()
        if (one.settings, one.condition.crops) == (case.settings, case.condition.crops)
    )
    return scoring.make(next(like))


def _rows(study: Study, cases: Mapping[str, Case], out: Path) -> list[Row]:
    """Return the refinements that are there, a condition after the other."""
    folders = {entry.name: out / records.RUNS / entry.name for entry in study.methods}
    return [
        Row(entry, case, folders[entry.name])
        for case in cases.values()
        for entry in study.methods
        if entry.problem["condition"] == case.name
        and (folders[entry.name] / "samples.csv").is_file()
    ]


def _page(scoring: Scoring, rows: Sequence[Row], skipped: Mapping[str, str], foot: str) -> str:
    study, lines, found, group = scoring.study, [list(HEADINGS)], [], None
    first = next((row for row in rows if row.entry.name == study.reference), None)
    for row in rows:
        if row.case is not group:
            group = row.case
            lines.append([f"**{group.condition.label}**", *[""] * (len(HEADINGS) - 1)])
        numbers = row.numbers(first if first and first.case is group else None)
        found.append(numbers)
        lines.append(_cells(row, numbers))
    content = {"run": scoring.run.path.resolve().name, "foot": foot, "rows": found}
    records.write_json(scoring.out / NUMBERS, content)
    left_out = "".join(f"- {label}: left out, {why}.\n" for label, why in skipped.items())
    return (
        f"# {study.title}: {scoring.run.path.resolve().name}\n\n{markdown_table(lines)}{READING}"
        f"{left_out}\n![Reference, starts and what inversion made of them](models.png)\n\n{foot}\n"
    )


def _cells(row: Row, found: Mapping[str, Any]) -> list[str]:
    samples, total = row.samples, found["samples"]

    def change(key: str, digits: int) -> str:
        ends = [number(found[moment + key], digits) for moment in ("start_", "")]
        return f"{' → '.join(ends)} ± {spread(samples[key].dropna().tolist()):.{digits}f}"

    reached = NOTHING
    if found["reached"]:
        solves, seconds = np.median(found["reached"], axis=0)
        reached = f"{solves:.0f}, {seconds:.0f} s"
    if found["reached"] is not None:
        reached += f" ({len(found['reached'])} of {total})"
    salt = found["salt_iou"] is not None
    return [
        row.entry.label,
        str(total),
        change("rmse", 0),
        change("ssim", 3),
        change("salt_iou", 2) if salt else NOTHING,
        change("data_misfit_far", 4),
        f"{found['solves']:.0f}",
        mean_deviation(samples["seconds"].tolist(), 0),
        f"{found['worse_rmse']} of {total}",
        str(found["worse_ssim"]),
        f"{found['noticed']}; {found['worse_noticed']} of {found['worse']}",
        reached,
    ]


def _draw(scoring: Scoring, rows: Sequence[Row], cases: Mapping[str, Case]) -> None:
    """Draw some samples: the starts, and the reference's and classical inversion's results."""
    by_name = {row.entry.name: row for row in rows}
    network = by_name.get(scoring.study.reference)
    if network is None:
        return
    classical = next(
        (r for r in rows if r.case is network.case and r.entry.options["start"] == "mean"), None
    )
    scores = network.samples
    chosen = choose_examples(scores["ssim"].to_numpy(), scores["salt_iou"].to_numpy())
    indices = scores["index"].to_numpy()[list(chosen.values())]
    shown = {}
    with open_dataset(_observed(scoring, network.case, cases)) as data:
        for name, row in (("Mean model", classical), ("Network", network)):
            if row is None:
                continue
            refined, rows_there, _ = read_predictions(row.path / "refined.h5")
            places = {int(at): place for place, at in enumerate(rows_there)}
            if not all(int(at) in places for at in indices):
                continue
            starts = Starts(scoring.run, data, run_settings(scoring.run, _overrides(row.entry)))
            snr = row.case.condition.noise_snr
            shown[name] = np.stack(
                [
                    starts.of(int(at), read_gathers(data, [at], snr)[0], data.read_survey(at))[0]
                    for at in indices
                ]
            )
            shown[f"{name} + inversion"] = refined[[places[int(at)] for at in indices]]
        threshold = scoring.run.config.evaluation.salt_threshold
        examples = build_cases(data, list(chosen), indices, shown, threshold)
        figure = figures.predictions_figure(examples, data.depth, data.x)
    figures.save(figure, scoring.out / "models.png")
