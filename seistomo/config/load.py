"""Read a configuration from TOML, change it by dotted keys, refuse it in one clear line."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from seistomo.config.effects import changed_keys, in_words, keys_without_effect
from seistomo.config.schema import Config
from seistomo.errors import InputError
from seistomo.progress import warn

# Tables whose keys are free: checked by their own validators or by the optimizer's constructor.
OPTIMIZER_NAME = "optimizer.name="
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
    require_effect(config, overrides)
    if warns and text:
        _warn_of_idle_keys(text, str(source))
    return config


def require_effect(config: Config, overrides: Iterable[str]) -> None:
    """Refuse overrides that change nothing beside the other settings of ``config``.

    Raises
    ------
    InputError
        Naming the keys and what they would need.
    """
    keys = [_dotted(override) for override in overrides]
    for line in in_words(keys_without_effect(config, keys)):
        raise InputError(f"--set {line}")


def parse_config(text: str, overrides: Iterable[str] = (), origin: str = "config") -> Config:
    """Build a configuration from TOML text; see `load_config`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not valid TOML: {error}") from None
    return _build(values, overrides, origin)


def _warn_of_idle_keys(text: str, source: str) -> None:
    """Warn of what a file says in vain; what overrides make idle is meant to be."""
    try:
        config = parse_config(text, origin=source)
    except InputError:
        # Not a whole configuration without its overrides.
        return
    for line in in_words(keys_without_effect(config, changed_keys(config))):
        warn(f"{source}: {line}")


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
    except ValidationError as error:
        raise InputError(f"{origin}: {_first_problem(error)}") from None


def _leave_other_optimizer(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Drop an optimizer's settings where an override names another optimizer.

    A learning rate for Adam says nothing about SQGN, which has its own default.
    """
    names = [text.partition("=")[2] for text in overrides if text.startswith(OPTIMIZER_NAME)]
    section = values.get("optimizer")
    if not names or not isinstance(section, dict):
        return
    default = Config.model_fields["optimizer"].annotation().name
    if names[-1].strip().strip("\"'") != section.get("name", default):
        values["optimizer"] = {}


def with_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """Return a copy of ``config`` with ``section.key=value`` strings applied and checked."""
    stated = config.model_dump(exclude_none=True, exclude_unset=True)
    return _build(stated, overrides, origin="--set")


def preset_names() -> list[str]:
    """Return the names of the configurations that travel with the package."""
    return sorted(item.name.removesuffix(".toml") for item in _presets() if item.suffix == ".toml")


def field_keys() -> Iterator[str]:
    """Yield every dotted key of the configuration, ``section.key``."""
    for section, info in Config.model_fields.items():
        for key in info.annotation.model_fields:
            yield f"{section}.{key}"


def _presets() -> list[Path]:
    installed = Path(__file__).resolve().parents[1] / "presets"
    folder = installed if installed.is_dir() else installed.parents[1] / "configs"
    return list(folder.iterdir())


def _read(source: str | Path) -> str:
    path = Path(source)
    if not path.is_file():
        path = next((item for item in _presets() if item.name == f"{source}.toml"), path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(
            f"config {source}: {reason}; give a TOML file or one of: {', '.join(preset_names())}"
        ) from None


def _apply_override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise InputError(f"--set {override}: must look like section.key=value")
    value = _value(text)
    table = values
    for depth, part in enumerate(parts[:-1], start=1):
        table = table.setdefault(part, _default_table(".".join(parts[:depth])))
        if not isinstance(table, dict):
            raise InputError(f"--set {override}: {part} is not a section")
    table[parts[-1]] = value


def _value(text: str) -> Any:
    try:
        values = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return values["value"] if len(values) == 1 else text.strip()


def _default_table(key: str) -> dict[str, Any]:
    """Return what a key inside a table with free keys is added to: the table's default."""
    if key not in FREE_TABLES:
        return {}
    section, name = key.split(".")
    return dict(Config.model_fields[section].annotation.model_fields[name].default)


def _refuse_unknown_keys(values: Mapping[str, Any], origin: str) -> None:
    known = list(field_keys())
    sections = {key.split(".")[0] for key in known}
    for section, content in values.items():
        if section not in sections:
            raise InputError(f"{origin}: unknown section [{section}]{_nearest(section, sections)}")
        if not isinstance(content, Mapping):
            raise InputError(f"{origin}: {section} = {content!r}: must be a section [{section}]")
        for key in content:
            dotted = f"{section}.{key}"
            if dotted not in known:
                raise InputError(f"{origin}: unknown key {dotted}{_nearest(dotted, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    # A right key in the wrong section is nearer than a wrong key in the right one.
    leaf = name.rpartition(".")[2]
    same_leaf = [key for key in known if "." in key and key.rpartition(".")[2] == leaf]
    close = same_leaf or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and "=" in message:
        return message + tail
    names = [str(part) for part in problem["loc"]]
    key = ".".join(names)
    value = problem["input"]
    shown = "" if isinstance(value, BaseModel) else f" = {value!r}"
    first = message[:1].lower() + message[1:]
    return f"{key}{shown}: {first}{_description(names)}{tail}"


def _description(names: list[str]) -> str:
    model: Any = Config
    for name in names[:2]:
        info = getattr(model, "model_fields", {}).get(name)
        if info is None:
            return ""
        model = info.annotation
        text = info.description
    return f" ({text.rstrip('.')})" if len(names) > 1 and text else ""
