"""The folder of an export, which appears whole or not at all."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seistomo import files

MARKER = "export.json"
"""What tells an exported folder from any other; it says where the content comes from."""


@contextmanager
def folder_written_whole(path: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path``: see `seistomo.files.folder_written_whole`.

    Raises
    ------
    InputError
        If something is there and ``overwrite`` was not asked for, or it is no exported folder:
        another folder is never replaced.
    DiskFullError
        If the disk fills up while the block writes.
    """
    files.require_replaceable(path, overwrite, [MARKER], "an exported folder")
    with files.folder_written_whole(path) as folder:
        yield folder


def write_marker(folder: Path, content: Mapping[str, Any]) -> None:
    """Write what the folder holds and where it comes from, as JSON."""
    text = json.dumps(content, indent=2) + "\n"
    (folder / MARKER).write_text(text, encoding="utf-8")
