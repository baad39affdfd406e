"""The run directory: who may write into it, and how a new run takes an old one's place."""

import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seistomo.errors import InputError
from seistomo.files import (
    folder_written_whole,
    link_target,
    remove_leftovers,
    remove_quietly,
    write_text,
)
from seistomo.progress import say
from seistomo.ranks import LostRankError
from seistomo.training.history import CHECKPOINT, CONFIG, FIGURES

# What a killed process leaves of a file that it was writing.
LEFTOVERS = ".*.part"
# Of an ensemble's folder, with a number.
MEMBER = "member-"


def member_folders(path: str | Path) -> list[Path]:
    """Return the members of an ensemble, by their number; of anything else none."""
    found = () if (Path(path) / CONFIG).is_file() else Path(path).glob(f"{MEMBER}*")
    return sorted((p for p in found if p.name[len(MEMBER) :].isdecimal()), key=member_number)


def member_number(member: Path) -> int:
    return int(member.name[len(MEMBER) :])


class RunDirectory:
    """A run directory that one process writes, as a context manager.

    A lock beside the folder says who may; it is taken before anything is looked at, and its file
    stays. A run that overwrites another one grows in a scratch folder beside it, until `settle`
    puts it in its place; before that a failure leaves the old run as it was.
    Of several processes those that do not lead only know where the run is.
    """

    def __init__(self, path: str | Path, *, resume: bool, overwrite: bool, leads: bool = True):
        self.path, self._place = Path(path), link_target(path)
        self.folder = self._place
        self._overwrite, self._resume, self._leads = overwrite, resume, leads
        lock = self._place.with_name(f".{self._place.name}.training.lock")
        self._lock = FileLock(lock, timeout=0)
        self._replacement = folder_written_whole(self._place)
        if resume and overwrite:
            raise InputError(f"run {path}: choose one of --resume and --overwrite")
        if leads:
            self._require_free()

    def __enter__(self) -> "RunDirectory":
        if not self._leads:
            return self
        try:
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InputError(
                f"run {self.path}: another process is training it; wait for it or choose another"
                " directory"
            ) from None
        except OSError as error:
            raise InputError(f"run {self.path}: cannot be made: {error.strerror}") from None
        try:
            remove_leftovers(self._place)
            if self._require_free() and self._overwrite:
                self.folder = self._replacement.__enter__()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
        if not self._leads:
            return
        # An interrupted run can be resumed; one that failed without a checkpoint is of no use.
        failed = kind is not None and not issubclass(kind, KeyboardInterrupt | LostRankError)
        try:
            if not self.settled:
                say(f"run {self.path}: the run that was there is as it was")
                self._replacement.__exit__(kind, *details)
            elif failed and not (self.folder / CHECKPOINT).exists():
                shutil.rmtree(self.folder, ignore_errors=True)
        finally:
            self._lock.release()

    @property
    def settled(self) -> bool:
        """Whether the files are where they belong."""
        return self.folder == self._place

    def start(self, config_text: str) -> None:
        """Make the folder, with its first file; remove what a killed run left half written."""
        if not self._leads:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"run {self.path}: cannot be made: {error.strerror}") from None
        for leftover in self.folder.glob(LEFTOVERS):
            remove_quietly(leftover)
        # First, because it is what a run directory is known by.
        write_text(self.folder / CONFIG, config_text)
        (self.folder / FIGURES).mkdir(exist_ok=True)

    def settle(self) -> None:
        """Put the new run in the place of the old one; a kill leaves one of them whole."""
        if not self.settled:
            self._replacement.__exit__(None, None, None)
            self.folder = self._place

    def _require_free(self) -> bool:
        """Refuse what may not be continued or replaced; return whether a run is there."""
        place = self._place
        if not place.exists():
            return False
        if place.is_dir() and set(place.iterdir()) <= set(place.glob(LEFTOVERS)):
            return False
        if not (place / CONFIG).is_file():
            raise InputError(
                f"run {self.path}: exists and is no run directory; choose another path"
            )
        if not (self._resume or self._overwrite):
            raise InputError(
                f"run {self.path}: exists already; use --resume to continue it, --overwrite to"
                " replace it, or another directory"
            )
        return True
