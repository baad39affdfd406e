"""Apply a trained network to a data set, a batch at a time."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader, file_format, open_dataset, write_predictions
from seistomo.dataset.exchange import RecordedShots
from seistomo.dataset.exchange.segy import is_section, write_section
from seistomo.dataset.store.schema import PREDICTIONS_FORMAT
from seistomo.errors import InputError
from seistomo.files import HDF5, link_target, require_file, written_whole
from seistomo.progress import bar, say, warn
from seistomo.simulation.survey import add_noise, draw_dead_traces, random_stream
from seistomo.training import Run, load_run
from seistomo.training.gather_statistics import gather_statistics

Models = NDArray[np.float32]
Batch = tuple[slice, Models, Models, Sequence[Models | None]]
# Endings of SEG-Y.
SECTIONS = (".segy", ".sgy")
# Purposes of random numbers, apart from those that the data set was made with.
EVALUATION_DEAD_TRACES, EVALUATION_NOISE = 101, 102


def predict(
    run_dir: str | Path,
    data_path: str | Path | None,
    out_path: str | Path,
    *,
    segy: Sequence[str | Path] = (),
    split: str = "all",
    checkpoint: str = "best",
    overwrite: bool = False,
    device: str = "auto",
    raw: bool = False,
) -> int:
    """Predict the velocity models of a data set, or of shot gathers of one's own, and write them.

    What the data's survey and records have unlike the run's training data is said as a warning.
    Gathers from SEG-Y are brought to the run's survey, time axis, amplitudes and polarity where
    that can be done, else refused; a picture of them beside the training data's is written beside
    the output, as ``NAME-gathers.png``.

    Parameters
    ----------
    run_dir
        A trained run.
    data_path
        A data set; its velocity models are not looked at. None with ``segy``.
    out_path
        The file to write: .segy or .sgy for a SEG-Y section of a single model, at the places of
        its gathers; else a velocity file, ``velocity`` float32 [sample, depth, x] in m/s with
        coordinates; of an ensemble the mean, and in a velocity file ``velocity_std``, the standard
        deviation over its members. It appears whole or not at all.
    segy
        SEG-Y files of shot gathers, or folders of them: a file with all shots of the survey is a
        sample, else all files together are one.
    split
        Which samples: train, validation, test or all.
    checkpoint
        ``best`` (lowest validation loss) or ``last``.
    overwrite
        Whether an existing predictions file may be replaced.
    device
        auto, cpu, cuda or cuda:N.
    raw
        Keep speeds outside the run's ``velocity.minimum`` and ``maximum``, which are else clipped.

    Returns
    -------
    Number of models predicted.

    Raises
    ------
    InputError
        If the file may not be written, the run does not fit the gathers, a sample is damaged, or a
        prediction is not finite.
    """
    out_path = Path(out_path)
    if bool(segy) == (data_path is not None):
        raise InputError("--data or --segy: give one of them")
    if segy and split != "all":
        raise InputError(f"--split {split}: gathers of your own have no splits; leave it out")
    _check_output_file(out_path, run_dir, segy or [data_path], overwrite)
    picture = out_path.with_name(f"{out_path.stem}-gathers.png")
    if segy and picture.exists() and not overwrite:
        raise InputError(f"{picture}: exists already; use --overwrite or another name for --out")
    run = load_run(run_dir, checkpoint, device)
    with nullcontext() if segy else open_dataset(data_path) as data:
        if segy:
            # Draws: who only predicts need not load matplotlib.
            from seistomo.evaluation.figures import save
            from seistomo.evaluation.own_gathers import as_in_training, drawn_beside_training

            data = as_in_training(run, segy)
            indices = np.arange(data.samples)
        else:
            check_fit(run, data)
            indices = split_indices(data, split)
        if len(indices) > 1 and out_path.suffix.lower() in SECTIONS:
            raise InputError(
                f"--out {out_path}: a SEG-Y section holds one model, these are {len(indices)};"
                " write an .h5 file, and `seistomo export --format segy` makes a folder of it"
            )
        if segy:
            save(drawn_beside_training(run, data), picture)
            say(f"{picture}: your gathers beside the training data's; compare polarity and times")
        else:
            for difference in unlike_training(run, data, indices):
                warn(difference)
        bounds = run.config.velocity
        models = (
            (model if raw else model.clip(bounds.minimum, bounds.maximum), std)
            for _, _, mean, deviation in predicted_batches(run, data, indices)
            for model, std in zip(mean, deviation, strict=True)
        )
        _write(out_path, run, data, models, indices, checkpoint)
    return len(indices)


def _write(
    path: Path,
    run: Run,
    data: DatasetReader | RecordedShots,
    models: Iterator[tuple[Models, Models | None]],
    indices: NDArray[np.int64],
    checkpoint: str,
) -> None:
    """Write predictions [depth, x], each with its deviation, as what the name of ``path`` says."""
    if path.suffix.lower() not in SECTIONS:
        attributes = prediction_attributes(run, data, checkpoint)
        write_predictions(path, models, indices, data.depth, data.x, attributes)
        return
    x = data.x
    places = data.lines[0].places(x) if isinstance(data, RecordedShots) else (x, 0 * x)
    text = [f"PREDICTED BY RUN {run.path.name}", f"FROM THE GATHERS OF {data.path.name}"]
    ((model, _),) = models
    with written_whole(path) as temporary:
        write_section(temporary, model, *places, run.config.velocity.spacing, text)


def _check_output_file(
    path: Path, run_dir: str | Path, inputs: Sequence[str | Path], overwrite: bool
) -> None:
    """Refuse to write predictions over anything but predictions."""
    section = path.suffix.lower() in SECTIONS
    require_file(path, overwrite, (*HDF5, *SECTIONS))
    for taken in (run_dir, *inputs):
        if link_target(path).is_relative_to(link_target(taken)):
            what = "run" if taken == run_dir else "data set"
            raise InputError(f"--out {path}: belongs to the {what}; give another name")
    if not path.exists():
        return
    if not (is_section(path) if section else file_format(path) == PREDICTIONS_FORMAT):
        raise InputError(
            f"--out {path}: is not a predictions file, so it is not replaced; give another name"
        )


def split_indices(data: DatasetReader, split: str) -> NDArray[np.int64]:
    """Return the rows of a split, refusing one that is empty or does not exist."""
    indices = data.indices(split)
    if not len(indices):
        filled = [name for name in ("train", "validation", "test") if len(data.indices(name))]
        raise InputError(
            f"split = {split}: {data.path} has no such samples; it has {', '.join(filled)}"
        )
    return indices


def check_fit(run: Run, data: DatasetReader) -> None:
    """Refuse a run whose network was made for another survey or grid: the first that differs."""
    theirs, ours = run.config, data.config
    pairs = {
        "gathers [source, receiver, time]": (run.gather_shape, data.gather_shape),
        "models [depth, x]": (run.velocity_shape, data.velocity_shape),
        "survey.time_step (s)": (theirs.survey.time_step, ours.survey.time_step),
        "velocity.spacing (m)": (theirs.velocity.spacing, ours.velocity.spacing),
    }
    for name, (expected, found) in pairs.items():
        if expected != found:
            expected, found = (
                " x ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
                for value in (expected, found)
            )
            raise InputError(
                f"run {run.path}: was trained for {name} = {expected}, but {data.path} has"
                f" {found}; use a data set of the same survey and grid"
            )


def unlike_training(run: Run, data: DatasetReader, indices: NDArray[np.int64]) -> list[str]:
    """Return what a data set has unlike the run's training data, a sentence each.

    Every key of the survey; amplitudes, frequencies and dead traces of the gathers where the run
    knows those of its training split.
    """
    ours, theirs = run.config.survey.model_dump(), data.config.survey.model_dump()
    said = [
        f"{data.path}: survey.{key} = {theirs[key]}, but the run was trained with {value}"
        for key, value in ours.items()
        if theirs[key] != value
    ]
    if run.gathers is None or run.data_identity == data.identity:
        return said
    return [*said, *unlike_records(run, data, gather_statistics(data, indices)).values()]


def unlike_records(
    run: Run, data: DatasetReader | RecordedShots, found: dict[str, float]
) -> dict[str, str]:
    """Return which statistics of gathers are unlike the run's training data, a sentence each."""
    trained, said = run.gathers, {}
    level, frequency = (found[key] / (trained[key] or 1.0) for key in ("level", "frequency"))
    # A network that scales each trace by itself does not see how strong it is.
    if not 0.5 <= level <= 2 and run.config.training.gather_scaling != "trace":
        said["level"] = f"{data.path}: amplitudes are {level:.3g} times those of the training data"
    if found["level"] and not 0.8 <= frequency <= 1.25:
        said["frequency"] = (
            f"{data.path}: frequencies are {found['frequency']:.3g} Hz in the mean, those of the"
            f" training data {trained['frequency']:.3g} Hz"
        )
    if abs(found["dead"] - trained["dead"]) > 0.05:
        said["dead"] = (
            f"{data.path}: {found['dead']:.0%} of the traces are dead, of the training data"
            f" {trained['dead']:.0%}"
        )
    return said


