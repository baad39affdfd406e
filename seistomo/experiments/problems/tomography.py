"""Seismic tomography (Thiele et al. 2021, section 6.2), in the paper's size and smaller."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from seistomo.config import Config, load_config, with_overrides
from seistomo.config.keys import idle_keys
from seistomo.dataset import DatasetReader, open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.store.schema import DATA_SECTIONS
from seistomo.errors import InputError
from seistomo.evaluation import figures
from seistomo.evaluation.prediction import predicted_models
from seistomo.evaluation.report import build_cases
from seistomo.evaluation.scoring import score_run
from seistomo.progress import quietly, say
from seistomo.training import TomographyProblem, load_run
from seistomo.training.tomography import with_data_of

SHOWN = ("loss", "rmse", "ssim", "salt_iou")
DATA = "data.h5"
SIZES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "paper": ("tomography", {}),
    "small": ("tomography-small", {}),
    "quickstart": ("quickstart", {"dataset": {"samples": 12_000}}),
    "tiny": (
        "tomography-small",
        {
            "velocity": {
                "shape": [16, 16],
                "spacing": 20.0,
                "water_probability": 0.0,
                "salt_area": [0.1, 0.2],
            },
            "survey": {"sources": 2, "receivers": 12, "time_samples": 36},
            # 40 of them to train with, in 8 batches.
            "dataset": {"samples": 56},
            "network": {
                "channels": [2, 3],
                "kernels": [[2, 4, 4], [2, 4, 4]],
                "pools": [[1, 3, 3], [2, 2, 2]],
            },
            "training": {"batch_size": 5, "epochs": 3},
        },
    ),
}
# Figure 3: shares of the way from the least salt to the most, at which samples are taken.
AMOUNTS, MOST_METHODS = (0.25, 0.5, 0.75), 3


def make(
    out: Path,
    training: Mapping[str, Any],
    size: str = "small",
    data: str = "",
    velocity: Mapping[str, Any] | None = None,
    survey: Mapping[str, Any] | None = None,
    simulation: Mapping[str, Any] | None = None,
    dataset: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, Any] | None = None,
) -> TomographyProblem:
    """Return the problem of a study, with sections of the configuration that differ.

    Without ``data`` a data set is made in the study's folder, ``data.h5``, once.
    """
    sections = {"velocity": velocity, "survey": survey, "simulation": simulation}
    sections |= {"dataset": dataset, "network": network, "evaluation": evaluation}
    given = {name: dict(section) for name, section in sections.items() if section}
    for name in DATA_SECTIONS if data else ():
        if name in given:
            raise InputError(f"problem.{name}: is decided by --data {data}")
    config = size_config(size, {**given, "training": dict(training)})
    path = Path(data) if data else _made(config, out / DATA)
    reader = _opened(str(path))
    if data:
        config = with_data_of(config, reader)
    for split in ("validation", "test"):
        if not len(reader.indices(split)):
            raise InputError(f"{path}: needs {split} samples; see dataset.split")
    problem = TomographyProblem(config, reader)
    problem.unit = (config.velocity.maximum - config.velocity.minimum) ** 2
    return problem


MAKERS = {"tomography": make}


def size_config(size: str, sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration of a size, changed by what is given of its sections."""
    if size not in SIZES:
        raise InputError(f"problem.size = {size}: must be one of {', '.join(SIZES)}")
    preset, own = SIZES[size]
    given = [text for name in sections for text in _overrides(name, sections[name])]
    usual = [text for name in own for text in _overrides(name, own[name])]
    config = with_overrides(load_config(preset), [*usual, *given])
    # The size's own may be idle beside what is given: nobody asked for them.
    keys = [".".join(text.partition("=")[0].split(".")[:2]) for text in given]
    for line in idle_keys(config, keys):
        raise InputError(f"problem: {line}")
    return config


def _overrides(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _overrides(f"{key}.{name}", one)
    else:
        yield f"{key}={json.dumps(value)}"


def _made(config: Config, path: Path) -> Path:
    """Return the data set in the study's folder, made if it is not there."""
    with FileLock(path.with_name(".data.lock")):
        if not path.is_file():
            say(str(simulate(config, path, device=config.training.device, resume=True)))
    return path


@lru_cache(1)
def _opened(path: str) -> DatasetReader:
    return open_dataset(path)


def score_test_split(problem: TomographyProblem, run_dir: Path) -> dict[str, Any]:
    """Return the scores of `seistomo evaluate` with the last and the best weights.

    Predictions are made as the problem's ``[evaluation]`` says.
    """
    data, found = problem.data, {}
    with quietly():
        for checkpoint in ("last", "best"):
            run = load_run(run_dir, checkpoint, problem.config.training.device)
            same = [one for one in found.values() if one["epoch"] == run.epoch]
            config = run.config.model_copy(update={"evaluation": problem.config.evaluation})
            run = replace(run, config=config)
            scores = same[0] if same else score_run(run, data).summary()
            scores.pop("by_family", None)
            found[checkpoint] = {**scores, "epoch": run.epoch}
    return found


def examples_figure(data_path: Path, rows: Sequence[Any], checkpoint: str) -> Any:
    """Draw three test samples as the best row of each optimizer predicts them (Figure 3).

    Rows are chosen by validation loss and samples by the salt in them: nothing is chosen on the
    test split.
    """
    chosen = [row for row in _best_rows(rows) if (row.whole[0].path / "best.pt").is_file()]
    if not chosen or not data_path.exists():
        return None
    runs = {row.entry.label: load_run(row.whole[0].path, checkpoint) for row in chosen}
    data = _opened(str(data_path))
    threshold = next(iter(runs.values())).config.evaluation.salt_threshold
    samples = choose_samples(data, threshold)
    with quietly():
        models = {label: predicted_models(run, data, samples) for label, run in runs.items()}
    cases = build_cases(data, [""] * len(samples), samples, models, threshold)
    return figures.predictions_figure(cases, data.depth, data.x)


def choose_samples(data: DatasetReader, threshold: float) -> NDArray[np.int64]:
    """Return test samples with little, middling and much salt; without salt the first three."""
    indices = data.indices("test")
    salt = np.mean(data.read_velocity(indices) > threshold, axis=(1, 2))
    with_salt = indices[salt > 0]
    if not len(with_salt):
        return indices[: len(AMOUNTS)]
    by_amount = with_salt[np.argsort(salt[salt > 0], kind="stable")]
    places = [round(share * (len(by_amount) - 1)) for share in AMOUNTS]
    return np.array(list(dict.fromkeys(by_amount[places].tolist())), dtype=np.int64)


def _best_rows(rows: Sequence[Any]) -> list[Any]:
    """Return the row of each optimizer with the lowest validation loss, at most three."""
    best: dict[str, Any] = {}
    whole = [row for row in rows if row.whole and not row.entry.runs_of]
    for row in sorted(whole, key=lambda one: one.whole[0].history[-1]["validation_loss"]):
        best.setdefault(row.entry.optimizer, row)
    return list(best.values())[:MOST_METHODS]
