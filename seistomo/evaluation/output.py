"""The folder of an evaluation, which appears whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seistomo import files

CONTENT = ("metrics.json", "samples.csv", "report.html")
"""What tells an evaluation from any other folder."""


def check_output_folder(path: str | Path, overwrite: bool) -> Path:
    """Return ``path`` if an evaluation may be written there.

    Raises
    ------
    InputError
        If something is there and ``overwrite`` was not asked for, or it is not an evaluation:
        another folder is never replaced.
    """
    files.require_replaceable(Path(path), overwrite, CONTENT, "an evaluation")
    return Path(path)


@contextmanager
def folder_written_whole(path: str | Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes ``path``: see `seistomo.files.folder_written_whole`.

    Raises
    ------
    InputError
        If ``path`` may not be written (`check_output_folder`).
    DiskFullError
        If the disk fills up while the block writes.
    """
    with files.folder_written_whole(check_output_folder(path, overwrite)) as folder:
        yield folder
