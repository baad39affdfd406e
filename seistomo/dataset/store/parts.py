"""Parts of a data set: files that hold one together, found, opened as one, or joined."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from seistomo.dataset.store import schema
from seistomo.dataset.store.reader import DatasetReader, VelocityReader, file_format
from seistomo.dataset.store.writer import RowWriter, create_dataset, finish
from seistomo.errors import InputError
from seistomo.files import link_target, require_file, require_space, written_whole
from seistomo.progress import bar, warn

# Entries of a list in a message; the rest is counted.
SHOWN = 8
# Wavelets that were computed by different processors differ by less, as a part of their peak.
WAVELET_TOLERANCE = 1e-9
# Bytes that are copied at once.
BLOCK_BYTES = 2**23


def open_dataset(path: str | Path) -> DatasetReader:
    """Open a data set: a file, or a folder of parts that hold one together.

    Raises
    ------
    InputError
        See `DatasetReader`; for a folder also where its files hold no whole set, or more than one.
    """
    path = Path(path)
    if not path.is_dir():
        return DatasetReader(path)
    parts = parts_at(files_of([path]))
    require_alike(parts)
    try:
        require_whole(parts)
    except InputError as error:
        raise InputError(f"{path}: holds no whole data set: {error}") from None
    return DatasetReader(path, [part.path for part in parts])


def open_velocity(path: str | Path) -> VelocityReader:
    """Open the velocity models of a velocity file, of predictions, of a data set or its parts.

    Raises
    ------
    InputError
        If it is none of these, or damaged.
    """
    path = Path(path)
    held = file_format(path)
    if held in VelocityReader.formats:
        return VelocityReader(path)
    if path.is_file() and held != schema.FORMAT:
        raise InputError(
            f"{path}: neither a velocity file nor a data set; make one of it with `seistomo import`"
        )
    return open_dataset(path)


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
    require_file(out, overwrite)
    paths = files_of(parts, out)
    if virtual and link_target(out) in map(link_target, paths):
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
    links, identities = [], {}
    for part in found if virtual else ():
        name = os.path.relpath(part.path.resolve(), out.absolute().parent.resolve())
        links.append((name, part.samples))
        identities[name] = part.identity
    told = json.dumps(identities) if virtual else None
    sources = [(part, range(part.samples)) for part in found]
    with bar(total=samples, description="merge", unit="sample", leave=False) as progress:
        _write_rows(out, sources, progress.update, links, told)
    return out


def write_subset(data: DatasetReader, rows: Sequence[int], out: Path) -> None:
    """Copy rows into a data set of their own, everything as it is stored."""
    require_space(out, len(rows) * schema.stored_bytes(data.config))
    with bar(total=len(rows), description="export", unit="sample") as progress:
        _write_rows(out, [(data, rows)], progress.update)


def _write_rows(
    out: Path,
    sources: Sequence[tuple[DatasetReader, Sequence[int]]],
    update: Callable[[int], object],
    links: Sequence[tuple[str, int]] = (),
    told: str | None = None,
) -> None:
    """Write the rows of one data set after those of another; ``links`` as for `create`."""
    first, count = sources[0][0], sum(len(rows) for _, rows in sources)
    config, widths = schema.with_samples(first.config, count), widest(data for data, _ in sources)
    with written_whole(out) as temporary:
        create_dataset(temporary, config, count, first.wavelet, widths, links, parts=told)
        with RowWriter(temporary) as writer:
            start = 0
            for data, rows in sources:
                with data:
                    for some in copy_rows(data, rows, writer, start):
                        update(len(some))
                start += len(rows)
            writer.flush()
        finish(temporary, schema.data_settings(config))


def copy_rows(
    reader: DatasetReader, rows: Sequence[int], writer: RowWriter, first: int
) -> Iterable[Sequence[int]]:
    """Copy rows of one file to another, where the first comes to ``first``; yield what is done."""
    block = max(1, BLOCK_BYTES // schema.stored_bytes(reader.config))
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        writer.write_columns(first + start, reader.stored(some, writer.names))
        yield some


def widest(parts: Iterable[VelocityReader]) -> dict[str, int]:
    """Return the bytes that text needs in a file that is to hold what several hold."""
    widths = [part.widths for part in parts]
    return {name: max(width[name] for width in widths) for name in widths[0]}


def parts_at(paths: Sequence[Path]) -> list[DatasetReader]:
    """Return what data set files hold, in the order of their samples."""
    spans = {}
    with bar(paths, description="open", unit="part", leave=False) as shown:
        for part in map(DatasetReader, shown):
            spans[part] = part.span.start, part.span.stop
            # Systems allow a process few open files.
            part.close()
    return sorted(spans, key=spans.get)


def files_of(paths: Iterable[str | Path], out: Path | None = None) -> list[Path]:
    """Return the data set files among ``paths``, and in those of them that are folders.

    In the folders an older ``out``, which is to be made of them, does not count, but for a part of
    the set under that name.
    """
    files = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(path.glob("*.h5"))
        if out is not None:
            same = out.resolve()
            inside = [file for file in inside if file.resolve() != same or _holds_some(file)]
        if not inside:
            raise InputError(f"{path}: holds no parts of a data set (*.h5)")
        files += inside
    return files


def _holds_some(path: Path) -> bool:
    """Tell whether a file holds some samples of a data set, not all."""
    try:
        part = DatasetReader(path)
    except InputError:
        return False
    return part.samples < part.config.dataset.samples


def require_alike(parts: Sequence[DatasetReader]) -> None:
    """Refuse parts of different data sets, naming the two files and what differs."""
    first, *others = parts
    for part in others:
        difference = schema.data_difference(first.config, part.config)
        if difference:
            key, ours, theirs = difference
            raise InputError(
                f"{part.path}: {key} = {theirs!r}, but {first.path} has {ours!r};"
                " only parts of one data set can be merged"
            )
        if not same_wavelet(first.wavelet, part.wavelet):
            raise InputError(
                f"{part.path}: holds another wavelet than {first.path}; only parts of one data set"
                " can be merged"
            )
        warn_of_versions(part, first.software, str(first.path))


def warn_of_versions(part: DatasetReader, software: dict[str, str], other: str) -> None:
    if part.software != software:
        ours, theirs = (
            ", ".join(f"{name} {version}" for name, version in versions.items())
            for versions in (part.software, software)
        )
        warn(
            f"{part.path}: made with {ours}, {other} with {theirs};"
            " their samples may differ in the last digits from those of one machine"
        )


def same_wavelet(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two wavelets [time] are the same, up to rounding."""
    peak = float(np.max(np.abs(one), initial=0.0))
    return one.shape == other.shape and np.allclose(
        one, other, rtol=0, atol=WAVELET_TOLERANCE * peak
    )


