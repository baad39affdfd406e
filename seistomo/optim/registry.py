"""Optimizers by name: the registered ones, or any class by its import path."""

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from seistomo.optim.checks import OptimizerError
from seistomo.optim.sgn import SGN
from seistomo.optim.sqgn import SQGN
from seistomo.optim.svrg import SVRG

_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": torch.optim.SGD,
    "sgn": SGN,
    "sqgn": SQGN,
    "svrg": SVRG,
}


def optimizer_names() -> list[str]:
    """Return the names of the registered optimizers."""
    return sorted(_OPTIMIZERS)


def make_optimizer(
    name: str,
    params: Iterable[Tensor] | Iterable[dict[str, Any]],
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """Build an optimizer.

    Parameters
    ----------
    name
        A registered name (`optimizer_names`), or the import path ``package.module.Class`` of a
        subclass of ``torch.optim.Optimizer`` whose constructor takes ``(params, lr, ...)``.
    params
        Parameters or parameter groups, as for every torch optimizer.
    learning_rate
        Learning rate α, the constructor's ``lr``; left out: its default.
    options
        Further arguments of the constructor.

    Raises
    ------
    OptimizerError
        For a name that leads nowhere, an option that the constructor does not know (naming the
        nearest that it does), and a value that it refuses.
    """
    optimizer_class = _OPTIMIZERS.get(name) or _import(name)
    options = dict(options or {})
    _check_options(name, optimizer_class, options)
    if learning_rate is not None:
        options = {"lr": learning_rate, **options}
    try:
        return optimizer_class(params, **options)
    except Exception as error:  # Any class may be named: what it raises is not known.
        shown = ", ".join(f"{key} = {value!r}" for key, value in options.items()) or "no options"
        raise OptimizerError(f"optimizer {name} with {shown}: {_one_line(error)}") from error


def options_in_effect(
    optimizer: torch.optim.Optimizer, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return an optimizer's options by name: those given to its constructor, and the defaults.

    The learning rate ``lr`` is not an option (see `make_optimizer`) and left out.
    """
    arguments = inspect.signature(type(optimizer)).parameters.values()
    defaults = {a.name: a.default for a in arguments if a.default is not a.empty}
    defaults.pop("lr", None)
    return defaults | dict(options)


def _import(path: str) -> type[torch.optim.Optimizer]:
    module_path, _, class_name = path.rpartition(".")
    if not module_path:
        raise OptimizerError(f"optimizer {path}: unknown{_suggest(path, optimizer_names())}")
    try:
        found = getattr(importlib.import_module(module_path), class_name)
    except (ImportError, TypeError, ValueError) as error:
        raise OptimizerError(
            f"optimizer {path}: cannot import {module_path}: {_one_line(error)}"
        ) from error
    except AttributeError:
        raise OptimizerError(f"optimizer {path}: {module_path} has no {class_name}") from None
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise OptimizerError(f"optimizer {path}: must be a subclass of torch.optim.Optimizer")
    return found


def _check_options(name: str, optimizer_class: type, options: Mapping[str, Any]) -> None:
    arguments = list(inspect.signature(optimizer_class).parameters.values())[1:]
    takes_any = any(argument.kind is argument.VAR_KEYWORD for argument in arguments)
    known = [a.name for a in arguments if a.kind in (a.POSITIONAL_OR_KEYWORD, a.KEYWORD_ONLY)]
    if "lr" not in known and not takes_any:
        raise OptimizerError(f"optimizer {name}: its constructor takes no learning rate lr")
    known = [key for key in known if key != "lr"]
    if "lr" in options:
        raise OptimizerError(
            f"optimizer {name}: the learning rate is not an option; set it as learning_rate"
        )
    for key in options:
        if key not in known and not takes_any:
            raise OptimizerError(f"optimizer {name}: unknown option {key}{_suggest(key, known)}")
    for argument in arguments:
        missing = argument.name in known and argument.default is argument.empty
        if missing and argument.name not in options:
            raise OptimizerError(f"optimizer {name}: needs the option {argument.name}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _suggest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
