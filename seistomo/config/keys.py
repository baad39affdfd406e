"""What is known of each key: its text, the name nearest to it, whether it changes anything."""

import difflib
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from inspect import cleandoc
from typing import Any

from pydantic.fields import FieldInfo

from seistomo.config.schema import Config
from seistomo.config.section import Section
from seistomo.errors import InputError

SECTIONS: dict[str, type[Section]] = {
    name: info.annotation for name, info in Config.model_fields.items()
}
FIELDS: dict[str, FieldInfo] = {
    f"{section}.{name}": info
    for section, model in SECTIONS.items()
    for name, info in model.model_fields.items()
}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}


def field_help(key: str) -> str:
    """Return the description of a dotted key, ``section.key``."""
    return FIELDS[key].description


def keys_text(words: Iterable[str] = ()) -> str:
    """Describe all keys, or those of some sections, or whose text holds some words."""
    blocks = []
    words = [word.lower().strip("[]") for word in words]
    for section, model in SECTIONS.items():
        schemas = model.model_json_schema()["properties"]
        texts = [_key_text(f"{section}.{name}", schema) for name, schema in schemas.items()]
        asked = [word for word in words if word != section]
        texts = [text for text in texts if all(word in text.lower() for word in asked)]
        if texts and (section in words or not set(words) & SECTIONS.keys()):
            blocks += [f"[{section}] {cleandoc(model.__doc__)}", *texts]
    if not blocks:
        raise InputError(
            f"{' '.join(words)}: no key has that in its name or text; sections: "
            + ", ".join(SECTIONS)
        )
    return "\n\n".join(blocks)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name among some that is most like another."""
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.65)
    return close[0] if close else None


def nearest_keys(section: str, name: str) -> list[str]:
    """Return the keys nearest to an unknown one, most often one or none.

    Of its section that is one that is spelt alike, or has all words of the name in its own, or
    alone has them in its text; beside it the one of this name elsewhere; else the only one of all
    that has the words in its text.
    """
    words = _words(name)
    own = [key for key in FIELDS if key.startswith(f"{section}.")]
    alike = nearest(name, SECTIONS[section].model_fields)
    found = [f"{section}.{alike}"] if alike else [key for key in own if words <= _words(key)]
    found = found[:1] or _only(own, words)
    found += [key for key in FIELDS if key.partition(".")[2] == name.lower()][:1]
    return list(dict.fromkeys(found)) or _only(FIELDS, words)


def _only(keys: Iterable[str], words: set[str]) -> list[str]:
    """Return the key that has some words in its name or text, if it is the only one of its name."""
    found = [key for key in keys if words <= _words(f"{key} {FIELDS[key].description}")]
    return found[:1] if len({key.partition(".")[2] for key in found}) == 1 else []


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def idle_keys(config: Config, stated: Iterable[str]) -> Iterator[str]:
    """Yield a line for each reason for which some dotted keys change nothing."""
    reasons = defaultdict(list)
    for key in stated:
        needs = FIELDS[key].json_schema_extra
        if needs is not None and not needs.holds(getattr(config, key.partition(".")[0])):
            reasons[needs.words].append(key)
    for words, keys in sorted(reasons.items()):
        verbs = ("has", "it needs") if len(keys) == 1 else ("have", "they need")
        yield f"{', '.join(keys)} {verbs[0]} no effect; {verbs[1]} {words}"


def changed_keys(config: Config) -> Iterator[str]:
    """Yield the keys that were stated and differ from their defaults.

    A configuration that was stored holds all keys; those at their defaults say nothing.
    """
    for key, info in FIELDS.items():
        section, name = key.split(".")
        values = getattr(config, section)
        if name in values.model_fields_set and getattr(values, name) != info.default:
            yield key


def _key_text(key: str, schema: dict[str, Any]) -> str:
    default = schema.get("default")
    lines = [f"{key} = {'(left out)' if default is None else json.dumps(default)}"]
    text = " ".join([schema["description"], *_allowed(schema)])
    return "\n".join(
        [*lines, *textwrap.wrap(text, 96, initial_indent="    ", subsequent_indent="    ")]
    )


def _allowed(schema: dict[str, Any]) -> Iterator[str]:
    """Yield what the JSON schema says of values and needs, in sentences."""
    options = [schema, *schema.get("anyOf", [])]
    # Bounds of a list's entries, most often a range's ends.
    options += [item for option in options for item in option.get("prefixItems", [])[:1]]
    bounds = [
        f"{word} {option[name]:g}"
        for option in options
        for name, word in _BOUNDS.items()
        if name in option
    ]
    if bounds:
        yield f"{', '.join(bounds).capitalize()}."
    choices = [value for option in options for value in option.get("enum", [])]
    if choices:
        yield f"One of: {', '.join(map(str, choices))}."
    if "needs" in schema:
        yield f"Needs {schema['needs']}."
