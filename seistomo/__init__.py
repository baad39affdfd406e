"""Seismic tomography with deep learning, from random earth models to scored predictions.

The steps of the pipeline are here by name; `seistomo.optim` stands on its own.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_config": "seistomo.config",
    "simulate": "seistomo.dataset.generate",
    "open_dataset": "seistomo.dataset",
    "train": "seistomo.training",
    "load_run": "seistomo.training",
    "evaluate": "seistomo.evaluation",
    "predict": "seistomo.evaluation",
    "refine": "seistomo.refinement",
    "plot": "seistomo.evaluation",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    # Loaded when first asked for, so that `import seistomo.optim` needs torch alone.
    if name not in _HOMES:
        raise AttributeError(f"module 'seistomo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
