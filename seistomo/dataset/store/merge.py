"""Join parts (shards, or sets that separate runs made) into one data set."""

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.dataset.store.parts import Part, files_of, parts_at, require_alike, require_whole
from seistomo.dataset.store.reader import DatasetReader
from seistomo.dataset.store.writer import DatasetWriter
from seistomo.errors import InputError
from seistomo.files import forget, require_space, written_whole
from seistomo.progress import bar, warn


def merge(
    parts: Sequence[str | Path],
    out: str | Path,
    *,
    virtual: bool = False,
    overwrite: bool = False,
    partial: bool = False,
) -> Path:
    """Join parts into one file, ordered by sample index; it appears whole or not at all.

    Parameters
    ----------
    parts
        Data set files, or folders of them, that were made with the same settings and together
        hold every sample of the set once.
    out
        The file to write.
    virtual
        Make an HDF5 virtual data set that refers to the parts, instead of a copy.
    overwrite
        Whether an existing file may be replaced.
    partial
        Whether the last samples may be missing; the file then holds the ones before.

    Raises
    ------
    InputError
        If samples are missing or there twice (all of them are named), a part is foreign, ``out``
        exists, or a virtual set would refer to itself.
    """
    out = Path(out)
    paths = files_of(parts, out)
    if os.path.lexists(out) and not overwrite:
        raise InputError(f"{out}: exists already; use --overwrite to replace it")
    if virtual and out.resolve() in [path.resolve() for path in paths]:
        raise InputError(
            f"--out {out}: is one of the parts, which --virtual refers to; give another name"
        )
    if not paths:
        raise InputError("merge: no parts given")
    found = parts_at(paths)
    require_alike(found)
    wanted = max(part.config.dataset.samples for part in found)
    try:
        samples = require_whole(found, partial=partial)
    except InputError as error:
        raise InputError(f"{out}: cannot be merged: {error}") from None
    if samples < wanted:
        warn(f"{out}: holds samples 0 to {samples - 1} of {wanted}; the last ones are missing")
    if not virtual:
        # Copies are as large as their sources.
        require_space(out, sum(part.path.stat().st_size for part in found))
    config = schema.with_samples(found[0].config, samples)
    with (
        written_whole(out) as temporary,
        bar(total=samples, description="merge", unit="sample", leave=False) as progress,
    ):
        links = _links(found, out) if virtual else ()
        write_merged(temporary, config, samples, found, progress.update, links=links)
    return out


def write_merged(
    path: Path,
    config: Config,
    samples: int,
    parts: Iterable[Part],
    step: Callable[[], object],
    *,
    links: Sequence[tuple[str, int]] = (),
    shard: tuple[int, int] | None = None,
) -> None:
    """Write parts, in order, into one file.

    Parameters
    ----------
    path
        The file, written in place.
    config
        Stored in it.
    samples
        Number of samples of all parts.
    parts
        At least one; asked for one after the other, so that later ones may still be in the making.
    step
        Called after each sample.
    links, shard
        See `DatasetWriter`.
    """
    remaining = iter(parts)
    first = next(remaining)
    with DatasetWriter(path, config, samples, first.wavelet, links, shard) as writer:
        for part in chain([first], remaining):
            with DatasetReader(part.path) as reader:
                for values in reader.stored_samples():
                    writer.append_stored(values)
                    step()
            forget(part.path)


def _links(parts: Sequence[Part], out: Path) -> list[tuple[str, int]]:
    """Return the parts' paths as the file that refers to them sees them, and their samples."""
    folder = out.absolute().parent.resolve()
    return [(os.path.relpath(part.path.resolve(), folder), part.samples) for part in parts]
