"""Where a data set is made: a folder of shards beside the file to be.

Shards live in ``NAME.h5.shards``; each appears whole or not at all, so a killed run loses at most
the shard in hand, and the folder tells a later run what is left to do.
"""

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType

from seistomo.config import Config
from seistomo.dataset.store import DatasetReader, Part, part_at
from seistomo.dataset.store.schema import data_settings
from seistomo.errors import InputError
from seistomo.files import remove_quietly
from seistomo.progress import warn

# Tells a resumed run that the file beside the folder is an old one, to be replaced.
REPLACES = "replaces-existing"


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
        self.folder = out.with_name(out.name + ".shards")
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
        if not self.shard_paths() and self.folder.is_dir():
            # Nothing worth resuming: leave no trace. Under the lock, so that what goes is ours.
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remove(self) -> None:
        """Remove the folder once the set is whole."""
        shutil.rmtree(self.folder)

    def shard_paths(self) -> list[Path]:
        """Return the shards that are there, in order."""
        return sorted(self.folder.glob("shard-*.h5"))

    def is_finished(self, config: Config) -> bool:
        """Tell whether the set is whole already, with as many samples as asked for."""
        kept = self._kept_set()
        return kept is not None and kept.stop == config.dataset.samples

    def finished_parts(self, config: Config) -> list[Part]:
        """Return the parts that are whole, by start.

        Raises
        ------
        InputError
            If they were made with other settings, or hold more samples than asked for.
        """
        kept = self._kept_set()
        parts = [kept] if kept else []
        for path in self.shard_paths():
            part = self._usable_shard(path)
            if part and not (kept and part.stop <= kept.stop):
                parts.append(part)
        for part in parts:
            _require_same_settings(config, part)
        return sorted(parts, key=lambda part: part.start)

    def missing_ranges(self, config: Config) -> list[tuple[int, int]]:
        """Return the ranges (start, stop) of samples still to be made, one a shard."""
        samples, gaps, reached = config.dataset.samples, [], 0
        for part in [*self.finished_parts(config), Part(self.out, samples, 0)]:
            for start in range(reached, part.start, config.dataset.shard_samples):
                gaps.append((start, min(start + config.dataset.shard_samples, part.start)))
            reached = max(reached, part.stop)
        return gaps

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
        self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise InputError(
                f"--out {self.out}: another process is writing it; wait for it or choose another"
                " name"
            ) from None


def _require_same_settings(config: Config, part: Part) -> None:
    with DatasetReader(part.path) as reader:
        theirs = data_settings(reader.config)
    for key, value in data_settings(config).items():
        if theirs[key] != value:
            raise InputError(
                f"{part.path}: was made with {key} = {theirs[key]!r}, now it is {value!r};"
                " resume with the same settings or use --overwrite"
            )
    if part.stop > config.dataset.samples:
        raise InputError(
            f"{part.path}: holds {part.stop} samples, more than dataset.samples ="
            f" {config.dataset.samples}; ask for as many or use --overwrite"
        )
