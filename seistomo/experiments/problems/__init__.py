"""What studies learn: problems by name, or a user's own class by its import path."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from seistomo.config import LoopConfig
from seistomo.config.load import first_problem
from seistomo.errors import InputError
from seistomo.training import score_as_trained
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.history import BEST, CHECKPOINT
from seistomo.training.problem import TensorSamples
from seistomo.training.scaling import training_rows

# The problems of each module beside this one; it has their makers by name.
BUILT_IN = {
    "boston": "regression",
    "cifar10": "images",
    "fashion": "images",
    "mnist": "images",
    "sine": "regression",
    "tomography": "tomography",
}
VALIDATION_PART = 6  # the last sixth of the training samples, 10,000 of MNIST's 60,000


def make_problem(
    options: Mapping[str, Any], out: Path, training: Mapping[str, Any], tuning: bool = False
) -> Any:
    """Build the problem ``name`` of a study in the folder ``out`` with its other options.

    Its maker is one of a module beside this one, or a class ``package.module.Class``; with
    ``tuning`` it is judged by a part of the training split, the test split left alone.
    """
    options = dict(options)
    name = str(options.pop("name", ""))
    if name in BUILT_IN:
        maker = _module(name).MAKERS[name]
        arguments = {"out": out, "training": training, "tuning": tuning}
    else:
        maker, arguments = import_named(name, "problem.name"), {"training": training}
    known = list(inspect.signature(maker).parameters)
    for key in options:
        if key in arguments or key not in known:
            own = [one for one in known if one not in ("out", "training", "tuning")]
            raise InputError(f"problem.{key}: {name} takes {', '.join(own) or 'no options'}")
    try:
        return maker(**options, **{k: v for k, v in arguments.items() if k in known})
    except ValidationError as error:
        raise InputError(first_problem(error, "training")) from None


def loop_settings(training: Mapping[str, Any]) -> LoopConfig:
    """Return the keys of ``[training]`` that any problem has, checked."""
    try:
        return LoopConfig.model_validate(dict(training))
    except ValidationError as error:
        raise InputError(first_problem(error, "training")) from None


def test_scorer(name: str) -> Callable[[Any, Path], dict[str, Any]] | None:
    """Return what scores the test split of a problem's runs; None where each epoch tells it.

    It takes the problem and a run directory, and returns scores by checkpoint, ``last`` and
    ``best``, with the ``epoch`` of each.
    """
    return getattr(_module(name), "score_test_split", None) if name in BUILT_IN else _score_test


def _score_test(problem: Any, run_dir: Path) -> dict[str, Any]:
    if not len(problem.split("test")):
        return {}
    found = {}
    for key, file in (("last", CHECKPOINT), ("best", BEST)):
        scores = score_as_trained(problem, run_dir, key, device=problem.settings.device)
        found[key] = {**scores, "epoch": load_checkpoint(run_dir / file).progress.epoch}
    return found


def training_samples(problem: Any, settings: LoopConfig) -> int:
    """Return how many samples there are to train with."""
    if problem.name == "tomography":  # Its splits are not there before a run prepares them.
        return len(training_rows(problem.data, settings))
    return len(problem.split("train"))


def shown_scores(name: str) -> Sequence[str]:
    """Return the scores that a problem's tables show; nothing: all that runs have."""
    return _module(name).SHOWN if name in BUILT_IN else ()


def is_judged_by_test(name: str) -> bool:
    """Whether each epoch of a problem's runs tells the scores of the test split."""
    return BUILT_IN.get(name) in ("images", "regression")


def examples_figure(
    options: Mapping[str, Any], out: Path, rows: Sequence[Any], checkpoint: str
) -> Any:
    """Return a figure of what each method predicts; None where a problem has none."""
    name = options.get("name")
    draw = getattr(_module(name), "examples_figure", None) if name in BUILT_IN else None
    data = Path(options.get("data") or out / "data.h5")
    return draw(data, rows, checkpoint) if draw else None


def resolved(options: Mapping[str, Any], problem: Any, batch_size: int) -> dict[str, Any]:
    """Return an optimizer's options with numbers in place of what depends on the problem.

    ``{unit = x}`` is x in the unit of the loss that tables show, for an optimizer that sees a
    scaled one: the SQGN paper's λ in (m/s)², say. ``{batch = x}`` is a share of the batch.
    """
    found = {}
    for key, value in options.items():
        if isinstance(value, Mapping) and set(value) == {"unit"}:
            value = value["unit"] / problem.unit
        elif isinstance(value, Mapping) and set(value) == {"batch"}:
            if value["batch"] == 1:
                continue
            value = max(1, round(value["batch"] * batch_size))
        found[key] = value
    return found


def import_named(path: str, key: str) -> Any:
    """Return what an import path ``package.module.Name`` names; ``key`` is what gives it."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        known = f"; known: {', '.join(BUILT_IN)}" if key == "problem.name" else ""
        raise InputError(f"{key} = {path}: cannot be imported ({error}){known}") from None


def judged_splits(
    train: TensorSamples, test: TensorSamples, tuning: bool
) -> dict[str, TensorSamples]:
    """Return the splits of a problem that is judged by its test split after each epoch.

    For tuning it is by the last part of the training samples, which are then not trained with.
    """
    none = TensorSamples(test.inputs[:0], test.targets[:0])
    if not tuning:
        return {"train": train, "validation": test, "test": none}
    cut = len(train) - len(train) // VALIDATION_PART
    validation = TensorSamples(train.inputs[cut:], train.targets[cut:])
    train = TensorSamples(train.inputs[:cut], train.targets[:cut])
    return {"train": train, "validation": validation, "test": none}


def needed(package: str, what: str) -> Any:
    """Return a module that not every installation has."""
    try:
        return importlib.import_module(package)
    except ImportError:
        name = package.partition(".")[0]
        raise InputError(f"{what}: needs the package {name} (extra: benchmarks)") from None


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"seistomo.experiments.problems.{BUILT_IN[name]}")
