"""The data set in the making: a file beside the one to be, whose rows are written in place.

``NAME.h5.unfinished`` has all its rows' places from the beginning and says which rows are there. A
killed run loses at most the shard in hand; a later one goes on with the file; when all rows are
there it moves into its place. It is locked by whoever makes it.
"""

import errno
import fcntl
import json
import os
import time
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from seistomo.config import Config
from seistomo.dataset.models import ModelSource
from seistomo.dataset.store import schema
from seistomo.dataset.store.parts import (
    copy_rows,
    runs,
    same_wavelet,
    warn_of_versions,
    widest,
)
from seistomo.dataset.store.reader import DatasetReader, file_format, unfinished_path
from seistomo.dataset.store.writer import RowWriter, create_dataset, finish
from seistomo.errors import InputError
from seistomo.files import link_target, remove_quietly, require_space, written_whole
from seistomo.interrupts import raise_if_interrupted
from seistomo.progress import warn

# The longest that a file of another machine may take to be seen here, s.
SEEN_AFTER = 60.0
POLL = 0.1


class Plan(NamedTuple):
    """What is to be made."""

    config: Config
    out: Path
    samples: range  # of the whole set
    shard: tuple[int, int] | None  # (i, n) of --shard i/n
    wavelet: np.ndarray  # float64 [time]


class Unfinished:
    """The file in the making, locked while this context manager is open."""

    def __init__(self, plan: Plan, *, resume: bool, overwrite: bool) -> None:
        if resume and overwrite:
            raise InputError(f"--out {plan.out}: choose one of --resume and --overwrite")
        self._plan, self._resume, self._overwrite = plan, resume, overwrite
        self.out = link_target(plan.out)
        self.path = unfinished_path(self.out)
        self.finished = False
        self._require_free()

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._lock(self.path)
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise InputError(f"--out {self.out}: cannot be written: {error.strerror}") from None
        try:
            # Another process may have made it, and ended, before this one had the lock.
            self._require_free()
        except InputError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if _is_at(self._handle, self.path) and not _has_rows(self.path):
            # Nothing worth resuming: leave no trace.
            remove_quietly(self.path)
        os.close(self._handle)

    def _require_free(self) -> None:
        """Refuse what is there and is neither to be continued nor to be replaced."""
        if self._resume or self._overwrite:
            return
        if self.out.exists():
            raise InputError(
                f"--out {self._plan.out}: exists already; use --overwrite to replace it, --resume"
                " to add samples"
            )
        if _has_rows(self.path):
            raise InputError(
                f"--out {self._plan.out}: an interrupted run left {self.path.name}; use --resume to"
                " finish it, --overwrite to start anew"
            )

    def prepare(self, models: ModelSource) -> list[tuple[int, int]]:
        """Make the file ready and return the ranges (start, stop) of samples that it lacks."""
        plan, source = self._plan, self._source()
        done = np.zeros(0, dtype=np.int64)
        if source is not None:
            _require_same_settings(plan, source)
            warn_of_versions(source, json.loads(schema.software_versions()), "this run is to go on")
            done = source.span.start + np.flatnonzero(source.checksums)
            _require_wanted(plan, source, done)
        same = source is not None and source.shard == plan.shard
        same = same and source.span == plan.samples
        self.finished = same and source.path == self.out
        missing = np.setdiff1d(np.asarray(plan.samples), done)
        if not self.finished:
            # What is there is copied where the set grows.
            new = len(missing) if same else len(plan.samples)
            require_space(self.out, new * schema.stored_bytes(plan.config))
        if not same:
            self._lay_out(models, source, done)
        return [(int(run[0]), int(run[-1]) + 1) for run in runs(missing)]

    def complete(self) -> None:
        """Move the file, whose rows are all written, into its place."""
        if not DatasetReader(self.path, finished=False).checksums.all():
            raise InputError(f"{self.path}: lacks samples; go on with --resume")
        finish(self.path, schema.data_settings(self._plan.config))
        os.fsync(self._handle)
        os.replace(self.path, self.out)

    def _source(self) -> DatasetReader | None:
        if self._overwrite:
            return None
        if file_format(self.path):
            return DatasetReader(self.path, finished=False)
        if os.path.getsize(self.path):
            warn(f"{self.path}: cannot be read; what it held is made again")
        return DatasetReader(self.out) if self.out.exists() else None

    def _lay_out(self, models: ModelSource, source: DatasetReader | None, done: np.ndarray) -> None:
        """Put a new file with the rows of the old one into the place of the unfinished one."""
        plan = self._plan
        with written_whole(self.path) as temporary:
            widths = widest([models, *([source] if source else [])])
            count, shard = len(plan.samples), plan.shard
            create_dataset(temporary, plan.config, count, plan.wavelet, widths, shard=shard)
            with RowWriter(temporary) as writer:
                writer.write_columns(0, {"index": np.asarray(plan.samples)})
                for run in runs(done):
                    rows = (run - source.span.start).tolist()
                    for _ in copy_rows(source, rows, writer, int(run[0]) - plan.samples.start):
                        raise_if_interrupted()
                writer.flush()
            if source is not None:
                source.close()
            handle = self._lock(temporary)
        os.close(self._handle)
        self._handle = handle

    def _lock(self, path: Path) -> int:
        """Open a file for this process alone; it is made if it is not there."""
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    os.close(handle)
                    raise InputError(
                        f"--out {self._plan.out}: another process is writing it; wait for it or"
                        " choose another name"
                    ) from None
                warn(
                    f"{path.parent}: this file system has no locks; see to it that no other process"
                    " writes the same --out"
                )
            # It may have been moved away or removed before it was locked.
            if _is_at(handle, path):
                return handle
            os.close(handle)


