"""Draw whatever a file or run directory holds."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seistomo.config import load_config, preset_names
from seistomo.dataset import (
    DatasetReader,
    VelocityReader,
    file_format,
    open_dataset,
    open_velocity,
    read_predictions,
)
from seistomo.dataset.exchange.shots import OWN
from seistomo.dataset.selection import Selection, select
from seistomo.dataset.store.schema import FORMAT, PREDICTIONS_FORMAT, VELOCITY_FORMAT
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.info import is_run, require_parts, run_histories
from seistomo.evaluation.metrics import BATCH, sample_scores
from seistomo.evaluation.report import build_cases, choose_examples
from seistomo.files import require_file
from seistomo.progress import bar, counted
from seistomo.velocity import draw_model

KINDS = ("auto", "overview", "models", "profiles", "crops", "gathers", "convergence", "predictions")
ALLOWED = {
    "data": ("overview", "models", "gathers"),
    "several data": ("gathers",),
    "velocity": ("models", "crops"),
    "run": ("convergence",),
    "predictions": ("predictions", "models"),
    "config": ("models",),
    "models of any kind": ("profiles",),
}
"""What is drawn of each kind of content; the first is chosen unless told otherwise."""
DEFAULT = {"overview": 6, "models": 12, "gathers": 1}
MOST = {"overview": 100, "models": 100, "crops": 100, "gathers": 6}
"""Samples shown unless told otherwise, and the most that a figure holds."""
MOST_PROFILES = 100
"""Models that statistics against depth are taken of, spread evenly."""


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
        that has moved; or a configuration, to see the models that it would draw. For profiles any
        of configurations, velocity files and data sets, to compare their speeds at each depth.
    out
        The figure: .png, .pdf or .svg.
    kind
        ``auto`` (a data set's overview, a velocity file's or configuration's models or where they
        were cut, a run's convergence, predictions beside the references), or one of `KINDS`.
    samples
        Rows of the data set to show, or text such as "0,3,7" or "0:36"; None: the first ones,
        or for predictions the best, median and worst. Of several data sets one sample, by the
        number that it was drawn with, which parts of a set and subsets keep.
    shots
        Sources whose gathers are shown, as for samples; None: the first and the middle one.
    clip
        Percentile of the absolute amplitudes at which a gather's grey scale ends.
    overwrite
        Whether an existing figure may be replaced.

    Raises
    ------
    InputError
        If a path is none of these, does not go with ``kind``, or ``out`` exists.
    """
    out = Path(out)
    require_file(out, overwrite, figures.FORMATS)
    if kind not in KINDS:
        raise InputError(f"kind = {kind}: must be one of {', '.join(KINDS)}")
    if not 0 < clip <= 100:
        raise InputError(f"clip = {clip:g}: must be a percentile above 0, at most 100")
    held = "models of any kind" if kind == "profiles" else _content_of(paths)
    allowed = ALLOWED[held]
    drawn = kind if kind != "auto" else allowed[held == "velocity" and len(paths) > 1]
    if drawn not in allowed:
        raise InputError(f"kind = {kind}: {paths[0]} can be drawn as {', '.join(allowed)}")
    if shots is not None and drawn not in ("overview", "gathers"):
        raise InputError(f"shots = {shots}: a figure of kind {drawn} shows no gathers")
    if drawn == "profiles":
        figure = _profiles(paths, samples)
    elif held == "run":
        runs = zip(_short_names(paths), paths, strict=True)
        figure = figures.curves_figure({name: run_histories(path) for name, path in runs})
    elif drawn == "predictions":
        figure = _predictions(paths, samples)
    elif held == "several data":
        figure = _one_shot(paths, samples, shots, clip)
    elif held in ("config", "velocity", "predictions"):
        figure = (_crops if drawn == "crops" else _models)(paths, samples)
    else:
        figure = _data_set(paths[0], drawn, samples, shots, clip)
    out.parent.mkdir(parents=True, exist_ok=True)
    return figures.save(figure, out)


def _content_of(paths: Sequence[str | Path]) -> str:
    """Tell what ``paths`` hold: a key of `ALLOWED`."""
    if not paths:
        raise InputError("plot: name a data set, velocity file, runs, an evaluation or predictions")
    first = Path(paths[0])
    preset = not first.exists() and str(first) in preset_names()
    if len(paths) == 1 and (preset or first.suffix == ".toml"):
        return "config"
    for path in paths:
        if not Path(path).exists():
            raise InputError(f"{path}: no such file or directory")
    if all(map(is_run, paths)):
        return "run"
    if file_format(_velocity_file(paths[0])) == PREDICTIONS_FORMAT and len(paths) <= 2:
        return "predictions"
    if all(file_format(path) == VELOCITY_FORMAT for path in paths):
        return "velocity"
    if len(paths) > 1 and all(map(_is_data_set, paths)):
        return "several data"
    if len(paths) == 1:
        if Path(paths[0]).is_dir():
            require_parts(Path(paths[0]))
        return "data"
    raise InputError(
        f"{paths[1]}: several paths must all be runs, or data sets, or two velocity files, or an"
        " evaluation and its data set"
    )