def predicted_batches(
    run: Run,
    data: DatasetReader | RecordedShots,
    indices: NDArray[np.int64],
    noise_snr: float | None = None,
    dead_traces: float | None = None,
) -> Iterator[Batch]:
    """Yield a slice of ``indices``, velocity [member, sample, depth, x] in m/s, mean and deviation.

    ``noise_snr``, dB, and the share ``dead_traces`` are done to the gathers first; see
    `read_gathers`. Refuses predictions that are not finite, and says at the end how
    many speeds lie outside the run's bounds.
    """
    size, bounds, outside = run.config.evaluation.batch_size, run.config.velocity, 0
    with bar(total=len(indices), description="predict", unit="sample", leave=False) as progress:
        for start in range(0, len(indices), size):
            rows = slice(start, min(start + size, len(indices)))
            wanted = indices[rows]
            gathers = read_gathers(data, wanted, noise_snr, dead_traces)
            survey = [data.read_survey(int(index)) for index in wanted]
            each = run.predict_each(gathers, survey)
            if not np.isfinite(each).all():
                raise InputError(
                    "the network predicts NaN or infinite velocities: its training diverged;"
                    " train again with a smaller learning rate"
                )
            mean, std = mean_and_std(each)
            outside += int(np.count_nonzero((mean < bounds.minimum) | (mean > bounds.maximum)))
            yield rows, each, mean, std
            progress.update(len(wanted))
    if outside:
        count = len(indices) * int(np.prod(run.velocity_shape))
        say(
            f"{outside} of {count} predicted speeds ({outside / count:.2g} of them) lie outside the"
            f" run's {bounds.minimum:g} to {bounds.maximum:g} m/s"
        )


