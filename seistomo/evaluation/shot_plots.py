"""Figures of several data sets: one shot over one model, as each of them holds it."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from seistomo.dataset import DatasetReader, open_dataset
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.selection import Selection, select


def one_shot_of(
    paths: Sequence[str | Path],
    names: Sequence[str],
    samples: Selection,
    shots: Selection,
    clip: float,
) -> figures.Figure:
    """Draw a shot of one sample as each data set holds it, beside the model.

    Parameters
    ----------
    paths, names
        Data sets, and what stands above them.
    samples, shots
        One sample (None: the first) and one of its sources (None: the middle one).
    clip
        Percentile of the absolute amplitudes at which the grey scale ends.

    Raises
    ------
    InputError
        If there is no such sample or source in each, or the sample's models differ.
    """
    with ExitStack() as stack:
        sets = [stack.enter_context(open_dataset(path)) for path in paths]
        row = _one("samples", samples, min(data.samples for data in sets), 0)
        sources = min(data.gather_shape[0] for data in sets)
        shot = _one("shots", shots, sources, sources // 2)
        velocity = sets[0].read_velocity([row])[0]
        for data in sets[1:]:
            if not np.array_equal(data.read_velocity([row])[0], velocity):
                raise InputError(
                    f"{data.path}: its sample {row} has another velocity model than that of"
                    f" {sets[0].path}; a shot is compared over one model"
                )
        bounds = sets[0].config.velocity
        return figures.shots_figure(
            velocity,
            sets[0].depth,
            sets[0].x,
            [data.read_gathers([row])[0, shot] for data in sets],
            [data.time for data in sets],
            [_survey_of_shot(data, row, shot) for data in sets],
            names,
            clip,
            (bounds.minimum, bounds.maximum),
        )


def _one(name: str, wanted: Selection, count: int, default: int) -> int:
    if wanted is None:
        return default
    chosen = select(wanted, count, name)
    if len(chosen) != 1:
        raise InputError(f"{name} = {wanted}: several data sets are compared by one, not more")
    return chosen[0]


def _survey_of_shot(data: DatasetReader, row: int, shot: int) -> dict[str, np.ndarray]:
    survey = data.read_survey(row)
    return {
        key: values[[shot]] if key.startswith("source") else values
        for key, values in survey.items()
    }
