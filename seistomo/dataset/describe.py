"""A data set or velocity file in words, for people."""

from collections import Counter
from pathlib import Path

import numpy as np

from seistomo.dataset import DatasetReader, VelocityReader, file_format, open_dataset
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.progress import bar, counted

# Models looked at for what is told of all, and file names shown.
SHOWN, NAMES = 200, 5


def describe_dataset(path: str | Path, *, check: bool = False) -> str:
    """Return a readable summary of a data set or velocity file; ``check``: compare checksums."""
    models_alone = file_format(path) in VelocityReader.formats
    with VelocityReader(path) if models_alone else open_dataset(path) as data:
        if isinstance(data, DatasetReader):
            lines = [*_content(data), *_models(data), *_survey(data)]
        else:
            lines = [_heading(data, "velocity file"), *_models(data)]
        lines.append(f"made with   {', '.join(f'{k} {v}' for k, v in data.software.items())}")
        if check:
            lines.append(_checksums(data))
    return "\n".join(lines)


def _heading(data: VelocityReader, what: str) -> str:
    size = sum(path.stat().st_size for path in data.files)
    files = f" in {counted(len(data.files), 'file')}" if data.path.is_dir() else ""
    return f"{data.path}: seistomo {what} {data.identity}, {size / 1e6:.1f} MB{files}"


def _content(data: DatasetReader) -> list[str]:
    config = data.config
    counts = ", ".join(f"{len(data.indices(name))} {name}" for name in SPLITS)
    part = ""
    if data.shard is not None:
        first, last = data.sample_indices[[0, -1]]
        number, parts = data.shard
        part = f"; part {number} of {parts}: {first} to {last} of {config.dataset.samples}"
    return [
        _heading(data, "data set"),
        f"samples     {data.samples} ({counts}), seed {config.dataset.seed}{part}",
        f"gathers     {counted(data.gather_shape[0], 'source')} x"
        f" {counted(data.gather_shape[1], 'receiver')} x {data.gather_shape[2]} samples,"
        f" {config.dataset.storage}",
    ]


def _models(data: VelocityReader) -> list[str]:
    rows = np.arange(data.samples)
    families = Counter(data.families(rows))
    shown = rows[:: max(1, len(rows) // SHOWN)]
    velocity = data.read_velocity(shown)
    salt = data.read_salt_mask(shown).mean(axis=(1, 2))
    depth, x = data.velocity_shape
    with_salt = f"{np.mean(salt > 0):.0%} hold salt"
    if (salt > 0).any():
        with_salt += f", {salt[salt > 0].min():.1%} to {salt.max():.1%} of the area"
    low, high = velocity.min(), velocity.max()
    if not isinstance(data, DatasetReader):
        low, high = data.minimum, data.maximum
    lines = [
        f"models      {data.samples}, {depth} x {x} nodes (depth, x), {data.depth[-1]:g} m x"
        f" {data.x[-1]:g} m, spacing {data.spacing:g} m",
        f"velocity    {low:.0f} to {high:.0f} m/s, mean {velocity.mean():.0f} m/s; {with_salt}",
        f"families    {', '.join(f'{name} {count}' for name, count in sorted(families.items()))}",
    ]
    sources = sorted({str(data.parameters(row).get("file", "")) for row in shown} - {""})
    if sources:
        more = f" and {len(sources) - NAMES} more" if len(sources) > NAMES else ""
        lines.append(f"from        {', '.join(sources[:NAMES])}{more}")
    return lines


def _survey(data: DatasetReader) -> list[str]:
    config, survey = data.config.survey, data.read_survey(0)
    return [
        f"sources     x {_span(survey['source_x'])}, depth {_span(survey['source_depth'])}",
        f"receivers   x {_span(survey['receiver_x'])}, depth {_span(survey['receiver_depth'])}",
        f"recording   {data.time[-1]:g} s every {config.time_step * 1e3:g} ms;"
        f" {config.wavelet_name}",
    ]


def _span(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g} m" if low == high else f"{low:g} to {high:g} m"


def _checksums(data: VelocityReader) -> str:
    """Return a line that says that all checksums match; refuse a file where one does not."""
    count, unit = data.samples, "sample" if isinstance(data, DatasetReader) else "model"
    bad = data.damaged(lambda rows: bar(rows, description="check", unit=unit, leave=False))
    if bad:
        shown = ", ".join(map(str, bad[:10]))
        raise InputError(
            f"{data.path}: damaged, checksums differ in {counted(len(bad), unit)}: {shown}"
        )
    every = "all " if count > 1 else ""
    return f"checksums   {every}{counted(count, unit)} as written"
