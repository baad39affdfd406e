"""A velocity file in words, for people."""

from collections import Counter
from pathlib import Path

import numpy as np

from seistomo.dataset.describe import checksums
from seistomo.dataset.store import VelocityReader, open_velocity

# Models looked at for what is told of all, and file names shown.
SHOWN, NAMES = 200, 5


def describe_velocity(path: str | Path, *, check: bool = False) -> str:
    """Return a readable summary of a velocity file.

    Parameters
    ----------
    path
        The file.
    check
        Whether to read everything and compare checksums.

    Raises
    ------
    InputError
        If it cannot be read, or a checksum does not match.
    """
    with open_velocity(path) as data:
        lines = _lines(data)
        if check:
            lines.append(checksums(data, "model"))
    return "\n".join(lines)


def _lines(data: VelocityReader) -> list[str]:
    nodes = " x ".join(map(str, data.velocity_shape))
    rows = range(0, data.samples, max(1, data.samples // SHOWN))
    salt = data.read_salt_mask(rows).mean(axis=(1, 2))
    with_salt = f"{np.mean(salt > 0):.0%} hold salt"
    if (salt > 0).any():
        with_salt += f", {salt[salt > 0].min():.1%} to {salt.max():.1%} of the area"
    families = Counter(data.families(range(data.samples)))
    sources = Counter(str(data.parameters(row).get("file", "")) for row in rows)
    sources.pop("", None)
    size = data.path.stat().st_size / 1e6
    lines = [
        f"{data.path}: seistomo velocity file {data.models_identity}, {size:.1f} MB",
        f"models      {data.samples}, {nodes} nodes (depth, x),"
        f" {data.depth[-1]:g} m x {data.x[-1]:g} m, spacing {data.spacing:g} m",
        f"velocity    {data.minimum:.0f} to {data.maximum:.0f} m/s; {with_salt}",
        f"families    {', '.join(f'{name} {count}' for name, count in sorted(families.items()))}",
    ]
    if sources:
        names = sorted(sources)
        more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
        lines.append(f"from        {', '.join(names[:NAMES])}{more}")
    made = ", ".join(f"{name} {version}" for name, version in data.software.items())
    return [*lines, f"made with   {made}"]
