"""The run directory: who may write into it, and files that appear whole or not at all."""

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from seistomo.errors import InputError
from seistomo.files import remove_quietly, written_whole

CONFIG, HISTORY, METRICS = "config.toml", "history.csv", "metrics.json"
CHECKPOINT, BEST, FIGURES = "checkpoint.pt", "best.pt", "figures"
# What a killed process leaves of a file that it was writing.
LEFTOVERS = ".*.part"


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class RunDirectory:
    """A run directory that one process writes.

    A run that overwrites another one grows beside it, in ``.NAME.starting``, until `settle` puts
    it in its place; before that a failure leaves the old run as it was.

    Parameters
    ----------
    path
        The run directory.
    resume
        Whether a run that is there may be continued.
    overwrite
        Whether a run that is there may be replaced.

    Attributes
    ----------
    path
        The run directory.
    folder
        Where its files are now.

    Raises
    ------
    InputError
        If something is there and neither was asked for, or it is no run.
    """

    def __init__(self, path: str | Path, *, resume: bool, overwrite: bool):
        self.path = Path(path)
        if resume and overwrite:
            raise InputError(f"run {path}: choose one of --resume and --overwrite")
        self._finish_interrupted_exchange()
        taken = self._is_taken()
        if taken and not (resume or overwrite):
            raise InputError(
                f"run {path}: exists already; use --resume to continue it, --overwrite to replace"
                " it, or another directory"
            )
        self.folder = self._beside("starting") if taken and overwrite else self.path
        self._locks: list[int] = []

    @property
    def checkpoint(self) -> Path:
        """Where the last checkpoint is."""
        return self.folder / CHECKPOINT

    @property
    def settled(self) -> bool:
        """Whether the files are where they belong."""
        return self.folder == self.path

    def start(self, config_text: str) -> None:
        """Make the directory, lock it, remove what a killed run left half written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"run {self.path}: cannot be made: {error.strerror}") from None
        for folder in {self.path, self.folder}:
            self._take_lock(folder)
        if not self.settled:
            _empty(self.folder)
        for leftover in self.folder.glob(LEFTOVERS):
            remove_quietly(leftover)
        # First, because it is what a run directory is known by.
        write_text(self.folder / CONFIG, config_text)
        (self.folder / FIGURES).mkdir(exist_ok=True)

    def settle(self) -> None:
        """Put the new run in the place of the old one."""
        if not self.settled:
            old = self._beside("replaced")
            os.rename(self.path, old)
            os.rename(self.folder, self.path)
            shutil.rmtree(old)
            self.folder = self.path

    def close(self, *, abandon: bool) -> None:
        """Release the directory; remove it if it holds nothing worth keeping.

        Parameters
        ----------
        abandon
            Whether a run without a checkpoint is of no use (it failed, rather than being
            interrupted: an interrupted one can be resumed).
        """
        unfit = not self.settled or (abandon and not self.checkpoint.exists())
        if unfit and self._locks:
            shutil.rmtree(self.folder, ignore_errors=True)
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def write_metrics(self, values: dict[str, Any]) -> None:
        """Write ``metrics.json``."""
        write_text(self.folder / METRICS, json.dumps(values, indent=2) + "\n")

    def _is_taken(self) -> bool:
        if not self.path.exists():
            return False
        if self.path.is_dir() and set(self.path.iterdir()) <= set(self.path.glob(LEFTOVERS)):
            return False
        if not (self.path / CONFIG).is_file():
            raise InputError(
                f"run {self.path}: exists and is no run directory; choose another path"
            )
        return True

    def _beside(self, suffix: str) -> Path:
        absolute = self.path.absolute()
        return absolute.with_name(f".{absolute.name}.{suffix}")

    def _finish_interrupted_exchange(self) -> None:
        new, old = self._beside("starting"), self._beside("replaced")
        if old.is_dir() and not self.path.exists():
            os.rename(new if new.is_dir() else old, self.path)
        if old.is_dir():
            shutil.rmtree(old)

    def _take_lock(self, folder: Path) -> None:
        # The lock is on the directory itself: it goes with the process and leaves no file.
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            for handle in [lock, *self._locks]:
                os.close(handle)
            self._locks.clear()
            raise InputError(
                f"run {self.path}: another process is training it; wait for it or choose another"
                " directory"
            ) from None
        self._locks.append(lock)


class FollowedDirectory:
    """A run directory that another process writes; the same methods do nothing here.

    Parameters
    ----------
    path
        The run directory.

    Attributes
    ----------
    path, folder, checkpoint, settled
        As in `RunDirectory`.
    """

    settled = True

    def __init__(self, path: str | Path):
        self.path = self.folder = Path(path)
        self.checkpoint = self.path / CHECKPOINT

    def start(self, config_text: str) -> None:
        """Do nothing."""

    def settle(self) -> None:
        """Do nothing."""

    def close(self, *, abandon: bool) -> None:
        """Do nothing."""

    def write_metrics(self, values: dict[str, Any]) -> None:
        """Do nothing."""


def _empty(folder: Path) -> None:
    for item in folder.iterdir():
        if item.is_dir():
            shutil.rmtree(item)
        else:
            item.unlink()
