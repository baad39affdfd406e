"""Score a trained run on a data set and write scores, predictions, figures and a report."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader, open_dataset, write_predictions
from seistomo.evaluation.baselines import mean_training_model
from seistomo.evaluation.content import Paths, Request, report_content, write_figures
from seistomo.evaluation.corruption import Corruption
from seistomo.evaluation.fit import check_fit
from seistomo.evaluation.history import run_history
from seistomo.evaluation.metrics import ScoreAccumulator, ScoreTable
from seistomo.evaluation.output import check_output_folder, folder_written_whole
from seistomo.evaluation.prediction import (
    Batch,
    keep_on_disk,
    predicted_batches,
    prediction_attributes,
    split_indices,
)
from seistomo.evaluation.report import write_report
from seistomo.training import Run, load_run


def evaluate(
    run_dir: str | Path,
    data_path: str | Path,
    out_dir: str | Path,
    split: str = "test",
    checkpoint: str = "best",
    overwrite: bool = False,
    noise_snr: float | None = None,
    dead_traces: float | None = None,
    device: str = "auto",
) -> dict[str, object]:
    """Score a run on a data set, beside the mean training model and each sample's lateral mean.

    Writes ``metrics.json``, ``samples.csv``, ``predictions.h5``, ``figures/`` and
    ``report.html`` into ``out_dir``, which appears whole or not at all. Samples are read and
    predicted in batches of ``evaluation.batch_size``.

    Parameters
    ----------
    run_dir
        A trained run.
    data_path
        A data set; the mean training model is that of its own training split.
    out_dir
        The folder to write.
    split
        Which samples are scored: test, validation, train or all.
    checkpoint
        ``best`` (lowest validation loss) or ``last``.
    overwrite
        Whether an evaluation that is there may be replaced.
    noise_snr
        Signal-to-noise ratio of white noise added to the gathers, dB; None: no noise.
    dead_traces
        Share of traces set to zero; None: none.
    device
        auto, cpu, cuda or cuda:N.

    Returns
    -------
    The content of ``metrics.json`` (definitions: `seistomo.evaluation.metrics`).

    Raises
    ------
    InputError
        If the folder exists, the run does not fit the data set, the split is empty, or a
        prediction is not finite.
    """
    check_output_folder(out_dir, overwrite)
    paths = Paths(run_dir, data_path, out_dir)
    request = Request(split, checkpoint, noise_snr, dead_traces)
    corruption = Corruption(noise_snr, dead_traces)
    with open_dataset(data_path) as data:
        run = load_run(run_dir, checkpoint, device)
        check_fit(run, data)
        indices = split_indices(data, split)
        history = run_history(run_dir)
        with folder_written_whole(out_dir, overwrite) as folder:
            scores = _accumulator(run, data)
            batches = predicted_batches(run, data, indices, corruption)
            batches = _scored(scores, data, indices, batches)
            scratch = folder / ".predictions"
            predicted = keep_on_disk(batches, scratch, len(indices), data)
            scratch.unlink()
            table = scores.table(indices, data.families(indices))
            metrics = {**table.summary(), **asdict(request), **_origin(run, data)}
            _write_numbers(folder, metrics, table)
            attributes = prediction_attributes(run, data, checkpoint)
            write_predictions(
                folder / "predictions.h5", predicted, indices, data.depth, data.x, attributes
            )
            figures = write_figures(folder / "figures", data, run, history, table, predicted)
            content = report_content(run, data, history, paths, request)
            write_report(folder / "report.html", metrics, table, figures, content)
    return metrics


def _accumulator(run: Run, data: DatasetReader) -> ScoreAccumulator:
    bounds = data.config.velocity
    return ScoreAccumulator(
        mean_training_model(data, run.normalization.mean_velocity),
        bounds.maximum - bounds.minimum,
        run.config.evaluation.salt_threshold,
    )


def _scored(
    scores: ScoreAccumulator,
    data: DatasetReader,
    indices: NDArray[np.int64],
    batches: Iterator[Batch],
) -> Iterator[NDArray[np.float32]]:
    """Score each batch of predictions as it passes."""
    for rows, predicted in batches:
        scores.add(predicted, data.read_velocity(indices[rows]))
        yield predicted


def _origin(run: Run, data: DatasetReader) -> dict[str, object]:
    return {
        "epoch": run.epoch,
        "data_identity": data.identity,
        "trained_on_this_data": run.data_identity == data.identity,
        "baseline_of_run": not len(data.indices("train")),
    }


def _write_numbers(folder: Path, metrics: dict[str, object], table: ScoreTable) -> None:
    text = json.dumps(metrics, indent=2, allow_nan=False)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    table.write_csv(folder / "samples.csv")
