"""Read a configuration from TOML, change it by dotted keys, refuse it in one clear line."""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from seistomo.config.keys import (
    FIELDS,
    SECTIONS,
    changed_keys,
    idle_keys,
    nearest,
    nearest_keys,
)
from seistomo.config.schema import Config
from seistomo.errors import InputError, shortened
from seistomo.files import read_text
from seistomo.progress import warn

_TOO_DEEP = "not valid: nested too deeply, or text that is no UTF-8"
# Tables whose keys are free: a key set inside one is added to its default.
FREE_TABLES = ("velocity.families", "velocity.salt_shapes", "optimizer.options")


def load_config(
    source: str | Path = "", overrides: Iterable[str] = (), *, warns: bool = True
) -> Config:
    """Load a configuration.

    Parameters
    ----------
    source
        Path of a TOML file, or the name of a preset (``quickstart``, ``tomography`` ...);
        empty for the defaults.
    overrides
        ``section.key=value`` strings, applied in order; values are read as TOML and, where
        that fails, as plain text.
    warns
        Whether to warn of keys of the file that change nothing: one process of several is enough.

    Raises
    ------
    InputError
        For a missing file, broken TOML, unknown keys, values that are not allowed, and overrides
        that change nothing beside the other settings.
    """
    text, overrides = _read(source) if str(source) else "", list(overrides)
    config = parse_config(text, overrides, origin=str(source) or "defaults")
    for line in idle_keys(config, map(_dotted, overrides)):
        raise InputError(shortened(f"--set {line}"))
    if warns and text:
        _warn_of_idle_keys(text, str(source))
    return config


def parse_config(text: str, overrides: Iterable[str] = (), origin: str = "config") -> Config:
    """Build a configuration from TOML text; see `load_config`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not valid TOML: {shortened(error, 150)}") from None
    except RecursionError:
        raise InputError(f"{origin}: {_TOO_DEEP}") from None
    return _build(values, overrides, origin)


def with_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """Return a copy of ``config`` with ``section.key=value`` strings applied and checked."""
    stated = config.model_dump(exclude_none=True, exclude_unset=True)
    return _build(stated, overrides, origin="--set")


def preset_names() -> list[str]:
    """Return the names of the configurations that travel with the package."""
    return sorted(item.name.removesuffix(".toml") for item in _presets() if item.suffix == ".toml")


def _presets() -> list[Path]:
    installed = Path(__file__).resolve().parents[1] / "presets"
    folder = installed if installed.is_dir() else installed.parents[1] / "configs"
    return list(folder.iterdir())


def _read(source: str | Path) -> str:
    path = Path(source)
    try:
        if not path.is_file():
            path = next((item for item in _presets() if item.name == f"{source}.toml"), path)
        return read_text(path)
    except (OSError, InputError) as error:
        raise InputError(
            f"config {shortened(error, 180)}; give a TOML file or one of:"
            f" {', '.join(preset_names())}"
        ) from None


def _warn_of_idle_keys(text: str, source: str) -> None:
    """Warn of what a file says in vain; what overrides make idle is meant to be."""
    try:
        config = parse_config(text, origin=source)
    except InputError:
        # Not a whole configuration without its overrides.
        return
    for line in idle_keys(config, changed_keys(config)):
        warn(shortened(f"{source}: {line}"))


def _dotted(override: str) -> str:
    """Return ``section.key`` of an override, of a key inside a table too."""
    return ".".join(override.partition("=")[0].strip().split(".")[:2])


def _build(values: dict[str, Any], overrides: Iterable[str], origin: str) -> Config:
    overrides = list(overrides)
    _leave_other_optimizer(values, overrides)
    for override in overrides:
        _apply_override(values, override)
    _refuse_unknown_keys(values, origin)
    try:
        # Strict JSON: lists are tuples and 3 is 3.0, but true is not 1 and "3" is no number.
        return Config.model_validate_json(json.dumps(values, default=str), strict=True)
    except RecursionError:
        raise InputError(f"{origin}: {_TOO_DEEP}") from None
    except ValidationError as error:
        if error.errors()[0]["type"] == "json_invalid":
            raise InputError(f"{origin}: {_TOO_DEEP}") from None
        raise InputError(shortened(f"{origin}: {first_problem(error)}")) from None


def _leave_other_optimizer(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Drop an optimizer's settings where an override names another optimizer.

    A learning rate for Adam says nothing about SQGN, which has its own default.
    """
    names = [text.partition("=")[2] for text in overrides if _dotted(text) == "optimizer.name"]
    section = values.get("optimizer")
    if not names or not isinstance(section, dict):
        return
    if names[-1].strip().strip("\"'") != section.get("name", FIELDS["optimizer.name"].default):
        values["optimizer"] = {}


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    shown = shortened(override, 100)
    if not equals or len(parts) < 2 or not all(parts):
        raise InputError(f"--set {shown}: must look like section.key=value")
    table = values
    for depth, part in enumerate(parts[:-1], start=1):
        name = ".".join(parts[:depth])
        table = table.setdefault(part, dict(FIELDS[name].default) if name in FREE_TABLES else {})
        if not isinstance(table, dict):
            raise InputError(f"--set {shown}: {part} is not a section")
    table[parts[-1]] = toml_value(text)


def toml_value(text: str) -> Any:
    """Return what follows ``key =`` in TOML, or the text itself where that is none."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()
    return values["value"] if len(values) == 1 else text.strip()


def _refuse_unknown_keys(values: Mapping[str, Any], origin: str) -> None:
    for section, content in values.items():
        if section not in SECTIONS:
            close = nearest(section, SECTIONS)
            hint = f"did you mean {close}?" if close else f"sections: {', '.join(SECTIONS)}"
            raise InputError(f"{origin}: unknown section [{shortened(section, 60)}]; {hint}")
        if not isinstance(content, Mapping):
            shown = shortened(repr(content), 80)
            raise InputError(f"{origin}: {section} = {shown}: must be a section [{section}]")
        for key in content:
            if f"{section}.{key}" not in FIELDS:
                close = " or ".join(nearest_keys(section, key))
                raise InputError(
                    f"{origin}: unknown key {section}.{shortened(key, 60)};"
                    f"{f' did you mean {close}?' if close else ''}"
                    f" `seistomo config {section}` lists the keys of [{section}]"
                )


def first_problem(error: ValidationError, section: str = "") -> str:
    """Return in words what is wrong first with some values, of a section or of all."""
    problem = error.errors()[0]
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and "=" in message:
        return message + tail
    key = ".".join(map(str, [section, *problem["loc"]] if section else problem["loc"]))
    value = problem["input"]
    shown = "" if isinstance(value, BaseModel) else f" = {shortened(repr(value), 80)}"
    first = message[:1].lower() + message[1:]
    return f"{key}{shown}: {shortened(first, 120)}{_description(key)}{tail}"


def _description(key: str) -> str:
    """Return what the schema says of the key that a value inside it belongs to."""
    info = FIELDS.get(_dotted(key))
    return f" ({shortened(info.description.rstrip('.'), 90)})" if info else ""
