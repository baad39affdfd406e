"""Checks of an optimizer's options, made when it is built."""

import math
from collections.abc import Collection
from typing import Any

from seistomo.optim.errors import OptimizerError


def require_positive(name: str, value: float) -> None:
    """Refuse what is not a positive, finite number."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise OptimizerError(f"{name} = {value!r}: must be a positive number")


def require_between(name: str, value: float, low: float, high: float) -> None:
    """Refuse what is not a number from ``low`` to ``high``."""
    if not (_is_number(value) and low <= value <= high):
        raise OptimizerError(f"{name} = {value!r}: must be a number from {low:g} to {high:g}")


def require_zero_or_above(name: str, value: float, bound: float) -> None:
    """Refuse what is neither zero nor a finite number above ``bound``."""
    if not (_is_number(value) and (value == 0 or bound < value < math.inf)):
        raise OptimizerError(f"{name} = {value!r}: must be 0 or a number above {bound:g}")


def require_count(name: str, value: int, minimum: int = 1) -> None:
    """Refuse what is not a whole number from ``minimum`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise OptimizerError(f"{name} = {value!r}: must be a whole number from {minimum} on")


def require_one_of(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Refuse what is not among the values allowed."""
    if not any(isinstance(value, type(choice)) and value == choice for choice in allowed):
        shown = ", ".join(map(str, allowed))
        raise OptimizerError(f"{name} = {value!r}: must be one of {shown}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