def require_whole(parts: Sequence[DatasetReader], *, partial: bool = False) -> int:
    """Return the number of samples that parts, sorted by start, hold together.

    Refuses parts that lack samples or have some twice in one line that says which, all of them, and
    what would make the missing ones; ``partial``: the last ones may be missing.
    """
    held = max(part.span.stop for part in parts)
    wanted = max(part.config.dataset.samples for part in parts)
    there = np.concatenate([part.span for part in parts])
    missing = np.setdiff1d(np.arange(held if partial else wanted), there)
    problems = []
    if len(missing):
        verb = "is" if len(missing) == 1 else "are"
        which = _listed(spans(missing))
        problems.append(
            f"{len(missing)} of {wanted} samples {verb} missing: {which}{_remedy(parts)}"
        )
    furthest = parts[0]
    for part in parts[1:]:
        if part.span.start < furthest.span.stop:
            last = min(part.span.stop, furthest.span.stop)
            (span,) = spans(np.arange(part.span.start, last))
            problems.append(f"{furthest.path} and {part.path} both hold samples {span}")
        furthest = max(furthest, part, key=lambda part: part.span.stop)
    if problems:
        raise InputError(_listed(problems, "; "))
    return held


def _remedy(parts: Sequence[DatasetReader]) -> str:
    """Say which --shard i/n would make what is missing, where the parts say so themselves."""
    counts = {part.shard[1] if part.shard else None for part in parts}
    if len(counts) != 1 or None in counts:
        return ""
    (count,) = counts
    absent = np.setdiff1d(np.arange(1, count + 1), [part.shard[0] for part in parts])
    # As job arrays take them: 3,7-9.
    which = ",".join(spans(absent, "-"))
    return f" (made by simulate --shard i/{count} for i = {which})" if which else ""


def runs(numbers: np.ndarray) -> list[np.ndarray]:
    """Cut sorted numbers where one is left out."""
    cuts = np.flatnonzero(np.diff(numbers) != 1) + 1
    return np.split(numbers, cuts) if len(numbers) else []


def spans(numbers: np.ndarray, to: str = " to ") -> list[str]:
    """Return sorted numbers in words: "3", "7 to 9"."""
    return [f"{run[0]}" + (f"{to}{run[-1]}" if len(run) > 1 else "") for run in runs(numbers)]


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    more = len(items) - SHOWN
    shown = separator.join(items[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
