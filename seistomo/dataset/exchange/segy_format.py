"""SEG-Y revision 1 as bytes: headers by name, traces as IEEE or IBM floating point numbers.

After the standard of the Society of Exploration Geophysicists (SEG-Y rev 1, 2002). Written with
NumPy alone: a record array of all traces is a hundred times faster than header by header.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FORMAT_CODES = {"ibm": 1, "ieee": 5}
"""Code in the binary header for each kind of number."""
# Signed 16-bit fields hold the number of samples and their interval.
LARGEST_SHORT = 32767
# Factors that the standard allows between a header's whole number and metres.
SCALARS = (1, 10, 100, 1000, 10000)

TEXT_LINES, TEXT_WIDTH = 40, 80
BINARY_BYTES, HEADER_BYTES = 400, 240

# First byte, counted from 1 within its header as in the standard, and type.
BINARY_FIELDS = {
    "line": (5, ">i4"),
    "reel": (9, ">i4"),
    "traces": (13, ">i2"),
    "interval": (17, ">i2"),
    "original_interval": (19, ">i2"),
    "samples": (21, ">i2"),
    "original_samples": (23, ">i2"),
    "format": (25, ">i2"),
    "fold": (27, ">i2"),
    "sorting": (29, ">i2"),
    "measurement": (55, ">i2"),
    "revision": (301, ">u2"),
    "fixed_length": (303, ">i2"),
}
TRACE_FIELDS = {
    "sequence_line": (1, ">i4"),
    "sequence_file": (5, ">i4"),
    "field_record": (9, ">i4"),
    "trace_number": (13, ">i4"),
    "source_point": (17, ">i4"),
    "cdp": (21, ">i4"),
    "cdp_trace": (25, ">i4"),
    "identification": (29, ">i2"),
    "summed": (31, ">i2"),
    "stacked": (33, ">i2"),
    "data_use": (35, ">i2"),
    "offset": (37, ">i4"),
    "receiver_elevation": (41, ">i4"),
    "source_depth": (49, ">i4"),
    "elevation_scalar": (69, ">i2"),
    "coordinate_scalar": (71, ">i2"),
    "source_x": (73, ">i4"),
    "receiver_x": (81, ">i4"),
    "coordinate_units": (89, ">i2"),
    "samples": (115, ">i2"),
    "interval": (117, ">i2"),
    "cdp_x": (181, ">i4"),
}

Fields = Mapping[str, int | np.ndarray]


def write_segy(
    path: Path,
    text: Sequence[str],
    interval: int,
    traces: np.ndarray,
    trace_fields: Fields,
    binary_fields: Fields,
    kind: str = "ieee",
) -> None:
    """Write one SEG-Y file.

    Parameters
    ----------
    path
        The file.
    text
        Lines of the textual header, at most 38 of 76 characters.
    interval
        Between samples, 1 to 32767: microseconds, or thousandths of a metre of depth.
    traces
        float32 [trace, sample], at most 32767 samples.
    trace_fields, binary_fields
        Values by the names in `TRACE_FIELDS` and `BINARY_FIELDS`; a number, or one a trace.
        Fields left out are 0.
    kind
        "ieee" or "ibm".
    """
    count, samples = traces.shape
    header = np.zeros((), _record(BINARY_FIELDS, BINARY_BYTES))
    common = {"interval": interval, "samples": samples}
    filled = {"original_interval": interval, "original_samples": samples, "line": 1, "reel": 1}
    filled |= {"format": FORMAT_CODES[kind], "measurement": 1, "revision": 0x0100}
    for name, value in {**common, **filled, "fixed_length": 1, **binary_fields}.items():
        header[name] = value
    number = np.arange(1, count + 1)
    record = _record(TRACE_FIELDS, HEADER_BYTES)
    whole = np.zeros(count, [("header", record), ("values", ">u4", samples)])
    numbering = {"sequence_line": number, "sequence_file": number, "coordinate_units": 1}
    for name, value in {**common, **numbering, **trace_fields}.items():
        whole["header"][name] = value
    whole["values"] = to_ibm(traces) if kind == "ibm" else traces.astype(">f4").view(">u4")
    with path.open("wb") as file:
        file.write(_text_header(text))
        file.write(header.tobytes())
        whole.tofile(file)


def to_ibm(values: np.ndarray) -> np.ndarray:
    """Return float32 numbers as IBM System/360 single precision, uint32 of the same shape.

    A sign, an exponent of 16 with an excess of 64, and 24 bits of fraction between 1/16 and 1:
    21 to 24 bits of precision, a relative error of at most 2^-21.
    """
    mantissa, exponent = np.frexp(np.abs(values.astype(np.float64)))
    sixteens = -(-exponent // 4)
    fraction = np.rint(np.ldexp(mantissa, 24 + exponent - 4 * sixteens)).astype(np.int64)
    # No rounding up to 2^24: where the first of the 24 bits is set, all of float32's fit.
    bits = np.signbit(values).astype(np.int64) << 31 | (sixteens + 64) << 24 | fraction
    return np.where(fraction == 0, 0, bits).astype(np.uint32)


def scalar_of(*positions: np.ndarray) -> int:
    """Return the factor that makes positions whole numbers, as far as 32 bits hold them.

    Parameters
    ----------
    positions
        Lengths, m.

    Returns
    -------
    int
        1, 10, ... 10000; positions times it are rounded: to a tenth of a millimetre at worst,
        but for lines of more than 200 km.
    """
    values = np.concatenate([np.ravel(position) for position in positions])
    reach = float(np.max(np.abs(values), initial=0.0))
    fitting = [scalar for scalar in SCALARS if reach * scalar < 2**31 - 1]
    for scalar in fitting:
        if np.all(np.abs(values * scalar - np.rint(values * scalar)) < 1e-6):
            return scalar
    return fitting[-1]


def whole(positions: np.ndarray, scalar: int = 1) -> np.ndarray:
    """Return positions times a scalar as whole numbers."""
    return np.rint(np.asarray(positions) * scalar).astype(np.int64)


def stated(scalar: int) -> int:
    """Return what a header says of a scalar: negative, for values are to be divided by it."""
    return -scalar if scalar > 1 else 1


def _record(fields: Mapping[str, tuple[int, str]], size: int) -> np.dtype:
    return np.dtype(
        {
            "names": list(fields),
            "formats": [kind for _, kind in fields.values()],
            "offsets": [first - 1 for first, _ in fields.values()],
            "itemsize": size,
        }
    )


def _text_header(lines: Sequence[str]) -> bytes:
    # The standard's own last lines.
    numbered = [*lines, *[""] * (TEXT_LINES - 2 - len(lines)), "SEG Y REV1", "END TEXTUAL HEADER"]
    text = "".join(
        f"C{number:2d} {line}"[:TEXT_WIDTH].ljust(TEXT_WIDTH)
        for number, line in enumerate(numbered, start=1)
    )
    return text.encode("cp037", errors="replace")
