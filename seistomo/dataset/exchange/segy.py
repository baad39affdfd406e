"""SEG-Y revision 1, read and written with segyio: velocity sections in, gathers and sections out.

Of a velocity section a trace is a column of the model, its samples from the top down. The depth
interval stands in the field of the sample interval, in thousandths of the length unit (5000 for
5 m), and the depth of the first sample in the delay, as is the custom for depth sections; x comes
from the trace headers. Numbers of fields are their first bytes, as in the standard.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seistomo.dataset import DatasetReader, VelocityReader
from seistomo.dataset.exchange.folder import describe_export
from seistomo.dataset.exchange.model_file import (
    FOOT,
    FileOptions,
    ModelFile,
    StoredModel,
    native,
)
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.files import folder_written_whole, require_space
from seistomo.progress import bar

# How the textual header of a velocity section begins.
SECTION = "P-WAVE VELOCITY IN M/S"
# Place of the format code, from the file's start.
FORMAT_BYTE = 3224
# Where a column's place (x, y) may stand, in this order: CDP, receiver, source.
POSITIONS = ((181, 185), (81, 85), (73, 77))
COORDINATE_UNITS = {2: "arc seconds", 3: "degrees", 4: "degrees, minutes and seconds"}
# Codes of the standard.
FORMAT_CODES = {"ibm": 1, "ieee": 5}
LIVE, DEAD, COMMON_SOURCE, AS_RECORDED = 1, 2, 5, 1
# Signed 16-bit fields hold the number of samples and their interval.
LARGEST_SHORT = 32767
# Factors that the standard allows between a header's whole number and metres.
SCALARS = (1, 10, 100, 1000, 10000)


def open_section(path: Path, options: FileOptions) -> ModelFile:
    """Open a velocity section, or one inline of a cube; the file holds one model."""
    with open_segy(path) as file:
        if not len(file.samples) or not file.tracecount:
            raise InputError(f"{path}: holds no samples")
        traces = _one_line(path, file, options.inline)
        feet = file.bin[3255] == 2
        unit = FOOT if feet else 1.0
        depth, words = _depth_spacing(file, traces, unit)
        across, note = _column_spacing(path, file, traces, unit, depth)
        tops = np.unique(_field(file, 109, traces) * factor_of(_field(file, 215, traces)) * unit)
    if len(tops) > 1:
        raise InputError(f"{path}: its columns begin at depths of {tops[0]:g} to {tops[-1]:g}")
    backwards = across is not None and across < 0

    def read(number: int) -> StoredModel:
        with open_segy(path) as file:
            columns = np.stack([file.trace.raw[int(trace)] for trace in traces])
        return StoredModel(np.ascontiguousarray(native(columns[::-1] if backwards else columns).T))

    return ModelFile(
        path,
        1,
        (len(file.samples), len(traces)),
        read,
        (depth, None if across is None else abs(across)),
        ", ".join(filter(None, ["headers", "in feet" * feet, words, note])),
        top=float(tops[0]),
        feet=feet,
    )


def open_segy(path: Path) -> Any:
    """Open a SEG-Y file of either byte order with segyio, whatever its geometry."""
    import segyio

    with path.open("rb") as file:
        file.seek(FORMAT_BYTE)
        code = file.read(2)
    for endian in ("big", "little"):
        if len(code) == 2 and 1 <= int.from_bytes(code, endian) <= 16:
            return segyio.open(path, ignore_geometry=True, endian=endian)
    raise InputError(f"{path}: not a SEG-Y file (no known number format in its binary header)")


def _one_line(path: Path, file: Any, inline: int | None) -> np.ndarray:
    """Return the numbers of the traces of the section: all of a file, or one inline of a cube."""
    inlines = file.attributes(189)[:]
    numbers, counts = np.unique(inlines, return_counts=True)
    have = f"inlines {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"inline {numbers[0]}"
    if inline is not None:
        if inline not in numbers:
            raise InputError(f"--inline {inline}: {path} has {have}")
        return np.flatnonzero(inlines == inline)
    if len(numbers) > 1 and counts.max() > 1:
        each = " to ".join(map(str, sorted({int(counts.min()), int(counts.max())})))
        raise InputError(
            f"{path}: a cube of {len(numbers)} inlines ({numbers[0]} to {numbers[-1]}) of {each}"
            " traces, not one section; take one with --inline N"
        )
    return np.arange(len(inlines))


def _field(file: Any, byte: int, traces: np.ndarray) -> np.ndarray:
    return file.attributes(byte)[:][traces].astype(np.int64)


def factor_of(scalar: np.ndarray) -> np.ndarray:
    """Return what a header's whole numbers are to be multiplied by."""
    size = np.maximum(np.abs(scalar), 1).astype(float)
    return np.where(scalar < 0, 1 / size, size)


