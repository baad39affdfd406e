"""What every section of the configuration is made of: keys with a description and limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """One section: immutable, no unknown keys, finite numbers, defaults checked too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Needs:
    """What must hold in a key's section for the key to change anything."""

    holds: Callable[[Any], bool]
    words: str

    def __call__(self, schema: dict[str, Any]) -> None:
        """Add the words to the key's JSON schema."""
        schema["needs"] = self.words


def chosen(key: str, *values: str) -> Needs:
    """Need a key of the same section, ``section.key``, to have one of some values."""
    words = " or ".join(f'"{value}"' for value in values)
    name = key.partition(".")[2]
    return Needs(lambda section: getattr(section, name) in values, f"{key} = {words}")


def setting(default: Any, description: str, *, needs: Needs | None = None, **limits: Any) -> Any:
    """Declare a key; ``limits`` are pydantic's (``ge``, ``lt`` ...)."""
    return Field(default, description=description, json_schema_extra=needs, **limits)


def range_of(kind: type, **limits: float) -> Any:
    """Return the type of a range [low, high] whose ends keep to ``limits``."""
    if kind is float:  # A section's refusal of NaN does not reach into tuples.
        limits["allow_inf_nan"] = False
    end = Annotated[kind, Field(**limits)]
    return Annotated[tuple[end, end], AfterValidator(_in_order)]


def _in_order(ends: tuple) -> tuple:
    if ends[0] > ends[1]:
        raise ValueError("must be a range [low, high] with low not above high")
    return ends
