"""What goes into an evaluation's report: its figures, and where everything comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader
from seistomo.evaluation import facts, figures
from seistomo.evaluation.examples import build_cases, choose_examples
from seistomo.evaluation.metrics import ScoreTable
from seistomo.evaluation.report import ReportContent, ReportFigure
from seistomo.training import Run


@dataclass(frozen=True)
class Paths:
    """What the user named: the run, the data set and the folder of results."""

    run: str | Path
    data: str | Path
    out: str | Path


@dataclass(frozen=True)
class Request:
    """What was asked for; the arguments of `seistomo.evaluation.evaluate`."""

    split: str
    checkpoint: str
    noise_snr: float | None
    dead_traces: float | None

    def options(self) -> list[tuple[str, object]]:
        """Return the options of the command that asks for the same."""
        return [
            ("--split", self.split),
            ("--checkpoint", self.checkpoint),
            ("--noise-snr", self.noise_snr),
            ("--dead-traces", self.dead_traces),
        ]


def write_figures(
    folder: Path,
    data: DatasetReader,
    run: Run,
    history: Mapping[str, NDArray],
    table: ScoreTable,
    predicted: NDArray,
) -> list[ReportFigure]:
    """Draw the figures of an evaluation into ``folder`` and say what each shows.

    Parameters
    ----------
    folder
        Made if it is not there.
    data, run, history
        What was evaluated, and the run's ``history.csv`` by columns.
    table
        Scores of each sample.
    predicted
        Velocity [sample, depth, x], m/s, in the order of the table.
    """
    folder.mkdir(exist_ok=True)
    return [
        _predictions(folder, data, run, table, predicted),
        _histogram(folder, table),
        _depth(folder, data, table),
        _convergence(folder, history, table),
    ]


def report_content(
    run: Run, data: DatasetReader, history: Mapping[str, NDArray], paths: Paths, request: Request
) -> ReportContent:
    """Return what the report tells beside scores and figures."""
    run_config, data_config = run.config.to_toml(), data.config.to_toml()
    configs = [("Configuration of the run", run_config)]
    if data_config != run_config:
        configs.append(("Configuration of the data set", data_config))
    return ReportContent(
        title=f"Evaluation of {Path(paths.run).name} on {Path(paths.data).name}",
        data=facts.data_facts(data),
        run=facts.run_facts(run, history, request.checkpoint),
        environment=facts.environment_facts(),
        commands=facts.reproduction(
            paths.run,
            paths.data,
            paths.out,
            request.options(),
            other_data=None if run.data_identity == data.identity else run.data_identity,
        ),
        configs=configs,
    )


def _predictions(
    folder: Path, data: DatasetReader, run: Run, table: ScoreTable, predicted: NDArray
) -> ReportFigure:
    scores = table.scores["prediction"]
    examples = choose_examples(scores["ssim"], scores["salt_iou"])
    rows = list(examples.values())
    threshold = run.config.evaluation.salt_threshold
    cases = build_cases(data, list(examples), table.indices[rows], {"": predicted[rows]}, threshold)
    path = folder / "predictions.png"
    figures.save(figures.predictions_figure(cases, data.depth, data.x), path)
    described = "; ".join(
        f"{case.label}, SSIM {scores['ssim'][row]:.2f}, RMSE {scores['rmse'][row]:.0f} m/s"
        for case, row in zip(cases, rows, strict=True)
    )
    return ReportFigure(
        path,
        "Reference, prediction and difference",
        f"Velocity models side by side, a row a sample. {described}.",
        "Best, median and worst sample by SSIM, and one with salt. Reference and prediction share"
        " a row's colour scale; in the difference red is predicted too fast, blue too slow. The"
        " outline is the true salt.",
    )


def _histogram(folder: Path, table: ScoreTable) -> ReportFigure:
    ssim, baseline = table.scores["prediction"]["ssim"], table.scores["baseline"]["ssim"]
    path = folder / "ssim_histogram.png"
    figures.save(figures.ssim_histogram_figure(ssim, baseline), path)
    return ReportFigure(
        path,
        "Spread of the SSIM",
        f"Histogram of the SSIM of {len(ssim)} samples: predictions from {ssim.min():.2f} to"
        f" {ssim.max():.2f}, mean {ssim.mean():.2f}; mean training model from"
        f" {baseline.min():.2f} to {baseline.max():.2f}, mean {baseline.mean():.2f}.",
        "How many samples reach which SSIM, beside the mean training model's. Dashed: the means.",
        narrow=True,
    )


def _depth(folder: Path, data: DatasetReader, table: ScoreTable) -> ReportFigure:
    path = folder / "rmse_depth.png"
    figures.save(figures.rmse_depth_figure(table.rmse_depth, data.depth), path)
    rmse = table.rmse_depth["prediction"]
    worst = int(rmse.argmax())
    return ReportFigure(
        path,
        "Error against depth",
        f"RMSE against depth: the prediction's is {rmse[0]:.0f} m/s at the top, {rmse[-1]:.0f} m/s"
        f" at the bottom and largest, {rmse[worst]:.0f} m/s, at {data.depth[worst]:.0f} m.",
        "RMSE over samples and x at each depth. Where the prediction's line meets the mean model's,"
        " the network adds nothing.",
        narrow=True,
    )


def _convergence(folder: Path, history: Mapping[str, NDArray], table: ScoreTable) -> ReportFigure:
    path = folder / "convergence.png"
    baseline = table.summary()["baseline"]
    figures.save(figures.curves_figure({"run": [history]}, baseline=baseline), path)
    losses, ssim = history["train_loss"], history["ssim"]
    similarity = f", the validation SSIM from {ssim[0]:.2f} to {ssim[-1]:.2f}"
    return ReportFigure(
        path,
        "Convergence",
        f"Loss and SSIM over {len(losses)} epochs: the training loss goes from"
        f" {losses[0]:.2e} to {losses[-1]:.2e} (m/s)²"
        f"{similarity if np.isfinite(ssim[[0, -1]]).all() else ''}.",
        "Loss (Eq. 9) and validation SSIM against epochs and optimizer time. Dashed: the mean"
        " training model on the samples evaluated here.",
    )
