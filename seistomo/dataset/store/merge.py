"""Join parts (shards, or sets that separate runs made) into one data set."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.dataset.store.reader import DatasetReader
from seistomo.dataset.store.writer import DatasetWriter
from seistomo.errors import InputError
from seistomo.files import require_space, written_whole
from seistomo.progress import bar, warn


def merge(
    parts: Sequence[str | Path],
    out: str | Path,
    *,
    virtual: bool = False,
    overwrite: bool = False,
) -> Path:
    """Join parts into one file, ordered by sample index; it appears whole or not at all.

    Parameters
    ----------
    parts
        Data set files, made with the same settings, that together hold samples 0 to n-1 once.
    out
        The file to write.
    virtual
        Make an HDF5 virtual data set that refers to the parts, instead of a copy.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    InputError
        If a part is missing, double or foreign, ``out`` exists, or a virtual set would refer to
        itself.
    """
    out, paths = Path(out), [Path(part) for part in parts]
    if os.path.lexists(out) and not overwrite:
        raise InputError(f"{out}: exists already; use --overwrite to replace it")
    if virtual and out.resolve() in [path.resolve() for path in paths]:
        raise InputError(f"--out {out}: is one of the parts, which --virtual refers to; rename it")
    found = sorted(map(part_at, paths), key=lambda part: part.start)
    config, samples = _common_config(found), _check_coverage(found)
    if samples < config.dataset.samples:
        warn(
            f"{out}: the parts hold samples 0 to {samples - 1} of the {config.dataset.samples} that"
            " they were made for; the last ones are missing"
        )
    config = schema.with_samples(config, samples)
    if not virtual:
        # Copies are as large as their sources.
        require_space(out, sum(part.path.stat().st_size for part in found))
    with written_whole(out) as temporary:
        _write_merged(temporary, config, found, virtual, out.absolute().parent)
    return out


@dataclass(frozen=True)
class Part:
    """One file of a data set: its samples are start, start + 1, ... start + samples - 1."""

    path: Path
    start: int
    samples: int

    @property
    def stop(self) -> int:
        """Index after the last sample."""
        return self.start + self.samples


def part_at(path: Path) -> Part:
    """Return what part of a data set a file holds.

    Raises
    ------
    InputError
        If it is not a whole data set file.
    """
    with DatasetReader(path) as reader:
        return Part(path, int(reader.seeds([0])[0, 1]), reader.samples)


def _write_merged(
    temporary: Path, config: Config, parts: list[Part], virtual: bool, folder: Path
) -> None:
    samples = sum(part.samples for part in parts)
    with DatasetReader(parts[0].path) as first:
        wavelet = first.wavelet
    links = [
        (os.path.relpath(part.path.resolve(), folder.resolve()), part.samples) for part in parts
    ]
    with (
        DatasetWriter(temporary, config, samples, wavelet, links if virtual else ()) as writer,
        bar(total=samples, description="merge", unit="sample", leave=False) as progress,
    ):
        for part in parts:
            with DatasetReader(part.path) as reader:
                for row in range(reader.samples):
                    writer.append_stored(reader.stored_sample(row))
                    progress.update()


def _common_config(parts: list[Part]) -> Config:
    common: Config | None = None
    for part in parts:
        with DatasetReader(part.path) as reader:
            config = reader.config
        if common is None:
            common = config
            continue
        ours, theirs = schema.data_settings(common), schema.data_settings(config)
        for key, value in ours.items():
            if theirs[key] != value:
                raise InputError(
                    f"{part.path}: {key} = {theirs[key]!r}, but {parts[0].path} has {value!r};"
                    " only parts of one data set can be merged"
                )
    if common is None:
        raise InputError("merge: no parts given")
    return common


def _check_coverage(parts: list[Part]) -> int:
    """Refuse gaps and overlaps; return the number of samples."""
    expected = 0
    for part in parts:
        path, start = part.path, part.start
        if start > expected:
            raise InputError(f"{path}: starts at sample {start}; {expected} to {start - 1} missing")
        if start < expected:
            raise InputError(f"{path}: samples from {start} on are in another part too")
        expected = part.stop
    return expected
