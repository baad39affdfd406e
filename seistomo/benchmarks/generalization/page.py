"""Table, page and numbers of the benchmark."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from seistomo.benchmarks.generalization.conditions import GROUPS, SAME_MODELS, Skipped
from seistomo.benchmarks.generalization.folder import (
    MODELS_FIGURE,
    NUMBERS,
    PAGE,
    SCORES_FIGURE,
    ResultFolder,
)
from seistomo.benchmarks.generalization.scoring import ConditionScores
from seistomo.benchmarks.machine import machine_line
from seistomo.benchmarks.tables import NOTHING, format_table
from seistomo.files import written_whole

HEADINGS = (
    "condition",
    "models",
    "samples",
    "loss, 10⁸ (m/s)²",
    "RMSE, m/s",
    "SSIM",
    "salt IoU",
    "mean model: RMSE",
    "SSIM",
    "lateral mean: RMSE",
    "skill",
    "change of SSIM",
)

READING = """
- **RMSE** is over all pixels and samples; **SSIM** is mean ± standard deviation over samples;
  **loss** is Eq. 9 of the SQGN paper; **salt IoU** is over the samples that hold salt
  (docs/evaluation.md defines them).
- **mean model** is the mean of the models that this run was trained on, the same guess in every
  row. **skill** is 1 − MSE / MSE of the mean model: 1 is perfect, 0 no better than that guess,
  below 0 worse.
- **lateral mean** is each true model averaged over x: the best 1D earth, known to nobody
  beforehand. A prediction with a lower RMSE has recovered structure that varies sideways.
- **models** "same": those of the first row, in the same order, so that the difference is the
  condition's; **change of SSIM** is taken sample by sample, ± its standard error. "new": other
  models, easier or harder by themselves; compare them with the mean model, not with the first row.
"""


def write_results(
    folder: ResultFolder,
    results: Sequence[ConditionScores],
    skipped: Sequence[Skipped],
    facts: dict[str, Any],
) -> str:
    """Write page and numbers, and return the page.

    Parameters
    ----------
    folder
        Where they belong.
    results
        Scores in the table's order, the reference first.
    skipped
        What was left out.
    facts
        About run, samples, machine and command; JSON-able.
    """
    page = build_page(results, skipped, facts)
    content = {
        **facts,
        "conditions": [_record(scores, results[0]) for scores in results],
        "skipped": [asdict(condition) for condition in skipped],
    }
    numbers = json.dumps(content, indent=1, allow_nan=False) + "\n"
    for name, text in ((NUMBERS, numbers), (PAGE, page)):
        with written_whole(folder.path / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return page


def build_page(
    results: Sequence[ConditionScores], skipped: Sequence[Skipped], facts: dict[str, Any]
) -> str:
    """Return the page, Markdown."""
    run = facts["run"]
    trained = ", ".join(run["families"]) or "imported models"
    first = (
        "the run's own test split, and the rows of the same models are of it"
        if facts["own_test_split"]
        else "new models of the run's own configuration: its data set was not given"
    )
    page = (
        f"# Generalization of {run['name']}\n\n"
        f"Network {run['network']}, optimizer {run['optimizer']}, epoch {run['epoch']}, trained on"
        f" {trained} (data set {run['data_identity']}). The first row is {first}. Other data keep"
        " the run's grid, bounds, survey and simulation but for what the row says; seed"
        f" {facts['seed']}.\n\n{format_table(list(_lines(results)))}{READING}"
    )
    notes = _together((scores.label, scores.note) for scores in results if scores.note)
    notes += _together((one.label, f"left out, {one.reason}") for one in skipped)
    if notes:
        page += "\n" + "\n".join(notes) + "\n"
    return (
        f"{page}\n![Scores by condition]({SCORES_FIGURE})\n\n"
        f"![Reference, prediction and difference under some conditions]({MODELS_FIGURE})\n\n"
        f"{machine_line(facts['machine'])}\n\n`{facts['command']}`\n"
    )


def _lines(results: Sequence[ConditionScores]) -> Iterator[list[str]]:
    """Yield headings and rows, a bold line before each group."""
    yield list(HEADINGS)
    group = None
    for scores in results:
        if scores.group != group:
            group = scores.group
            yield [f"**{GROUPS[group]}**", *[""] * (len(HEADINGS) - 1)]
        yield _cells(scores, results[0])


def _cells(scores: ConditionScores, reference: ConditionScores) -> list[str]:
    found, baseline = scores.summary, scores.summary["baseline"]
    iou = found["salt_iou"]
    change = NOTHING
    if scores.group in SAME_MODELS and scores is not reference:
        mean, error = scores.change_from(reference, "ssim")
        change = f"{_signed(mean, 3)}{_plus_minus(error)}"
    return [
        scores.label,
        "same" if scores.group in SAME_MODELS else "new",
        str(found["samples"]),
        f"{found['loss'] / 1e8:.3g}",
        f"{found['rmse']:.0f}",
        f"{found['ssim']:.3f}{_plus_minus(scores.deviation('ssim'))}",
        NOTHING if iou is None else f"{iou:.2f}",
        f"{baseline['rmse']:.0f}",
        f"{baseline['ssim']:.3f}",
        f"{found['oracle_1d']['rmse']:.0f}",
        _signed(scores.skill, 2),
        change,
    ]


def _plus_minus(value: float | None) -> str:
    return "" if value is None else f" ± {value:.3f}"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _together(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each note, with the labels of all rows that it is of."""
    labels: dict[str, list[str]] = {}
    for label, note in notes:
        labels.setdefault(note, []).append(label)
    return [f"- {', '.join(those)}: {note}." for note, those in labels.items()]


def _record(scores: ConditionScores, reference: ConditionScores) -> dict[str, Any]:
    """Return one condition's numbers, JSON-able; those of single samples are in ``scores/``."""
    same = scores.group in SAME_MODELS
    record = {
        "name": scores.name,
        "label": scores.label,
        "group": scores.group,
        "same_models": same,
        "note": scores.note,
        "skill": scores.skill,
        "ssim_deviation": scores.deviation("ssim"),
        **scores.summary,
    }
    if same and scores is not reference:
        for score in ("ssim", "rmse"):
            mean, error = scores.change_from(reference, score)
            record[f"{score}_change"] = {"mean": mean, "standard_error": error}
    return record