def _depth_spacing(file: Any, traces: np.ndarray, unit: float) -> tuple[float | None, str]:
    """Return the depth interval, or None, and what to say of it."""
    # Written signed by some, unsigned by others.
    said = np.unique([file.bin[3217] & 0xFFFF, *(_field(file, 117, traces) & 0xFFFF)])
    said = said[said > 0] / 1000 * unit
    if len(said) > 1:
        return None, f"depth intervals of {said[0]:g} m to {said[-1]:g} m"
    return (float(said[0]), "") if len(said) else (None, "")


def _column_spacing(
    path: Path, file: Any, traces: np.ndarray, unit: float, depth: float | None
) -> tuple[float | None, str]:
    """Return the spacing along the line, negative where x falls, or None, and what to say of it."""
    scalars = _field(file, 71, traces)
    factors = factor_of(scalars) * unit
    factor = float(factors.max())
    places = [[_field(file, byte, traces) * factors for byte in pair] for pair in POSITIONS]
    # Along y only where no x changes: others number their traces there.
    along = [pair for axis in (0, 1) for pair in places if np.ptp(pair[axis]) > 0]
    if not along:
        return None, "all positions alike"
    x, y = along[0]
    distance = np.hypot(x - x[0], y - y[0])
    steps, walked = np.diff(distance), np.hypot(np.diff(x), np.diff(y))
    mean, usual = distance[-1] / len(steps), float(np.median(walked))
    odd = steps <= 0
    if not odd.any():
        odd = (walked > 1.5 * usual + factor) | (walked < usual / 2 - factor)
    if odd.any():
        place = int(odd.argmax())
        how = "jump" if steps[place] > 0 else "turn back" if steps[place] < 0 else "repeat"
        raise InputError(
            f"{path}: positions {how} from trace {traces[place] + 1} to {traces[place + 1] + 1}:"
            f" {distance[place]:g} m, then {distance[place + 1]:g} m from the first, where the"
            f" usual step is {usual:g} m; import takes one even line (--inline N of a cube)"
        )
    if angle := COORDINATE_UNITS.get(int(_field(file, 89, traces)[0])):
        return None, f"positions in {angle}"
    # Coordinates are whole numbers of `factor`; their rounding is no unevenness.
    if np.any(np.abs(distance - mean * np.arange(len(x))) > factor + 0.01 * mean):
        return None, f"columns {steps.min():g} m to {steps.max():g} m apart"
    note = ""
    if depth and not scalars.any() and mean > max(20 * depth, 1000):
        # Without a scalar, x is written in thousandths too by those who think of the interval.
        mean, note = mean / 1000, "x taken as thousandths"
    way = x[-1] - x[0] or y[-1] - y[0]
    return float(mean if way > 0 else -mean), note


def write_segy_folder(data: VelocityReader, rows: Sequence[int], out: Path, numbers: str) -> int:
    """Write ``gathers000000.segy`` and ``velocity000000.segy``, numbered by row.

    Gathers are sorted by source, a trace a receiver; a velocity file has none. The folder appears
    whole or not at all. Returns the number of files.
    """
    if numbers not in FORMAT_CODES:
        raise InputError(f"--numbers {numbers}: must be one of {', '.join(FORMAT_CODES)}")
    _section_interval(data.spacing)
    depth, x = data.velocity_shape
    counts, each = {"velocity.shape[0]": depth}, x * (240 + 4 * depth) + 7200
    if gathers := isinstance(data, DatasetReader):
        time = data.config.survey.time_step
        time_step = _interval(time * 1e6, f"survey.time_step = {time:g} s", "microseconds")
        sources, receivers, samples = data.gather_shape
        counts |= {"survey.time_samples": samples, "survey.receivers": receivers}
        each += sources * receivers * (240 + 4 * samples)
    for name, count in counts.items():
        if count > LARGEST_SHORT:
            raise InputError(
                f"{name} = {count}: SEG-Y counts to {LARGEST_SHORT}; export as npz or openfwi"
            )
    require_space(out, len(rows) * each)
    with folder_written_whole(out) as folder:
        for row in bar(rows, description="export", unit="sample"):
            if gathers:
                _write_gathers(data, row, folder / _name("gathers", row), time_step, numbers)
            text = [f"SAMPLE {row} OF {data.path.name}", *_origin(data, row)]
            grid = (data.read_velocity([row])[0], data.x, 0 * data.x, data.spacing)
            write_section(folder / _name("velocity", row), *grid, text, numbers)
        places = [(_name("gathers", row) * gathers, _name("velocity", row), 0) for row in rows]
        describe_export(folder, data, rows, places, {"format": "segy", "numbers": numbers})
    return (1 + gathers) * len(rows)


