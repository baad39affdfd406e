"""Draw whatever a file or run directory holds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.dataset import DatasetReader, open_dataset, read_predictions
from seistomo.dataset.store import file_format
from seistomo.dataset.store.schema import FORMAT
from seistomo.dataset.store.velocity_writer import VELOCITY_FORMAT
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.examples import build_cases, choose_examples
from seistomo.evaluation.history import is_run, run_history
from seistomo.evaluation.metrics import sample_scores
from seistomo.evaluation.selection import Selection, select
from seistomo.evaluation.shot_plots import one_shot_of
from seistomo.evaluation.velocity_plots import (
    MOST_MODELS,
    SHEET_MODELS,
    crops_of_model,
    models_of_file,
)

KINDS = ("auto", "overview", "models", "crops", "gathers", "convergence", "predictions")
ALLOWED = {
    "data": ("overview", "models", "gathers"),
    "several data": ("gathers",),
    "velocity": ("models", "crops"),
    "run": ("convergence",),
    "predictions": ("predictions",),
}
"""What is drawn of each kind of content; the first is chosen unless told otherwise."""
OVERVIEW_MODELS, MOST_GATHERS = 6, 6
"""Models of an overview, and the most samples whose gathers a figure holds."""


def plot(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    kind: str = "auto",
    samples: Selection = None,
    shots: Selection = None,
    clip: float = 95.0,
    overwrite: bool = False,
) -> Path:
    """Draw a data set, runs or predictions into one figure.

    Parameters
    ----------
    paths
        One data set or velocity file; or several data sets, to see one shot as each holds it; or
        the velocity files of a large model and of pieces cut from it; or one or several run
        directories; or one evaluation directory or predictions file, followed by its data set if
        that has moved.
    out
        The figure: .png, .pdf or .svg.
    kind
        ``auto`` (a data set's overview, a velocity file's models or where they were cut, a run's
        convergence, predictions beside the references), or one of `KINDS`.
    samples
        Rows of the data set to show, or text such as "0,3,7" or "0:36"; None: the first ones,
        or for predictions the best, median and worst.
    shots
        Sources whose gathers are shown, as for samples; None: first, middle and last.
    clip
        Percentile of the absolute amplitudes at which a gather's grey scale ends.
    overwrite
        Whether an existing figure may be replaced.

    Raises
    ------
    InputError
        If a path is none of these, does not go with ``kind``, or ``out`` exists.
    """
    out = figures.check_format(out)
    if out.exists() and not overwrite:
        raise InputError(f"--out {out}: exists already; use --overwrite or another name")
    if kind not in KINDS:
        raise InputError(f"kind = {kind}: must be one of {', '.join(KINDS)}")
    if not 0 < clip <= 100:
        raise InputError(f"clip = {clip:g}: must be a percentile above 0, at most 100")
    held = _content_of(paths)
    allowed = ALLOWED[held]
    drawn = kind if kind != "auto" else allowed[held == "velocity" and len(paths) > 1]
    if drawn not in allowed:
        raise InputError(f"kind = {kind}: {paths[0]} can be drawn as {', '.join(allowed)}")
    if shots is not None and held == "velocity":
        raise InputError(f"shots = {shots}: {paths[0]} holds velocity models, no gathers")
    if shots is not None and drawn not in ("overview", "gathers"):
        raise InputError(f"shots = {shots}: a figure of kind {drawn} shows no gathers")
    if held == "run":
        names = _short_names(paths)
        histories = {name: [run_history(p)] for name, p in zip(names, paths, strict=True)}
        figure = figures.curves_figure(histories)
    elif held == "predictions":
        figure = _predictions(paths, samples)
    elif held == "several data":
        figure = one_shot_of(paths, _short_names(paths), samples, shots, clip)
    elif held == "velocity":
        figure = (crops_of_model if drawn == "crops" else models_of_file)(paths, samples)
    else:
        with open_dataset(paths[0]) as data:
            figure = _DATA_FIGURES[drawn](data, samples, shots, clip)
    out.parent.mkdir(parents=True, exist_ok=True)
    return figures.save(figure, out)


def _content_of(paths: Sequence[str | Path]) -> str:
    """Tell what ``paths`` hold: a key of `ALLOWED`."""
    if not paths:
        raise InputError("plot: name a data set, velocity file, runs, an evaluation or predictions")
    for path in paths:
        if not Path(path).exists():
            raise InputError(f"{path}: no such file or directory")
    if all(is_run(path) for path in paths):
        return "run"
    if _predictions_file(paths[0]) is not None and len(paths) <= 2:
        return "predictions"
    if all(file_format(path) == VELOCITY_FORMAT for path in paths):
        return "velocity"
    if len(paths) > 1 and all(map(_is_data_set, paths)):
        return "several data"
    if len(paths) == 1:
        if Path(paths[0]).is_dir() and not _is_data_set(paths[0]):
            raise InputError(f"{paths[0]}: is neither a run, an evaluation nor a data set")
        return "data"
    raise InputError(
        f"{paths[1]}: several paths must all be runs, or data sets, or two velocity files, or an"
        " evaluation and its data set"
    )


def _is_data_set(path: str | Path) -> bool:
    """Tell whether a path may be a data set: a file of that format, or a folder of such files."""
    if not Path(path).is_dir():
        return file_format(path) == FORMAT
    return any(file_format(file) == FORMAT for file in Path(path).glob("*.h5"))


def _predictions_file(path: str | Path) -> Path | None:
    path = Path(path)
    file = path / "predictions.h5" if path.is_dir() else path
    return file if file_format(file) == "seistomo-predictions" else None


def _short_names(paths: Sequence[str | Path]) -> list[str]:
    """Name runs and data sets by their last name, or the whole path where two have the same."""
    names = [Path(path).resolve().name.removesuffix(".h5") for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _overview(
    data: DatasetReader, samples: Selection, shots: Selection, clip: float
) -> figures.Figure:
    rows = _rows(data, samples, OVERVIEW_MODELS, MOST_MODELS)
    return figures.overview_figure(
        data.read_velocity(rows),
        data.depth,
        data.x,
        _labels(data, rows),
        [data.read_survey(row) for row in rows],
        data.read_gathers(rows[:1])[0],
        data.time,
        _shots(data, shots),
        clip,
        _limits(data),
    )


def _models(
    data: DatasetReader, samples: Selection, shots: Selection, clip: float
) -> figures.Figure:
    rows = _rows(data, samples, SHEET_MODELS, MOST_MODELS)
    surveys = [data.read_survey(row) for row in rows]
    return figures.models_figure(
        data.read_velocity(rows), data.depth, data.x, _labels(data, rows), surveys, _limits(data)
    )


def _gathers(
    data: DatasetReader, samples: Selection, shots: Selection, clip: float
) -> figures.Figure:
    rows = _rows(data, samples, 1, MOST_GATHERS)
    return figures.gathers_figure(
        data.read_gathers(rows),
        data.time,
        [data.read_survey(row) for row in rows],
        [f"Gathers of sample {label}" for label in _labels(data, rows)],
        _shots(data, shots),
        clip,
    )


_DATA_FIGURES = {"overview": _overview, "models": _models, "gathers": _gathers}


def _predictions(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    velocity, indices, attributes = read_predictions(_predictions_file(paths[0]))
    data_path = Path(paths[1] if len(paths) == 2 else attributes["data"])
    if not data_path.exists():
        raise InputError(
            f"{paths[0]}: its data set {data_path} is gone; name it after the predictions"
        )
    with open_dataset(data_path) as data:
        if data.identity != attributes["data_identity"]:
            raise InputError(
                f"{data_path}: is not the data set of {paths[0]} ({attributes['data_identity']},"
                f" not {data.identity})"
            )
        threshold = float(attributes["salt_threshold"])
        labels, rows = _chosen_predictions(data, velocity, indices, samples, threshold)
        cases = build_cases(data, labels, indices[rows], {"": velocity[rows]}, threshold)
        return figures.predictions_figure(cases, data.depth, data.x)


def _chosen_predictions(
    data: DatasetReader,
    velocity: NDArray[np.float32],
    indices: NDArray[np.int64],
    samples: Selection,
    threshold: float,
) -> tuple[list[str], list[int]]:
    if samples is not None:
        wanted = select(samples, data.samples, "samples")
        place = {int(index): row for row, index in enumerate(indices)}
        missing = [sample for sample in wanted if sample not in place]
        if missing:
            raise InputError(f"samples = {missing[0]}: is not among the samples predicted")
        return [""] * len(wanted), [place[sample] for sample in wanted]
    grid = data.config.velocity
    batches = []
    for start in range(0, len(indices), 64):
        rows = slice(start, start + 64)
        reference = data.read_velocity(indices[rows])
        batches.append(
            sample_scores(velocity[rows], reference, grid.maximum - grid.minimum, threshold)
        )
    ssim, iou = (
        np.concatenate([batch[name] for batch in batches]) for name in ("ssim", "salt_iou")
    )
    examples = choose_examples(ssim, iou)
    return list(examples), list(examples.values())


def _rows(data: DatasetReader, samples: Selection, default: int, most: int) -> list[int]:
    if samples is None:
        return list(range(min(default, data.samples)))
    rows = select(samples, data.samples, "samples")
    if not 1 <= len(rows) <= most:
        raise InputError(f"samples = {samples}: names {len(rows)}, this figure shows 1 to {most}")
    return rows


def _shots(data: DatasetReader, shots: Selection) -> list[int] | None:
    return None if shots is None else select(shots, data.gather_shape[0], "shots")


def _labels(data: DatasetReader, rows: Sequence[int]) -> list[str]:
    return [f"{row}: {family}" for row, family in zip(rows, data.families(rows), strict=True)]


def _limits(data: DatasetReader) -> tuple[float, float]:
    return data.config.velocity.minimum, data.config.velocity.maximum
