"""Figures of velocity files: a sheet of their models, or where in a large model they were cut."""

from collections.abc import Sequence
from pathlib import Path

from seistomo.dataset.store.velocity_file import VelocityReader, open_velocity
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.selection import Selection, select
from seistomo.progress import counted

SHEET_MODELS, MOST_MODELS = 12, 100
"""Models of a sheet unless told otherwise, and the most that a figure holds."""


def models_of_file(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    """Draw a sheet of models of one velocity file.

    Raises
    ------
    InputError
        If there are more paths, or models are asked for that do not exist or do not fit.
    """
    if len(paths) != 1:
        raise InputError(f"{paths[1]}: a sheet of models is drawn of one velocity file")
    with open_velocity(paths[0]) as data:
        rows = _rows(data, samples, SHEET_MODELS)
        velocity = data.read_velocity(rows)
        labels = [f"{row}: {name}" for row, name in zip(rows, data.families(rows), strict=True)]
        limits = (data.minimum, data.maximum)
        return figures.models_figure(velocity, data.depth, data.x, labels, None, limits)


def crops_of_model(paths: Sequence[str | Path], samples: Selection) -> figures.Figure:
    """Draw where in a large model, the first file's, the models of a second were cut.

    Raises
    ------
    InputError
        If there are not two velocity files, or the second's models were not cut from the first's.
    """
    if len(paths) != 2:
        raise InputError(
            "kind = crops: name two velocity files, the whole model and the crops cut from it"
        )
    with open_velocity(paths[0]) as whole, open_velocity(paths[1]) as crops:
        origin = whole.model(0).parameters
        rows = [
            row
            for row in _rows(crops, samples, MOST_MODELS)
            if _is_cut_from(crops.model(row).parameters, origin)
        ]
        if not rows:
            raise InputError(
                f"{paths[1]}: none of its models was cut from that of {paths[0]}; `seistomo import`"
                " notes where"
            )
        cuts = [crops.model(row).parameters for row in rows]
        pieces = counted(len(rows), "piece")
        return figures.crops_figure(
            whole.model(0).velocity,
            whole.depth + origin["depth_m"],
            whole.x + origin["x_m"],
            [(cut["depth_m"], cut["x_m"]) for cut in cuts],
            (crops.depth[-1], crops.x[-1]),
            [str(row) for row in rows],
            f"{origin['file']}: {pieces} of {crops.shape[0]} x {crops.shape[1]} nodes",
        )


def _is_cut_from(cut: dict, origin: dict) -> bool:
    return "depth_m" in origin and all(cut.get(key) == origin[key] for key in ("file", "model"))


def _rows(data: VelocityReader, samples: Selection, default: int) -> list[int]:
    if samples is None:
        return list(range(min(default, data.models)))
    rows = select(samples, data.models, "samples")
    if len(rows) > MOST_MODELS:
        raise InputError(
            f"samples = {samples}: names {len(rows)}, this figure shows 1 to {MOST_MODELS}"
        )
    return rows