def _name(what: str, row: int) -> str:
    return f"{what}{row:06d}.segy"


def _section_interval(spacing: float) -> int:
    return _interval(spacing * 1e3, f"velocity.spacing = {spacing:g} m", "millimetres")


def _interval(value: float, said: str, unit: str) -> int:
    nearest = round(value)
    if abs(value - nearest) > 1e-6 * value or not 1 <= nearest <= LARGEST_SHORT:
        raise InputError(
            f"{said}: SEG-Y holds whole {unit} from 1 to {LARGEST_SHORT}, and rounding would shift"
            " the data; export as npz or openfwi"
        )
    return nearest


def _write_gathers(data: DatasetReader, row: int, path: Path, time_step: int, numbers: str) -> None:
    sources, receivers, samples = data.gather_shape
    survey, dead = data.read_survey(row), data.read_dead_traces([row])[0].ravel()
    source, receiver = (index.ravel() for index in np.indices((sources, receivers)))
    source_x, receiver_x = survey["source_x"][source], survey["receiver_x"][receiver]
    along = scalar_of(survey["source_x"], survey["receiver_x"])
    down = scalar_of(survey["source_depth"], survey["receiver_depth"])
    headers = {
        9: source + 1,
        13: receiver + 1,
        17: source + 1,
        29: np.where(dead, DEAD, LIVE),
        35: 1,  # production data
        37: _whole(receiver_x - source_x),
        41: _whole(-survey["receiver_depth"][receiver], down),
        49: _whole(survey["source_depth"][source], down),
        69: _stated(down),
        71: _stated(along),
        73: _whole(source_x, along),
        81: _whole(receiver_x, along),
        181: _whole((source_x + receiver_x) / 2, along),
    }
    text = [
        f"SHOT GATHERS, SAMPLE {row} OF {data.path.name}",
        *_origin(data, row),
        f"{sources} SOURCES X {receivers} RECEIVERS, {samples} SAMPLES EVERY {time_step} US",
        data.config.survey.wavelet_name.upper(),
        "PRESSURE; TIME 0 IS THE START OF THE WAVELET; TRACES SORTED BY SOURCE",
        "",
        "TRACE HEADER, BYTES",
        " 9 FIELD RECORD = SOURCE NUMBER   13 TRACE NUMBER = RECEIVER NUMBER",
        "17 SOURCE POINT = SOURCE NUMBER   29 1 LIVE, 2 DEAD TRACE",
        "37 OFFSET, RECEIVER X - SOURCE X, WHOLE M",
        "41 RECEIVER ELEVATION (-DEPTH)    49 SOURCE DEPTH",
        f"   THEIR SCALAR, BYTE 69: {_stated(down)}",
        "73 SOURCE X    81 RECEIVER X      181 MIDPOINT X",
        f"   THEIR SCALAR, BYTE 71: {_stated(along)}",
        "115 SAMPLES    117 INTERVAL IN MICROSECONDS",
    ]
    traces = data.read_gathers([row])[0].reshape(-1, samples)
    write_segy(path, text, time_step, traces, headers, (receivers, COMMON_SOURCE), numbers)


def is_section(path: Path) -> bool:
    """Tell whether a file is a velocity section as they are written here."""
    with path.open("rb") as file:
        return SECTION in file.read(3200).decode("cp500", "replace")


def write_section(
    path: Path,
    velocity: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    spacing: float,
    text: Sequence[str],
    numbers: str = "ieee",
) -> None:
    """Write a velocity section [depth, x], m/s.

    ``x`` and ``y`` are the columns' coordinates, m, which need not follow the grid's own axis;
    ``spacing`` is the grid's, m; ``text`` says what it is.
    """
    interval = _section_interval(spacing)
    along = scalar_of(x, y)
    place, column = _whole(x, along), np.arange(1, len(x) + 1)
    headers = {
        9: column,
        13: 1,
        21: column,  # CDP
        25: 1,
        29: LIVE,
        35: 1,
        69: 1,
        71: _stated(along),
        **dict.fromkeys((73, 81, 181), place),
        **dict.fromkeys((77, 85, 185), _whole(y, along)),
    }
    text = [
        f"{SECTION}, {text[0]}",
        *text[1:],
        f"{velocity.shape[0]} NODES IN DEPTH X {velocity.shape[1]} IN X, {spacing:g} M APART",
        "A TRACE A COLUMN; THE FIRST SAMPLE IS AT DEPTH 0",
        "",
        "TRACE HEADER, BYTES",
        f"73, 81, 181 X    77, 85, 185 Y    71 THEIR SCALAR {_stated(along)}",
        "115 SAMPLES    117 DEPTH INTERVAL IN MILLIMETRES",
    ]
    write_segy(path, text, interval, velocity.T, headers, (1, AS_RECORDED), numbers)


