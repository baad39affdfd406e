"""Apply a trained network to a data set, a batch at a time."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader, open_dataset, write_predictions
from seistomo.dataset.store import file_format
from seistomo.dataset.store.schema import PREDICTIONS_FORMAT
from seistomo.errors import InputError
from seistomo.evaluation.corruption import Corruption
from seistomo.evaluation.fit import check_fit
from seistomo.progress import bar
from seistomo.training import Run, load_run
from seistomo.training.mute import Positions

Batch = tuple[slice, NDArray[np.float32]]


def predict(
    run_dir: str | Path,
    data_path: str | Path,
    out_path: str | Path,
    *,
    split: str = "all",
    checkpoint: str = "best",
    overwrite: bool = False,
    device: str = "auto",
) -> int:
    """Predict the velocity models of a data set and write them to an HDF5 file.

    Parameters
    ----------
    run_dir
        A trained run.
    data_path
        A data set; its velocity models are not looked at.
    out_path
        The file to write, ``velocity`` float32 [sample, depth, x] in m/s with coordinates; it
        appears whole or not at all.
    split
        Which samples: train, validation, test or all.
    checkpoint
        ``best`` (lowest validation loss) or ``last``.
    overwrite
        Whether an existing predictions file may be replaced.
    device
        auto, cpu, cuda or cuda:N.

    Returns
    -------
    Number of models predicted.

    Raises
    ------
    InputError
        If the file may not be written (`check_output_file`), the run does not fit the data set,
        or a prediction is not finite.
    """
    out_path = Path(out_path)
    check_output_file(out_path, run_dir, data_path, overwrite)
    with open_dataset(data_path) as data:
        run = load_run(run_dir, checkpoint, device)
        check_fit(run, data)
        indices = split_indices(data, split)
        out_path.parent.mkdir(parents=True, exist_ok=True)
        scratch = out_path.with_name(f".{out_path.name}.models")
        try:
            batches = (batch for _, batch in predicted_batches(run, data, indices))
            velocity = keep_on_disk(batches, scratch, len(indices), data)
            attributes = prediction_attributes(run, data, checkpoint)
            write_predictions(out_path, velocity, indices, data.depth, data.x, attributes)
        finally:
            scratch.unlink(missing_ok=True)
    return len(indices)


def check_output_file(
    path: Path, run_dir: str | Path, data_path: str | Path, overwrite: bool
) -> None:
    """Refuse to write predictions over anything but predictions.

    Raises
    ------
    InputError
        If ``path`` is or lies inside the run or the data set, if something is there and
        ``overwrite`` was not asked for, or if that is not a predictions file.
    """
    for what, taken in (("run", run_dir), ("data set", data_path)):
        if path.resolve().is_relative_to(Path(taken).resolve()):
            raise InputError(f"--out {path}: belongs to the {what}; give another name")
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"--out {path}: exists already; use --overwrite or another name")
    if path.exists() and file_format(path) != PREDICTIONS_FORMAT:
        raise InputError(
            f"--out {path}: is not a predictions file, so it is not replaced; give another name"
        )


def split_indices(data: DatasetReader, split: str) -> NDArray[np.int64]:
    """Return the rows of a split.

    Raises
    ------
    InputError
        If there is no such split or it is empty.
    """
    indices = data.indices(split)
    if not len(indices):
        filled = [name for name in ("train", "validation", "test") if len(data.indices(name))]
        raise InputError(
            f"split = {split}: {data.path} has no such samples; it has {', '.join(filled)}"
        )
    return indices


def predicted_batches(
    run: Run,
    data: DatasetReader,
    indices: NDArray[np.int64],
    corruption: Corruption | None = None,
) -> Iterator[Batch]:
    """Yield (rows, prediction): a slice of ``indices`` and velocity [sample, depth, x], m/s.

    Raises
    ------
    InputError
        If a prediction is not finite.
    """
    size = run.config.evaluation.batch_size
    corruption = corruption or Corruption()
    with bar(total=len(indices), description="predict", unit="sample", leave=False) as progress:
        for start in range(0, len(indices), size):
            rows = slice(start, min(start + size, len(indices)))
            wanted = indices[rows]
            gathers = corruption.read_gathers(data, wanted)
            predicted = run.predict(gathers, *_positions(run, data, wanted))
            if not np.isfinite(predicted).all():
                raise InputError(
                    "the network predicts NaN or infinite velocities: its training diverged;"
                    " train again with a smaller learning rate"
                )
            yield rows, predicted
            progress.update(len(wanted))


def _positions(
    run: Run, data: DatasetReader, indices: NDArray[np.int64]
) -> tuple[list[Positions], ...]:
    """Return the survey of each sample, as a further argument, where a run with a mute asks."""
    if run.normalization.gathers.mute is None:
        return ()
    return ([data.read_survey(int(index)) for index in indices],)


def keep_on_disk(
    batches: Iterable[NDArray[np.float32]], path: Path, samples: int, data: DatasetReader
) -> NDArray[np.float32]:
    """Write batches of models to a plain file and return it as an array, mapped, not loaded.

    Parameters
    ----------
    batches
        Velocity [sample, depth, x], m/s, in order.
    path
        The file; the array stays readable when it is removed.
    samples
        Number of models in all.
    data
        Tells the size of a model.
    """
    with path.open("wb") as file:
        for batch in batches:
            file.write(np.ascontiguousarray(batch, dtype=np.float32).data)
    return np.memmap(path, np.float32, "r", shape=(samples, *data.velocity_shape))


def prediction_attributes(run: Run, data: DatasetReader, checkpoint: str) -> dict[str, str]:
    """Return what a predictions file says about where its content comes from."""
    return {
        "data": str(data.path.absolute()),
        "data_identity": data.identity,
        "run": str(run.path.absolute()),
        "checkpoint": checkpoint,
        "salt_threshold": f"{run.config.evaluation.salt_threshold:g}",
    }
