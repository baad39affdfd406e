"""Parts of a data set: what a file holds, whether files fit together, and a folder of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from seistomo.config import Config
from seistomo.dataset.store import schema
from seistomo.dataset.store.reader import FINISH, DatasetReader
from seistomo.errors import InputError
from seistomo.progress import bar, warn

# Names of the shards of a set that is being made; other folders hold parts of any name.
SHARDS = "shard-*.h5"
# Entries of a list in a message; the rest is counted.
SHOWN = 8
# Wavelets that were computed by different processors differ by less, as a part of their peak.
WAVELET_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Part:
    """One file of a data set: its samples are start, start + 1, ... start + samples - 1.

    Attributes
    ----------
    path
        The file.
    start, samples
        Index of the first sample, and number of samples.
    config
        What it was made with; its number of samples is that of the whole set.
    wavelet
        float64 [time].
    software
        Versions of the programs that made it.
    shard
        (i, n) where it is what ``--shard i/n`` made.
    """

    path: Path
    start: int
    samples: int
    config: Config
    wavelet: np.ndarray
    software: dict[str, str]
    shard: tuple[int, int] | None = None

    @property
    def stop(self) -> int:
        """Index after the last sample."""
        return self.start + self.samples


def part_at(path: Path) -> Part:
    """Return what part of a data set a file holds.

    Raises
    ------
    InputError
        If it is not a whole data set file, or its samples do not follow each other.
    """
    with DatasetReader(path) as reader:
        index = reader.sample_indices
        start = int(index[0])
        if not np.array_equal(index, np.arange(start, start + len(index))):
            raise InputError(
                f"{path}: holds chosen samples of a data set (an export?); a part's samples follow"
                " each other"
            )
        return Part(
            Path(path),
            start,
            reader.samples,
            reader.config,
            reader.wavelet,
            reader.software,
            reader.shard,
        )


def open_dataset(path: str | Path) -> DatasetReader:
    """Open a data set: a file, or a folder of shards or parts that hold one together.

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
        finish = f"; {FINISH}" if any(path.glob(SHARDS)) else ""
        raise InputError(f"{path}: holds no whole data set: {error}{finish}") from None
    return DatasetReader(path, [part.path for part in parts])


def parts_at(paths: Sequence[Path]) -> list[Part]:
    """Return what data set files hold, in the order of their samples.

    Raises
    ------
    InputError
        See `part_at`.
    """
    with bar(paths, description="open", unit="part", leave=False) as shown:
        return sorted(map(part_at, shown), key=lambda part: (part.start, part.stop))


def files_of(paths: Iterable[str | Path], out: Path | None = None) -> list[Path]:
    """Return the data set files among ``paths``, and in those of them that are folders.

    Parameters
    ----------
    paths
        Files and folders.
    out
        What is to be made of them: in the folders an older one does not count, but for a part of
        the set under that name.

    Raises
    ------
    InputError
        If a folder holds none.
    """
    files = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(path.glob(SHARDS)) or sorted(path.glob("*.h5"))
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
        part = part_at(path)
    except InputError:
        return False
    return part.samples < part.config.dataset.samples


def require_alike(parts: Sequence[Part]) -> None:
    """Refuse parts of different data sets.

    Raises
    ------
    InputError
        Naming the two files and what differs.
    """
    first, *others = parts
    ours = schema.data_settings(first.config)
    for part in others:
        theirs = schema.data_settings(part.config)
        for key, value in ours.items():
            if theirs[key] != value:
                raise InputError(
                    f"{part.path}: {key} = {theirs[key]!r}, but {first.path} has {value!r};"
                    " only parts of one data set can be merged"
                )
        if not same_wavelet(first.wavelet, part.wavelet):
            raise InputError(
                f"{part.path}: holds another wavelet than {first.path}; only parts of one data set"
                " can be merged"
            )
        if part.software != first.software:
            warn(
                f"{part.path}: made with {_versions(part)}, {first.path} with {_versions(first)};"
                " their samples may differ in the last digits from those of one machine"
            )


def same_wavelet(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two wavelets [time] are the same, up to rounding."""
    peak = float(np.max(np.abs(one), initial=0.0))
    return one.shape == other.shape and np.allclose(
        one, other, rtol=0, atol=WAVELET_TOLERANCE * peak
    )


def require_whole(parts: Sequence[Part], *, partial: bool = False) -> int:
    """Return the number of samples that parts, sorted by start, hold together.

    Parameters
    ----------
    parts
        The parts.
    partial
        Whether the last samples may be missing.

    Raises
    ------
    InputError
        If samples are missing or there twice: one line that says which, all of them, and what
        would make the missing ones.
    """
    held = max(part.stop for part in parts)
    wanted = max(part.config.dataset.samples for part in parts)
    problems = []
    if gaps := missing_ranges(parts, range(held if partial else wanted)):
        count = sum(stop - start for start, stop in gaps)
        ranges = _listed([_span(start, stop) for start, stop in gaps])
        verb = "is" if count == 1 else "are"
        problems.append(f"{count} of {wanted} samples {verb} missing: {ranges}{_remedy(parts)}")
    problems += [
        f"{one.path} and {other.path} both hold samples"
        f" {_span(other.start, min(one.stop, other.stop))}"
        for one, other in _overlaps(parts)
    ]
    if problems:
        raise InputError(_listed(problems, "; "))
    return held


def missing_ranges(parts: Iterable[Part], wanted: range) -> list[tuple[int, int]]:
    """Return the ranges (start, stop) of ``wanted`` that no part holds; parts sorted by start."""
    gaps, reached = [], wanted.start
    for part in parts:
        if part.start > reached:
            gaps.append((reached, min(part.start, wanted.stop)))
        reached = max(reached, part.stop)
    if reached < wanted.stop:
        gaps.append((reached, wanted.stop))
    return gaps


def _overlaps(parts: Sequence[Part]) -> list[tuple[Part, Part]]:
    """Return neighbours that share samples; the first is the one that reaches furthest so far."""
    found, furthest = [], None
    for part in parts:
        if furthest is not None and part.start < furthest.stop:
            found.append((furthest, part))
        if furthest is None or part.stop > furthest.stop:
            furthest = part
    return found


def _remedy(parts: Sequence[Part]) -> str:
    """Say which --shard i/n would make what is missing, where the parts say so themselves."""
    counts = {part.shard[1] for part in parts if part.shard}
    if len(counts) != 1 or not all(part.shard for part in parts):
        return ""
    (count,) = counts
    absent = sorted(set(range(1, count + 1)) - {part.shard[0] for part in parts})
    if not absent:
        return ""
    return f" (made by simulate --shard i/{count} for i = {','.join(_runs(absent))})"


def _runs(numbers: Sequence[int]) -> list[str]:
    """Return sorted numbers as job arrays take them: 3, 7-9."""
    firsts = [numbers[0], *(b for a, b in pairwise(numbers) if b > a + 1)]
    lasts = [*(a for a, b in pairwise(numbers) if b > a + 1), numbers[-1]]
    return [f"{a}" if a == b else f"{a}-{b}" for a, b in zip(firsts, lasts, strict=True)]


def _span(start: int, stop: int) -> str:
    return f"{start}" if stop == start + 1 else f"{start} to {stop - 1}"


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    more = len(items) - SHOWN
    shown = separator.join(items[:SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _versions(part: Part) -> str:
    return ", ".join(f"{name} {version}" for name, version in part.software.items())