def _origin(data: VelocityReader, row: int) -> list[str]:
    text = f"SEISTOMO VELOCITY FILE {data.identity}"
    if isinstance(data, DatasetReader):
        (seed, index), split = data.seeds([row])[0], SPLITS[data.splits[row]].upper()
        text = f"SEISTOMO DATA SET {data.identity}, SEED {seed}, INDEX {index}, {split} SPLIT"
    return [text, f"MODEL OF FAMILY {data.families([row])[0].upper()}"]


def write_segy(
    path: Path,
    text: Sequence[str],
    interval: int,
    traces: np.ndarray,
    headers: Mapping[int, int | np.ndarray],
    sorting: tuple[int, int],
    numbers: str,
) -> None:
    """Write one big-endian file.

    ``traces`` are float32 [trace, sample]; ``interval`` is in microseconds, or thousandths of a
    metre; ``headers`` have a number, or one a trace, by first byte; ``sorting`` is the number of
    traces that belong together and the code of their order.
    """
    import segyio

    count, samples = traces.shape
    spec = segyio.spec()
    spec.samples, spec.tracecount, spec.format = np.arange(samples), count, FORMAT_CODES[numbers]
    number, (together, order) = np.arange(1, count + 1), sorting
    headers = {1: number, 5: number, 89: 1, 115: samples, 117: interval, **headers}
    columns = [np.broadcast_to(values, count).tolist() for values in headers.values()]
    kind = {"ieee": "IEEE FLOATING POINT (CODE 5)", "ibm": "IBM FLOATING POINT (CODE 1)"}[numbers]
    text = [*text, f"NUMBERS: 4-BYTE {kind}, BIG-ENDIAN; LENGTHS IN METRES"]
    lines = {
        line: words.encode("ascii", "replace").decode()[:76] for line, words in enumerate(text, 1)
    }
    lines |= {39: "SEG Y REV1", 40: "END TEXTUAL HEADER"}
    binary = {3205: 1, 3209: 1, 3213: together, 3215: 0, 3217: interval, 3219: interval}
    binary |= {3227: together, 3229: order, 3255: 1, 3501: 1, 3503: 1}
    values = np.ascontiguousarray(_rounded_for_ibm(traces) if numbers == "ibm" else traces)
    with segyio.create(path, spec) as file:
        file.text[0] = segyio.tools.create_text_header(lines)
        file.bin.update(binary)
        for trace, fields in enumerate(zip(*columns, strict=True)):
            file.header[trace] = dict(zip(headers, fields, strict=True))
        file.trace.raw[:] = values


def _rounded_for_ibm(values: np.ndarray) -> np.ndarray:
    """Return float32 numbers that IBM's 24-bit fractions of powers of 16 hold: segyio truncates."""
    _, exponent = np.frexp(values.astype(np.float64))
    last = 4 * -(-exponent // 4) - 24
    return np.ldexp(np.rint(np.ldexp(values.astype(np.float64), -last)), last).astype(np.float32)


def scalar_of(*positions: np.ndarray) -> int:
    """Return the factor that makes positions (m) whole numbers, as far as 32 bits hold them.

    It is 1, 10, ... 10000; positions times it are rounded: to a tenth of a millimetre at worst,
    but for lines of more than 200 km.
    """
    values = np.concatenate([np.ravel(position) for position in positions])
    reach = float(np.max(np.abs(values), initial=0.0))
    fitting = [scalar for scalar in SCALARS if reach * scalar < 2**31 - 1]
    for scalar in fitting:
        if np.all(np.abs(values * scalar - np.rint(values * scalar)) < 1e-6):
            return scalar
    return fitting[-1]


def _whole(positions: np.ndarray, scalar: int = 1) -> np.ndarray:
    return np.rint(np.asarray(positions) * scalar).astype(np.int64)


def _stated(scalar: int) -> int:
    """Return what a header says of a scalar: negative, for values are to be divided by it."""
    return -scalar if scalar > 1 else 1