def _is_data_set(path: str | Path) -> bool:
    """Tell whether a path may be a data set: a file of that format, or a folder of such files."""
    inside = Path(path).glob("*.h5") if Path(path).is_dir() else [path]
    return any(file_format(file) == FORMAT for file in inside)


def _velocity_file(path: str | Path) -> Path:
    """Return a file, the predictions of an evaluation or the models of a refinement."""
    if not Path(path).is_dir():
        return Path(path)
    refined = Path(path) / "refined.h5"
    return refined if refined.is_file() else Path(path) / "predictions.h5"


def _short_names(paths: Sequence[str | Path]) -> list[str]:
    """Name runs and data sets by their last name, or the whole path where two have the same."""
    names = [Path(path).resolve().name.removesuffix(".h5") for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _rows(samples: Selection, count: int, kind: str) -> list[int]:
    most = MOST[kind]
    if samples is None:
        return list(range(min(DEFAULT.get(kind, most), count)))
    rows = select(samples, count, "samples")
    if len(rows) > most:
        raise InputError(f"samples = {samples}: names {len(rows)}, this figure shows 1 to {most}")
    return rows


def _labels(data: VelocityReader, rows: Sequence[int]) -> list[str]:
    return [f"{row}: {family}" for row, family in zip(rows, data.families(rows), strict=True)]


def _data_set(
    path: str | Path, kind: str, samples: Selection, shots: Selection, clip: float
) -> figures.Figure:
    with open_dataset(path) as data:
        rows = _rows(samples, data.samples, kind)
        chosen = None if shots is None else select(shots, data.gather_shape[0], "shots")
        labels, surveys = _labels(data, rows), [data.read_survey(row) for row in rows]
        if kind == "gathers":
            titles = [f"Gathers of sample {label}" for label in labels]
            gathers = data.read_gathers(rows)
            return figures.gathers_figure(gathers, data.time, surveys, titles, chosen, clip)
        limits = data.config.velocity.minimum, data.config.velocity.maximum
        models = (data.read_velocity(rows), data.depth, data.x, labels, surveys)
        if kind == "models":
            return figures.models_figure(*models, limits)
        gathers = data.read_gathers(rows[:1])[0]
        return figures.overview_figure(*models, gathers, data.time, chosen, clip, limits)


def _sheet(
    path: str | Path, rows_of: Callable[[int], list[int]]
) -> tuple[NDArray[np.float32], NDArray, NDArray, list[str], None, tuple[float, float]]:
    """Return what `figures.models_figure` takes: models of a file, or those a configuration draws.

    ``rows_of`` chooses among so many.
    """
    if not Path(path).exists() or Path(path).suffix == ".toml":
        config = load_config(str(path))
        grid, rows = config.velocity, rows_of(config.dataset.samples)
        shown = bar(rows, description=f"draw {path}", unit="model", leave=False)
        models = [draw_model(grid, config.dataset.seed, row) for row in shown]
        velocity = np.stack([model.velocity for model in models])
        labels = [f"{row}: {model.family}" for row, model in zip(rows, models, strict=True)]
        depth, x = (np.arange(count) * grid.spacing for count in grid.shape)
        return velocity, depth, x, labels, None, (grid.minimum, grid.maximum)
    with open_velocity(_velocity_file(path)) as data:
        rows, bounds = rows_of(data.samples), data.config.velocity if data.config else data
        limits = (bounds.minimum, bounds.maximum)
        return data.read_velocity(rows), data.depth, data.x, _labels(data, rows), None, limits


def _profiles(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    sets = {}
    for name, path in zip(_short_names(paths), paths, strict=True):
        velocity, depth, *_ = _sheet(path, lambda count: _profile_rows(samples, count))
        sets[name] = velocity, depth
    return figures.profiles_figure(sets)


def _profile_rows(samples: Selection, count: int) -> list[int]:
    if samples is not None:
        return select(samples, count, "samples")
    return np.linspace(0, count - 1, min(MOST_PROFILES, count)).astype(int).tolist()


def _models(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    if len(paths) != 1:
        raise InputError(f"{paths[1]}: a sheet of models is drawn of one velocity file")
    return figures.models_figure(*_sheet(paths[0], lambda count: _rows(samples, count, "models")))


def _crops(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    """Draw where in a large model, the first file's, the models of a second were cut."""
    if len(paths) != 2:
        raise InputError(
            "kind = crops: name two velocity files, the whole model and the crops cut from it"
        )
    with open_velocity(paths[0]) as whole, open_velocity(paths[1]) as crops:
        origin = whole.parameters(0)
        cuts = {}
        for row in _rows(samples, crops.samples, "crops"):
            cut = crops.parameters(row)
            same = all(cut.get(key) == origin.get(key) for key in ("file", "model"))
            if same and "depth_m" in origin:
                cuts[row] = (cut["depth_m"], cut["x_m"])
        if not cuts:
            raise InputError(
                f"{paths[1]}: none of its models was cut from that of {paths[0]}; `seistomo import`"
                " notes where"
            )
        size = (crops.depth[-1], crops.x[-1])
        shape = " x ".join(map(str, crops.velocity_shape))
        nodes = f"{shape} nodes ({size[0]:g} x {size[1]:g} m)"
        return figures.crops_figure(
            whole.read_velocity([0])[0],
            whole.depth + origin["depth_m"],
            whole.x + origin["x_m"],
            list(cuts.values()),
            size,
            list(map(str, cuts)),
            f"{origin['file']}: {counted(len(cuts), 'piece')} of {nodes}",
        )


def _one_shot(
    paths: Sequence[str | Path], samples: Selection, shots: Selection, clip: float
) -> figures.Figure:
    """Draw a shot of one sample as each data set holds it, beside the model."""
    with ExitStack() as stack:
        sets = [stack.enter_context(open_dataset(path)) for path in paths]
        numbers = [data.sample_indices.astype(int).tolist() for data in sets]
        sample = numbers[0][0]
        if samples is not None:
            sample = _one("samples", samples, 1 + max(max(held) for held in numbers))
        for data, held in zip(sets, numbers, strict=True):
            if sample not in held:
                raise InputError(f"samples = {sample}: {data.path} holds no sample of this number")
        rows = [held.index(sample) for held in numbers]
        sources = min(data.gather_shape[0] for data in sets)
        shot = sources // 2 if shots is None else _one("shots", shots, sources)
        velocity = sets[0].read_velocity(rows[:1])[0]
        records, surveys = [], []
        for data, row in zip(sets, rows, strict=True):
            if not np.array_equal(data.read_velocity([row])[0], velocity):
                raise InputError(
                    f"{data.path}: its sample {sample} has another velocity model than that of"
                    f" {sets[0].path}; a shot is compared over one model"
                )
            survey = data.read_survey(row)
            fired = {key: survey[key][[shot]] for key in ("source_x", "source_depth")}
            records.append(data.read_gathers([row])[0, shot])
            surveys.append(survey | fired)
        bounds, times = sets[0].config.velocity, [data.time for data in sets]
        model = (velocity, sets[0].depth, sets[0].x)
        limits = (bounds.minimum, bounds.maximum)
        names = _short_names(paths)
        return figures.shots_figure(*model, records, times, surveys, names, clip, limits)


def _one(name: str, wanted: str | Sequence[int], count: int) -> int:
    chosen = select(wanted, count, name)
    if len(chosen) != 1:
        raise InputError(f"{name} = {wanted}: several data sets are compared by one, not more")
    return chosen[0]


def _predictions(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    velocity, indices, attributes = read_predictions(_velocity_file(paths[0]))
    if attributes["data_identity"].startswith(OWN):
        return _models(paths, samples)
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
        if samples is None:
            examples = _examples(data, velocity, indices, threshold)
        else:
            wanted = select(samples, data.samples, "samples")
            place = {int(index): row for row, index in enumerate(indices)}
            missing = [sample for sample in wanted if sample not in place]
            if missing:
                raise InputError(f"samples = {missing[0]}: is not among the samples predicted")
            examples = [("", place[sample]) for sample in wanted]
        labels, rows = zip(*examples, strict=True)
        chosen = np.array(rows)
        cases = build_cases(data, labels, indices[chosen], {"": velocity[chosen]}, threshold)
        return figures.predictions_figure(cases, data.depth, data.x)


def _examples(
    data: DatasetReader,
    velocity: NDArray[np.float32],
    indices: NDArray[np.int64],
    threshold: float,
) -> list[tuple[str, int]]:
    """Return label and row of the predictions that stand for the others."""
    span = data.config.velocity.maximum - data.config.velocity.minimum
    scores = []
    for start in range(0, len(indices), BATCH):
        rows = slice(start, start + BATCH)
        reference = data.read_velocity(indices[rows])
        scores.append(sample_scores(velocity[rows], reference, span, threshold))
    ssim, iou = (np.concatenate([one[name] for one in scores]) for name in ("ssim", "salt_iou"))
    return list(choose_examples(ssim, iou).items())
