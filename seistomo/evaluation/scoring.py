"""Score a trained run on a data set; write scores, predictions, figures and a report."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo import files
from seistomo.config.survey import NEAR_OFFSET
from seistomo.dataset import DatasetReader, open_dataset, open_velocity, write_predictions
from seistomo.evaluation.info import run_histories
from seistomo.evaluation.metrics import (
    MISFITS,
    ScoreTable,
    mean_training_model,
    rank_correlation,
)
from seistomo.evaluation.misfit import Resimulation, offset_taper, resimulate_models
from seistomo.evaluation.prediction import (
    Models,
    check_corruption,
    check_fit,
    predicted_batches,
    prediction_attributes,
    split_indices,
    unlike_training,
)
from seistomo.evaluation.report import write_report
from seistomo.evaluation.uncertainty import Calibration, SpreadTable
from seistomo.progress import warn
from seistomo.training import Ensemble, Run, load_run

CONTENT = ("metrics.json", "samples.csv", "report.html")
"""What tells an evaluation from any other folder."""
CSV = {"index": False, "float_format": "%.9g", "lineterminator": "\n"}


def score_run(
    run: Run,
    data: DatasetReader,
    split: str | NDArray[np.int64] = "test",
    *,
    noise_snr: float | None = None,
    dead_traces: float | None = None,
    as_run: bool = False,
) -> ScoreTable:
    """Score a run on a data set as `evaluate` does, but write nothing.

    ``split`` may be rows, int64 [sample], too. ``as_run``: compare with the mean model and in the
    velocity bounds of the run, not of the data set, and count salt only where the data set's masks
    say that there is some: for data sets of other rocks, whose scores are to be comparable.
    """
    check_corruption(noise_snr, dead_traces)
    check_fit(run, data)
    indices = split_indices(data, split) if isinstance(split, str) else np.asarray(split)
    table = _empty_table(run, data, as_run)
    for _ in _scored(table, run, data, indices, noise_snr, dead_traces, as_run=as_run):
        pass
    return table


def _empty_table(run: Run, data: DatasetReader, as_run: bool = False) -> ScoreTable:
    mean_model = None if as_run else mean_training_model(data)
    if mean_model is None:
        mean_model = run.normalization.mean_velocity
    bounds = (run if as_run else data).config.velocity
    span, threshold = bounds.maximum - bounds.minimum, run.config.evaluation.salt_threshold
    return ScoreTable(mean_model, span, threshold)


def _calibration(run: Run, data: DatasetReader) -> Calibration | None:
    """Return errors beside sigma on the validation split as it is stored; None without one."""
    indices, found = data.indices("validation"), Calibration()
    for rows, _, mean, std in predicted_batches(run, data, indices):
        found.add(mean - data.read_velocity(indices[rows]), std)
    return found if len(indices) else None


def _scored(
    table: ScoreTable,
    run: Run,
    data: DatasetReader,
    indices: NDArray[np.int64],
    noise_snr: float | None,
    dead_traces: float | None,
    spread: SpreadTable | None = None,
    as_run: bool = False,
) -> Iterator[tuple[Models, Sequence[Models | None]]]:
    """Yield batches of predictions and their deviation, [sample, depth, x], scored on their way."""
    batches = predicted_batches(run, data, indices, noise_snr, dead_traces)
    for rows, each, predicted, std in batches:
        wanted = indices[rows]
        has_salt = data.read_salt_mask(wanted).any(axis=(1, 2)) if as_run else None
        reference = data.read_velocity(wanted)
        table.add(predicted, reference, wanted, data.families(wanted), has_salt)
        if spread is not None:
            spread.add(each, predicted, std, reference)
        yield predicted, std


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
    resimulate: bool = False,
    near_offset: float = NEAR_OFFSET,
) -> dict[str, object]:
    """Score a run on a data set, beside the mean training model and each sample's lateral mean.

    Writes ``metrics.json``, ``samples.csv``, ``predictions.h5``, ``figures/`` and
    ``report.html`` into ``out_dir``, which appears whole or not at all. Samples are read and
    predicted in batches of ``evaluation.batch_size``. What the data's survey and records have
    unlike the run's training data is said as a warning and in the report.

    Parameters
    ----------
    run_dir
        A trained run, or an ensemble of runs: then its mean is scored beside its members, and
        their standard deviation beside the error (``ensemble`` in ``metrics.json``).
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
    resimulate
        Shoot over the predicted models and the mean training model too, and say how well they
        explain the gathers: ``data_misfit`` of each sample, in ``shots.csv`` of each shot, in
        ``offsets.csv`` of each range of offsets.
    near_offset
        Traces nearer to their source than this, m, are left out of ``data_misfit_far``; weights
        rise to 1 at twice it.

    Returns
    -------
    The content of ``metrics.json`` (definitions: `seistomo.evaluation.metrics`).

    Raises
    ------
    InputError
        If the folder exists, the run does not fit the data set, the split is empty, or a gather
        or a prediction is not finite.
    """
    out_dir = Path(out_dir)
    files.require_replaceable(out_dir, overwrite, CONTENT, "an evaluation")
    check_corruption(noise_snr, dead_traces)
    request = {
        "split": split,
        "checkpoint": checkpoint,
        "noise_snr": noise_snr,
        "dead_traces": dead_traces,
        "near_offset": near_offset if resimulate else None,
    }
    with open_dataset(data_path) as data:
        run = load_run(run_dir, checkpoint, device)
        check_fit(run, data)
        indices = split_indices(data, split)
        if resimulate:
            offset_taper(data.read_survey(int(indices[0])), near_offset)
        histories = run_histories(run_dir)
        differences = unlike_training(run, data, indices)
        for difference in differences:
            warn(difference)
        with files.folder_written_whole(out_dir) as folder:
            table, spread = _empty_table(run, data), None
            if isinstance(run, Ensemble):
                spread = SpreadTable(*table.settings)
            batches = _scored(table, run, data, indices, noise_snr, dead_traces, spread)
            write_predictions(
                folder / "predictions.h5",
                (pair for batch in batches for pair in zip(*batch, strict=True)),
                indices,
                data.depth,
                data.x,
                prediction_attributes(run, data, checkpoint),
            )
            again = None
            if resimulate:
                again = _resimulate(folder, table, data, indices, request, device)
            metrics = {
                **table.summary(),
                **request,
                "epoch": run.epoch,
                "data_identity": data.identity,
                "trained_on_this_data": run.data_identity == data.identity,
                "baseline_of_run": not len(data.indices("train")),
            }
            if resimulate:
                rmse = table.column("rmse")
                metrics |= {
                    f"{score}_rank_correlation": rank_correlation(table.column(score), rmse)
                    for score in MISFITS
                }
            if spread is not None:
                table.samples[spread.samples.columns] = spread.samples
                metrics["ensemble"] = spread.summary(table.samples, _calibration(run, data))
            text = json.dumps(metrics, indent=2, allow_nan=False)
            (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
            table.samples.to_csv(folder / "samples.csv", **CSV)
            paths = (Path(run_dir), Path(data_path), out_dir)
            shown = (differences, again, spread)
            write_report(folder, paths, run, data, histories, metrics, table, *shown)
    return metrics


def _resimulate(
    folder: Path,
    table: ScoreTable,
    data: DatasetReader,
    indices: NDArray[np.int64],
    request: dict[str, object],
    device: str,
) -> Resimulation:
    """Shoot over the predictions in ``folder``; put misfits into the table and files beside."""
    settings = {key: request[key] for key in ("near_offset", "noise_snr", "dead_traces")}
    with open_velocity(folder / "predictions.h5") as models:
        found = resimulate_models(
            data, indices, models, table.mean_model, **settings, device=device
        )
    table.samples[found.samples.columns] = found.samples
    found.shots.to_csv(folder / "shots.csv", **CSV)
    found.offsets.to_csv(folder / "offsets.csv", **CSV)
    return found
