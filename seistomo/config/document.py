"""The configuration's own descriptions, as ``--help`` text and as ``docs/configuration.md``.

``python -m seistomo.config.document > docs/configuration.md`` writes the page anew.
"""

import json
from collections.abc import Iterable
from inspect import cleandoc
from typing import Any

from pydantic.fields import FieldInfo

from seistomo.config.load import preset_names
from seistomo.config.schema import Config

INTRODUCTION = """# Configuration

<!-- Made by `python -m seistomo.config.document`; edit the descriptions in seistomo/config/. -->

A configuration is a TOML file with the sections below; every key may be left out. On the command
line, `CONFIG` is a path or the name of a preset ({presets}), and any key can be overridden:
`--set training.epochs=3`, `--set survey.source_x='[100.0, 900.0]'`,
`--set velocity.families.salt=2`. Unknown keys and values that are not allowed are refused, with
the nearest known name. So is a `--set` that would change nothing beside the other settings
(`survey.frequency` of an Ormsby wavelet, say); of such a key in a file you are warned.
The resolved configuration is stored in every data set and every run
(`seistomo info FILE --config` prints it).
"""


def field_help(key: str) -> str:
    """Return the description of a dotted key, ``section.key``."""
    section, name = key.split(".")
    return Config.model_fields[section].annotation.model_fields[name].description


def keys_help(sections: Iterable[str]) -> str:
    """Return the keys of some sections with defaults and descriptions, for ``--help``."""
    blocks = []
    for section in sections:
        fields = Config.model_fields[section].annotation.model_fields
        lines = [f"  {section}.{name} = {_default(info)}" for name, info in fields.items()]
        texts = [f"      {info.description}" for info in fields.values()]
        pairs = "\n".join(f"{line}\n{text}" for line, text in zip(lines, texts, strict=True))
        blocks.append(f"\b\n{pairs}")
    return "Keys for --set, with their defaults:\n\n" + "\n\n".join(blocks)


def configuration_page() -> str:
    """Return ``docs/configuration.md``."""
    page = [INTRODUCTION.format(presets=", ".join(f"`{name}`" for name in preset_names()))]
    for section, info in Config.model_fields.items():
        model = info.annotation
        page.append(f"## [{section}]\n\n{cleandoc(model.__doc__)}\n")
        page.append("| key | default | meaning |\n|---|---|---|")
        for name, field in model.model_fields.items():
            meaning = f"{field.description} {_allowed(model, name)}".strip()
            page.append(f"| `{name}` | `{_default(field)}` | {_cell(meaning)} |")
        page.append("")
    return "\n".join(page)


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    return "none" if value is None else json.dumps(value)


def _allowed(model: Any, name: str) -> str:
    """Return the values or bounds that the schema knows, in words."""
    schema = model.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    bounds = [
        f"{word} {option[key]:g}"
        for option in options
        for key, word in words.items()
        if key in option
    ]
    if bounds:
        return f"({', '.join(bounds)})"
    choices = next((option["enum"] for option in options if "enum" in option), None)
    return f"One of: {', '.join(map(str, choices))}." if choices else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(configuration_page(), end="")
