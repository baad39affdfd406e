"""Predictions, their scores, figures and the report."""

from importlib import import_module
from typing import Any

_HOMES = {
    "evaluate": "scoring",
    "plot": "plotting",
    "predict": "prediction",
    "score_run": "scoring",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: a summary of a file needs neither torch nor matplotlib.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