def predicted_models(
    run: Run,
    data: DatasetReader,
    indices: NDArray[np.int64],
    noise_snr: float | None = None,
    dead_traces: float | None = None,
) -> Models:
    """Return the predictions of some rows [sample, depth, x], m/s; see `predicted_batches`."""
    batches = predicted_batches(run, data, indices, noise_snr, dead_traces)
    return np.concatenate([mean for _, _, mean, _ in batches])


def mean_and_std(each: Models) -> tuple[Models, Sequence[Models | None]]:
    """Return mean and standard deviation over members [member, sample, depth, x], m/s.

    The deviation has members − 1 below the line; of a single run it is None for each sample.
    """
    mean = each.mean(axis=0, dtype=np.float64).astype(np.float32)
    if len(each) == 1:
        return mean, [None] * len(mean)
    return mean, each.std(axis=0, dtype=np.float64, ddof=1).astype(np.float32)


def read_gathers(
    data: DatasetReader,
    indices: NDArray[np.int64],
    noise_snr: float | None = None,
    dead_traces: float | None = None,
) -> NDArray[np.float32]:
    """Read gathers [sample, source, receiver, time], with noise and dead traces if asked for.

    White noise at a signal-to-noise ratio in dB; a share of the traces set to zero. Each sample
    depends on the (seed, index) that it was drawn with alone, whatever the batch. Traces that are
    dead in the data set stay dead.
    """
    gathers = data.read_gathers(indices)
    if noise_snr is None and not dead_traces:
        return gathers
    for row, (seed, index) in enumerate(data.seeds(indices)):
        dead = data.read_dead_traces([indices[row]])[0]
        if dead_traces:
            stream = random_stream(int(seed), int(index), EVALUATION_DEAD_TRACES)
            dead |= draw_dead_traces(dead.shape, dead_traces, stream)
        if noise_snr is not None:
            stream = random_stream(int(seed), int(index), EVALUATION_NOISE)
            gathers[row] = add_noise(gathers[row], noise_snr, stream, dead)
        gathers[row][dead] = 0
    return gathers


def check_corruption(noise_snr: float | None, dead_traces: float | None) -> None:
    """Refuse a ratio that is not finite and a share that is none, or all of the traces."""
    if noise_snr is not None and not np.isfinite(noise_snr):
        raise InputError(f"--noise-snr = {noise_snr:g}: must be a finite number of dB")
    if dead_traces is not None and not 0 <= dead_traces < 1:
        raise InputError(f"--dead-traces = {dead_traces:g}: must be from 0 to below 1")


def prediction_attributes(
    run: Run, data: DatasetReader | RecordedShots, checkpoint: str
) -> dict[str, str]:
    return {
        "data": str(data.path.absolute()),
        "data_identity": data.identity,
        "run": str(run.path.absolute()),
        "checkpoint": checkpoint,
        "salt_threshold": f"{run.config.evaluation.salt_threshold:g}",
    }
