"""SEG-Y velocity sections: a trace a column of the model, its samples from the top down.

The depth interval stands in the field of the sample interval, in thousandths of the length unit
(5000 for 5 m), as is the custom for depth sections; x comes from the trace headers.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seistomo.dataset.exchange.source import FileOptions, ModelFile, StoredModel
from seistomo.errors import InputError

OPTIONS: frozenset[str] = frozenset()
ENDINGS = (".segy", ".sgy", ".seg")
FOLDER_PATTERNS = ("velocity*.segy", "velocity*.sgy", "*.segy", "*.sgy")

FEET = 0.3048
# Where a column's place may stand, in this order.
POSITIONS = ("CDP", "Group", "Source")
# One direction's spacing over the other's, beyond which the headers are not believed.
PLAUSIBLE = 20.0
# Bytes of the textual and the binary header, and the place of the format code in the second.
TEXT_BYTES, BINARY_BYTES, FORMAT_BYTE = 3200, 400, 24
FORMATS = range(1, 17)


def load_segyio() -> ModuleType:
    """Return the segyio module.

    Raises
    ------
    InputError
        If it is not installed, with the command that installs it.
    """
    try:
        import segyio
    except ImportError:
        raise InputError(
            "SEG-Y needs segyio, which is not installed; run: pip install 'seistomo[segy]'"
        ) from None
    return segyio


def open_models(path: Path, options: FileOptions) -> ModelFile:
    """Open a velocity section; the file holds one model.

    Raises
    ------
    InputError
        If it is no SEG-Y file, is truncated, or segyio is missing.
    """
    with open_segy(path) as file:
        shape = (len(file.samples), file.tracecount)
        spacing, known_from, backwards = _spacing(file)
    if options.spacing is not None:
        spacing, known_from = options.spacing, "--file-spacing"

    def read(number: int) -> StoredModel:
        with open_segy(path) as file:
            traces = np.array(file.trace.raw[:])
        columns = traces[::-1] if backwards else traces
        return StoredModel(np.ascontiguousarray(columns.T))

    return ModelFile(path, 1, shape, spacing, known_from, read)


def open_segy(path: Path) -> Any:
    """Open a SEG-Y file of either byte order with segyio, whatever its geometry.

    Raises
    ------
    InputError
        If it is no SEG-Y file, is truncated, or segyio is missing.
    """
    segyio = load_segyio()
    endian = _byte_order(path)
    try:
        return segyio.open(path, ignore_geometry=True, endian=endian)
    except (RuntimeError, OSError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a whole SEG-Y file: {error}") from None


def _byte_order(path: Path) -> str:
    with path.open("rb") as file:
        code = file.read(TEXT_BYTES + BINARY_BYTES)[TEXT_BYTES + FORMAT_BYTE :][:2]
    for endian in ("big", "little"):
        if len(code) == 2 and int.from_bytes(code, endian) in FORMATS:
            return endian
    raise InputError(f"{path}: not a SEG-Y file (no known number format in its binary header)")


def _spacing(file: Any) -> tuple[tuple[float, float] | None, str, bool]:
    """Return the spacing (depth, x) in m if known, what it comes from, and if x decreases."""
    segyio = load_segyio()
    feet = file.bin[segyio.BinField.MeasurementSystem] == 2
    unit, name = (FEET, "headers, in feet") if feet else (1.0, "headers")
    # Written signed by some, unsigned by others.
    interval = (
        file.bin[segyio.BinField.Interval]
        or file.header[0][segyio.TraceField.TRACE_SAMPLE_INTERVAL]
    )
    depth = (interval & 0xFFFF) / 1000 * unit
    found = _column_spacing(file)
    if found is None or not depth:
        said = f"{depth:g} m" if depth else "nothing"
        return None, f"its headers say {said} in depth and no even spacing in x", False
    across, scaled = found[0] * unit, found[1]
    if not scaled and abs(across) > PLAUSIBLE * depth:
        # Without a scalar, x is written in thousandths too by those who think of the interval.
        across, name = across / 1000, f"{name}, x taken as thousandths"
    if not 1 / PLAUSIBLE < abs(across) / depth < PLAUSIBLE:
        return None, f"its headers say {depth:g} m in depth and {abs(across):g} m in x", False
    return (depth, abs(across)), name, across < 0


def _column_spacing(file: Any) -> tuple[float, bool] | None:
    """Return the spacing of the traces, negative if x decreases, and if it has a scalar."""
    segyio = load_segyio()
    scalar = int(file.header[0][segyio.TraceField.SourceGroupScalar])
    factor = 1 / -scalar if scalar < 0 else float(scalar or 1)
    for name in POSITIONS:
        x, y = (
            file.attributes(segyio.tracefield.keys[f"{name}{joint}"])[:].astype(float) * factor
            for joint in (("_X", "_Y") if name == "CDP" else ("X", "Y"))
        )
        if len(x) > 1 and np.ptp(x) > 0:
            break
    else:
        return None
    distance = np.hypot(x - x[0], y - y[0])
    mean = distance[-1] / (len(x) - 1)
    # Coordinates are whole numbers of `factor`; their rounding is no unevenness.
    uneven = np.abs(distance - mean * np.arange(len(x))) > factor + 0.01 * mean
    if uneven.any() or np.any(np.diff(distance) <= 0):
        return None
    return (float(mean) if x[-1] > x[0] else -float(mean)), scalar != 0
