"""Where a data set is made: a folder of shards beside the file to be.

Shards live in ``NAME.h5.shards``; each appears whole or not at all, so a killed run loses at most
the shard in hand, and the folder tells a later run what is left to do.
"""

import errno
import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from seistomo.config import Config
from seistomo.dataset.store import Part, part_at
from seistomo.dataset.store.parts import same_wavelet
from seistomo.dataset.store.schema import data_settings
from seistomo.errors import InputError
from seistomo.files import remove_quietly
from seistomo.interrupts import raise_if_interrupted
from seistomo.progress import warn

# Tells a resumed run that the file beside the folder is an old one, to be replaced.
REPLACES = "replaces-existing"
LOCK = "lock"
# The longest that a file of another machine may take to be seen here, s.
SEEN_AFTER = 60.0
POLL = 0.1


class Workshop:
    """The folder of shards of one data set, locked while it is open.

    Parameters
    ----------
    out
        The data set that is made.
    resume
        Whether shards, or a finished set, that are there already are kept.
    overwrite
        Whether they are replaced.

    Raises
    ------
    InputError
        If something is there and neither was asked for, or both were, or another process works
        on it.
    """

    def __init__(self, out: Path, *, resume: bool, overwrite: bool) -> None:
        if resume and overwrite:
            raise InputError(f"--out {out}: choose one of --resume and --overwrite")
        self.out = out
        self.folder = _folder_of(out)
        self._resume, self._overwrite = resume, overwrite
        self._lock: int | None = None

    def __enter__(self) -> "Workshop":
        if not self._resume and not self._overwrite:
            self._refuse_existing()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        if self._overwrite:
            for path in self.folder.glob("shard-*.h5"):
                path.unlink()
            if self.out.exists():
                (self.folder / REPLACES).touch()
        for leftover in self.folder.glob(".*.part"):
            remove_quietly(leftover)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.shard_paths():
            # Nothing worth resuming: leave no trace.
            self.remove()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        with suppress(OSError):
            # Network file systems keep the file of a lock, and so the folder, until it is closed.
            self.folder.rmdir()

    def remove(self) -> None:
        """Remove the folder once the set is whole: under the lock, so that what goes is ours."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def shard_paths(self) -> list[Path]:
        """Return the shards that are there, in order."""
        return sorted(self.folder.glob("shard-*.h5"))

    def is_finished(self, wanted: range) -> bool:
        """Tell whether the set is whole already, with the samples asked for."""
        kept = self._kept_set()
        return kept is not None and range(kept.start, kept.stop) == wanted

    def finished_parts(self, config: Config, wanted: range, wavelet: np.ndarray) -> list[Part]:
        """Return the parts that are whole, by start.

        Parameters
        ----------
        config, wavelet
            What the set is made with.
        wanted
            Its samples.

        Raises
        ------
        InputError
            If parts were made with other settings or another wavelet, or hold other samples.
        """
        kept = self._kept_set()
        parts = [kept] if kept else []
        for path in self.shard_paths():
            raise_if_interrupted()
            part = self._usable_shard(path)
            if part:
                parts.append(part)
        for part in parts:
            _require_same_settings(config, wavelet, part)
            _require_wanted(config, wanted, part)
        return _next_to_each_other(parts)

    def shard_path(self, start: int, stop: int) -> Path:
        """Return where the shard of samples start to stop - 1 belongs."""
        return self.folder / f"shard-{start:08d}-{stop:08d}.h5"

    def require_shared(self) -> None:
        """Refuse a folder that this process does not see, though another one works in it.

        Raises
        ------
        InputError
            If it is not there, even after a while: network file systems are slow to tell.
        """
        deadline = time.monotonic() + SEEN_AFTER
        while not (self.folder / LOCK).exists():
            if time.monotonic() > deadline:
                raise InputError(
                    f"{self.folder}: rank 0 works there, but this machine does not see it; --out"
                    " must be in a folder that all machines share"
                )
            raise_if_interrupted()
            time.sleep(POLL)

    @staticmethod
    def holds_old_set(out: Path) -> bool:
        """Tell whether ``out`` is there and no run has begun to replace it."""
        return os.path.lexists(out) and not (_folder_of(out) / REPLACES).exists()

    def _kept_set(self) -> Part | None:
        if not self.out.exists() or self._overwrite or (self.folder / REPLACES).exists():
            return None
        return part_at(self.out)

    def _usable_shard(self, path: Path) -> Part | None:
        try:
            return part_at(path)
        except InputError as error:
            warn(f"{error}; made again")
            path.unlink()
            return None

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.out):
            raise InputError(
                f"--out {self.out}: exists already; use --overwrite to replace it,"
                " --resume to add samples"
            )
        if self.shard_paths():
            raise InputError(
                f"--out {self.out}: an interrupted run left {self.folder.name}; use --resume to"
                " finish it, --overwrite to start anew"
            )

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                warn(
                    f"{self.folder}: this file system has no locks; see to it that no other"
                    " process writes the same --out"
                )
                return
            os.close(self._lock)
            self._lock = None
            raise InputError(
                f"--out {self.out}: another process is writing it; wait for it or choose another"
                " name"
            ) from None


def _folder_of(out: Path) -> Path:
    return out.with_name(out.name + ".shards")


def cut(gaps: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    """Cut ranges (start, stop) of samples into shards of at most ``size``."""
    return [
        (first, min(first + size, stop))
        for start, stop in gaps
        for first in range(start, stop, size)
    ]


def _next_to_each_other(parts: list[Part]) -> list[Part]:
    """Return parts by start, without those that begin inside another.

    A process that outlived its own run may have left some, cut otherwise; samples are the same.
    """
    chosen: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.start, -part.stop)):
        if not chosen or part.start >= chosen[-1].stop:
            chosen.append(part)
    return chosen


def _require_same_settings(config: Config, wavelet: np.ndarray, part: Part) -> None:
    theirs = data_settings(part.config)
    for key, value in data_settings(config).items():
        if theirs[key] != value:
            hint = "; give the file with --velocity" if key == "velocity.imported" else ""
            raise InputError(
                f"{part.path}: was made with {key} = {theirs[key]!r}, now it is {value!r}{hint};"
                " resume with the same settings or use --overwrite"
            )
    if not same_wavelet(part.wavelet, wavelet):
        raise InputError(
            f"{part.path}: was made with another wavelet than survey.wavelet_file ="
            f" {config.survey.wavelet_file} holds now; resume with the same or use --overwrite"
        )


def _require_wanted(config: Config, wanted: range, part: Part) -> None:
    if wanted.start <= part.start and part.stop <= wanted.stop:
        return
    if wanted == range(config.dataset.samples) and part.shard is None:
        raise InputError(
            f"{part.path}: holds {part.stop} samples, more than dataset.samples ="
            f" {config.dataset.samples}; ask for as many or use --overwrite"
        )
    made = f" (--shard {part.shard[0]}/{part.shard[1]})" if part.shard else ""
    raise InputError(
        f"{part.path}: holds samples {part.start} to {part.stop - 1}{made}, but"
        f" {wanted.start} to {wanted.stop - 1} are to be made; give each part a name of its own,"
        " or use --overwrite"
    )
