"""One HTML file that holds everything about an evaluation, and needs nothing else."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from seistomo.evaluation.facts import Facts, power_of_ten
from seistomo.evaluation.metrics import ScoreTable
from seistomo.evaluation.verdict import judge

WORST = 8
"""How many of the worst samples are listed."""

CANDIDATE_NAMES = {
    "prediction": "Prediction",
    "baseline": "Mean training model",
    "oracle_1d": "Own lateral mean (oracle)",
}


def _score(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _speed(value: float) -> str:
    return f"{value:,.0f}"


# Key, name, unit, which way is better, and how it is written.
SCORE_ROWS = (
    ("rmse", "RMSE", "m/s", "↓", _speed),
    ("mae", "MAE", "m/s", "↓", _speed),
    ("ssim", "SSIM", "", "↑", _score),
    ("salt_iou", "Salt IoU", "", "↑", _score),
    ("loss", "Loss, Eq. 9", "(m/s)²", "↓", power_of_ten),
    ("mse", "MSE", "(m/s)²", "↓", _speed),
)


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes
    ----------
    path
        PNG file.
    title, caption
        What it shows, and how to read it.
    alternative
        A description for those who cannot see it.
    narrow
        Whether it can be read on a phone as it is; wide figures scroll sideways there.
    """

    path: Path
    title: str
    alternative: str
    caption: str
    narrow: bool = False


@dataclass(frozen=True)
class ReportContent:
    """What a report tells beside the scores and figures.

    Attributes
    ----------
    title
        What was evaluated.
    data, run, environment
        Pairs of name and text.
    commands
        How to make it all again.
    configs
        Title and TOML text of each configuration.
    """

    title: str
    data: Facts
    run: Facts
    environment: Facts
    commands: Sequence[str]
    configs: Sequence[tuple[str, str]]


def write_report(
    path: Path,
    metrics: dict,
    table: ScoreTable,
    figures: Sequence[ReportFigure],
    content: ReportContent,
) -> None:
    """Write the report: text, tables and pictures in one file that works offline.

    Parameters
    ----------
    path
        The HTML file.
    metrics
        The content of ``metrics.json``.
    table
        Scores of each sample.
    figures
        Pictures on disk, which are copied into the file.
    content
        What else to tell.
    """
    environment = Environment(
        loader=PackageLoader("seistomo.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": _score, "speed": _speed}
    page = environment.get_template("report.html.jinja").render(
        metrics=metrics,
        verdict=judge(table, metrics),
        candidates=_candidates(metrics),
        score_rows=SCORE_ROWS,
        families=metrics["by_family"],
        worst=_worst_samples(table),
        figures=[(figure, _embedded(figure.path)) for figure in figures],
        content=content,
    )
    path.write_text(page, encoding="utf-8")


def _candidates(metrics: dict) -> list[tuple[str, dict]]:
    prediction, *others = CANDIDATE_NAMES
    rows = [(CANDIDATE_NAMES[prediction], metrics)]
    return rows + [(CANDIDATE_NAMES[name], metrics[name]) for name in others]


def _worst_samples(table: ScoreTable) -> list[dict[str, object]]:
    prediction, baseline = table.scores["prediction"], table.scores["baseline"]
    rows = np.argsort(prediction["ssim"], kind="stable")[:WORST]
    return [
        {
            "index": int(table.indices[row]),
            "family": table.family[row],
            "salt_fraction": float(table.salt_fraction[row]),
            "ssim": float(prediction["ssim"][row]),
            "baseline_ssim": float(baseline["ssim"][row]),
            "rmse": float(prediction["rmse"][row]),
            "baseline_rmse": float(baseline["rmse"][row]),
            "salt_iou": float(prediction["salt_iou"][row]),
        }
        for row in rows
    ]


def _embedded(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