def wait_for_file(out: Path) -> Path:
    """Return the unfinished file of ``out`` when this process sees it: network disks are slow."""
    path = unfinished_path(link_target(out))
    deadline = time.monotonic() + SEEN_AFTER
    while file_format(path) != schema.FORMAT:
        if time.monotonic() > deadline:
            raise InputError(
                f"{path}: rank 0 works there, but this machine does not see it; --out must be in a"
                " folder that all machines share"
            )
        raise_if_interrupted()
        time.sleep(POLL)
    return path


def is_being_replaced(out: Path) -> bool:
    """Tell whether a run has begun to make what is to be at ``out``."""
    return _has_rows(unfinished_path(link_target(out)))


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False


def _has_rows(path: Path) -> bool:
    """Tell whether a file has rows; where it is damaged, it may have."""
    try:
        return file_format(path) is not None and bool(
            DatasetReader(path, finished=False).checksums.any()
        )
    except InputError:
        return True


def _require_same_settings(plan: Plan, source: DatasetReader) -> None:
    difference = schema.data_difference(plan.config, source.config)
    if difference:
        key, ours, theirs = difference
        hint = "; give the file with --velocity" if key == "velocity.imported" else ""
        raise InputError(
            f"{source.path}: was made with {key} = {theirs!r}, now it is {ours!r}{hint};"
            " resume with the same settings or use --overwrite"
        )
    if not same_wavelet(source.wavelet, plan.wavelet):
        raise InputError(
            f"{source.path}: was made with another wavelet than survey.wavelet_file ="
            f" {plan.config.survey.wavelet_file} holds now; resume with the same or use --overwrite"
        )


def _require_wanted(plan: Plan, source: DatasetReader, done: np.ndarray) -> None:
    wanted = plan.samples
    if not len(done) or (wanted.start <= done[0] and done[-1] < wanted.stop):
        return
    if wanted == range(plan.config.dataset.samples) and source.shard is None:
        raise InputError(
            f"{source.path}: holds {len(done)} samples, more than dataset.samples ="
            f" {plan.config.dataset.samples}; ask for as many or use --overwrite"
        )
    made = f" (--shard {source.shard[0]}/{source.shard[1]})" if source.shard else ""
    raise InputError(
        f"{source.path}: holds samples {done[0]} to {done[-1]}{made}, but {wanted.start} to"
        f" {wanted.stop - 1} are to be made; give each part a name of its own, or use --overwrite"
    )
