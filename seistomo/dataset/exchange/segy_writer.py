"""A data set as SEG-Y: of each sample its gathers and its velocity model, a file each.

Gathers are sorted by source, a trace a receiver; of a model each column is a trace from the top
down, its spacing in thousandths of a metre in the field of the sample interval.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seistomo.dataset.exchange.folder import folder_written_whole, write_marker
from seistomo.dataset.exchange.listing import provenance, write_samples
from seistomo.dataset.exchange.segy_format import (
    FORMAT_CODES,
    LARGEST_SHORT,
    scalar_of,
    stated,
    whole,
    write_segy,
)
from seistomo.dataset.store import DatasetReader
from seistomo.dataset.store.schema import SPLITS
from seistomo.errors import InputError
from seistomo.files import require_space
from seistomo.progress import bar

# Codes of the standard.
LIVE, DEAD, COMMON_SOURCE, AS_RECORDED = 1, 2, 5, 1


def write_segy_folder(
    data: DatasetReader,
    rows: Sequence[int],
    out: Path,
    *,
    kind: str = "ieee",
    overwrite: bool = False,
) -> int:
    """Write ``gathers000000.segy`` and ``velocity000000.segy``, numbered by row.

    Parameters
    ----------
    data, rows
        The data set, and which of its rows.
    out
        The folder; it appears whole or not at all.
    kind
        "ieee" or "ibm" floating point numbers.
    overwrite
        Whether an exported folder may be replaced.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    InputError
        If ``out`` may not be written or SEG-Y cannot hold the sampling.
    """
    if kind not in FORMAT_CODES:
        raise InputError(f"--numbers {kind}: must be one of {', '.join(FORMAT_CODES)}")
    config = data.config
    time_step = _interval(
        config.survey.time_step * 1e6, "survey.time_step", f"{config.survey.time_step:g} s"
    )
    spacing = _interval(
        config.velocity.spacing * 1e3, "velocity.spacing", f"{config.velocity.spacing:g} m"
    )
    sources, receivers, samples = data.gather_shape
    depth, x = data.velocity_shape
    counts = {"survey.time_samples": samples, "survey.receivers": receivers}
    for name, count in {**counts, "velocity.shape[0]": depth}.items():
        if count > LARGEST_SHORT:
            raise InputError(
                f"{name} = {count}: SEG-Y counts to {LARGEST_SHORT}; export as npz or openfwi"
            )
    each = sources * receivers * (240 + 4 * samples) + x * (240 + 4 * depth) + 7200
    require_space(out, len(rows) * each)
    with folder_written_whole(out, overwrite) as folder:
        for row in bar(rows, description="export", unit="sample"):
            _write_gathers(data, row, folder / _name("gathers", row), time_step, kind)
            _write_model(data, row, folder / _name("velocity", row), spacing, kind)
        places = [(_name("gathers", row), _name("velocity", row), 0) for row in rows]
        write_samples(folder, data, rows, places)
        write_marker(folder, {**provenance(data, rows, "segy"), "numbers": kind})
    return 2 * len(rows)


def _name(what: str, row: int) -> str:
    return f"{what}{row:06d}.segy"


def _interval(value: float, key: str, shown: str) -> int:
    """Return a sampling interval as the whole number that the header holds."""
    nearest = round(value)
    if abs(value - nearest) > 1e-6 * value or not 1 <= nearest <= LARGEST_SHORT:
        unit = "microseconds" if key == "survey.time_step" else "millimetres"
        raise InputError(
            f"{key} = {shown}: SEG-Y holds whole {unit} from 1 to {LARGEST_SHORT}, and rounding"
            " would shift the data; export as npz or openfwi"
        )
    return nearest


def _write_gathers(data: DatasetReader, row: int, path: Path, time_step: int, kind: str) -> None:
    sources, receivers, samples = data.gather_shape
    survey, dead = data.read_survey(row), data.read_dead_traces([row])[0].ravel()
    source, receiver = (index.ravel() for index in np.indices((sources, receivers)))
    source_x, receiver_x = survey["source_x"][source], survey["receiver_x"][receiver]
    source_depth = survey["source_depth"][source]
    receiver_depth = survey["receiver_depth"][receiver]
    along = scalar_of(survey["source_x"], survey["receiver_x"])
    down = scalar_of(survey["source_depth"], survey["receiver_depth"])
    fields = {
        "field_record": source + 1,
        "trace_number": receiver + 1,
        "source_point": source + 1,
        "identification": np.where(dead, DEAD, LIVE),
        "data_use": 1,
        "offset": whole(receiver_x - source_x),
        "receiver_elevation": whole(-receiver_depth, down),
        "source_depth": whole(source_depth, down),
        "elevation_scalar": stated(down),
        "coordinate_scalar": stated(along),
        "source_x": whole(source_x, along),
        "receiver_x": whole(receiver_x, along),
        "cdp_x": whole((source_x + receiver_x) / 2, along),
    }
    binary = {"traces": receivers, "fold": receivers, "sorting": COMMON_SOURCE}
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
        f"   THEIR SCALAR, BYTE 69: {stated(down)}",
        "73 SOURCE X    81 RECEIVER X      181 MIDPOINT X",
        f"   THEIR SCALAR, BYTE 71: {stated(along)}",
        "115 SAMPLES    117 INTERVAL IN MICROSECONDS",
    ]
    traces = data.read_gathers([row])[0].reshape(-1, samples)
    write_segy(path, _finished(text, kind), time_step, traces, fields, binary, kind)


def _write_model(data: DatasetReader, row: int, path: Path, spacing: int, kind: str) -> None:
    velocity = data.read_velocity([row])[0]
    x = data.x
    along = scalar_of(x)
    number = np.arange(1, len(x) + 1)
    place = whole(x, along)
    fields = {
        "field_record": number,
        "trace_number": 1,
        "cdp": number,
        "cdp_trace": 1,
        "identification": LIVE,
        "data_use": 1,
        "elevation_scalar": 1,
        "coordinate_scalar": stated(along),
        "source_x": place,
        "receiver_x": place,
        "cdp_x": place,
    }
    step = data.config.velocity.spacing
    text = [
        f"P-WAVE VELOCITY IN M/S, SAMPLE {row} OF {data.path.name}",
        *_origin(data, row),
        f"{velocity.shape[0]} NODES IN DEPTH X {velocity.shape[1]} IN X, {step:g} M APART",
        "A TRACE A COLUMN; THE FIRST SAMPLE IS AT DEPTH 0",
        "",
        "TRACE HEADER, BYTES",
        f"73, 81, 181 X                     71 ITS SCALAR {stated(along)}",
        "115 SAMPLES    117 DEPTH INTERVAL IN MILLIMETRES",
    ]
    binary = {"traces": 1, "fold": 1, "sorting": AS_RECORDED}
    write_segy(path, _finished(text, kind), spacing, velocity.T, fields, binary, kind)


def _origin(data: DatasetReader, row: int) -> list[str]:
    (seed, index), family = data.seeds([row])[0], data.families([row])[0]
    split = SPLITS[data.splits[row]].upper()
    return [
        f"SEISTOMO DATA SET {data.identity}, SEED {seed}, INDEX {index}, {split} SPLIT",
        f"MODEL OF FAMILY {family.upper()}",
    ]


def _finished(text: Sequence[str], kind: str) -> list[str]:
    numbers = {"ieee": "IEEE FLOATING POINT (CODE 5)", "ibm": "IBM FLOATING POINT (CODE 1)"}
    return [*text, f"NUMBERS: 4-BYTE {numbers[kind]}, BIG-ENDIAN; LENGTHS IN METRES"]
