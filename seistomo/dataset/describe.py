"""A data set in words, for people."""

from collections import Counter
from pathlib import Path

import numpy as np

from seistomo.dataset.store import DatasetReader, VelocityReader, open_dataset
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.progress import bar, counted


def describe_dataset(path: str | Path, *, check: bool = False) -> str:
    """Return a readable summary of a data set; ``check``: read it whole, compare checksums."""
    with open_dataset(path) as data:
        lines = [*_content(data), *_models(data), *_survey(data)]
        lines.append(f"made with   {', '.join(f'{k} {v}' for k, v in data.software.items())}")
        if check:
            lines.append(checksums(data, "sample"))
    return "\n".join(lines)


def _content(data: DatasetReader) -> list[str]:
    config = data.config
    counts = ", ".join(f"{len(data.indices(name))} {name}" for name in SPLITS)
    size = sum(path.stat().st_size for path in data.files)
    files = f" in {counted(len(data.files), 'file')}" if data.path.is_dir() else ""
    part = ""
    if data.shard is not None:
        first, last = data.sample_indices[[0, -1]]
        number, parts = data.shard
        part = f"; part {number} of {parts}: {first} to {last} of {config.dataset.samples}"
    return [
        f"{data.path}: seistomo data set {data.identity}, {size / 1e6:.1f} MB{files}",
        f"samples     {data.samples} ({counts}), seed {config.dataset.seed}{part}",
        f"gathers     {counted(data.gather_shape[0], 'source')} x"
        f" {counted(data.gather_shape[1], 'receiver')} x {data.gather_shape[2]} samples,"
        f" {config.dataset.storage}",
    ]


def _models(data: DatasetReader) -> list[str]:
    rows = data.indices()
    families = Counter(data.families(rows))
    shown = rows[:: max(1, len(rows) // 200)]
    velocity = data.read_velocity(shown)
    salt = data.read_salt_mask(shown).mean(axis=(1, 2))
    depth, x = data.velocity_shape
    with_salt = f"{np.mean(salt > 0):.0%} hold salt"
    if (salt > 0).any():
        with_salt += f", {salt[salt > 0].min():.1%} to {salt.max():.1%} of the area"
    return [
        f"models      {depth} x {x} nodes (depth, x), {data.depth[-1]:g} m x {data.x[-1]:g} m,"
        f" spacing {data.config.velocity.spacing:g} m",
        f"velocity    {velocity.min():.0f} to {velocity.max():.0f} m/s, mean"
        f" {velocity.mean():.0f} m/s; {with_salt}",
        f"families    {', '.join(f'{name} {count}' for name, count in sorted(families.items()))}",
    ]


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


def checksums(data: VelocityReader, unit: str) -> str:
    """Return a line that says that all checksums match; refuse a file where one does not."""
    count = data.samples
    bad = data.damaged(lambda rows: bar(rows, description="check", unit=unit, leave=False))
    if bad:
        shown = ", ".join(map(str, bad[:10]))
        raise InputError(
            f"{data.path}: damaged, checksums differ in {counted(len(bad), unit)}: {shown}"
        )
    every = "all " if count > 1 else ""
    return f"checksums   {every}{counted(count, unit)} as written"
