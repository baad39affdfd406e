import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seistomo.dataset.exchange.segy_format import (
    BINARY_FIELDS,
    TRACE_FIELDS,
    scalar_of,
    stated,
    to_ibm,
    whole,
    write_segy,
)

segyio = pytest.importorskip("segyio")
RNG = np.random.default_rng(0)
TRACES = (RNG.normal(size=(6, 11)) * 10.0 ** RNG.integers(-30, 30, (6, 11))).astype(np.float32)


def ibm_value(word):
    """Read one IBM System/360 number, digit by digit."""
    sign = -1 if word >> 31 else 1
    exponent = (word >> 24 & 0x7F) - 64
    return sign * (word & 0xFFFFFF) / 2**24 * 16.0**exponent


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_ibm_numbers_keep_21_bits(value):
    (word,) = to_ibm(np.array([value], np.float32))
    assert ibm_value(int(word)) == pytest.approx(value, rel=2.0**-21, abs=1e-60)
    # Normalized: the first hexadecimal digit of the fraction is not 0.
    assert value == 0 or word >> 20 & 0xF


@pytest.mark.parametrize(
    ("value", "word"), [(0.0, 0), (-118.625, 0xC276A000), (1.0, 0x41100000), (0.15625, 0x40280000)]
)
def test_ibm_numbers_known_from_books(value, word):
    assert to_ibm(np.array([value], np.float32))[0] == word


@pytest.mark.parametrize(("kind", "code", "precision"), [("ieee", 5, 0), ("ibm", 1, 2**-21)])
def test_an_independent_reader_finds_everything(tmp_path, kind, code, precision):
    path = tmp_path / "a.segy"
    trace_fields = {name: RNG.integers(1, 9999, 6) for name in TRACE_FIELDS}
    del trace_fields["samples"], trace_fields["interval"]
    binary = {"sorting": 5, "traces": 3, "fold": 3}
    write_segy(path, ["FIRST LINE", "x" * 99], 4000, TRACES, trace_fields, binary, kind)
    with segyio.open(path, ignore_geometry=True) as file:
        assert int(file.format) == code
        np.testing.assert_allclose(file.trace.raw[:], TRACES, rtol=precision)
        assert segyio.tools.dt(file) == 4000
        for name, (byte, _) in TRACE_FIELDS.items():
            expected = trace_fields.get(name, {"samples": 11, "interval": 4000}.get(name))
            np.testing.assert_array_equal(file.attributes(byte)[:], expected)
        found = {int(field): value for field, value in file.bin.items()}
        expected = {"interval": 4000, "samples": 11, "format": code, "measurement": 1, **binary}
        for name, value in expected.items():
            assert found[3200 + BINARY_FIELDS[name][0]] == value
        assert (found[3501], found[3502]) == (1, 0)
        text = bytes(file.text[0]).decode("ascii")
    lines = [text[start : start + 80] for start in range(0, 3200, 80)]
    assert lines[0].rstrip() == "C 1 FIRST LINE"
    assert lines[1] == "C 2 " + "x" * 76
    assert lines[38].startswith("C39 SEG Y REV1")
    assert lines[39].startswith("C40 END TEXTUAL HEADER")
    assert path.stat().st_size == 3600 + 6 * (240 + 4 * 11)


def test_numbers_are_big_endian(tmp_path):
    write_segy(tmp_path / "a.segy", [], 1000, np.full((1, 2), 1.5, np.float32), {}, {})
    content = (tmp_path / "a.segy").read_bytes()
    assert struct.unpack(">2f", content[-8:]) == (1.5, 1.5)
    assert content[3216:3218] == b"\x03\xe8"


@pytest.mark.parametrize(
    ("positions", "scalar"),
    [
        ([0, 15, 1485], 1),
        ([0, 12.5], 10),
        ([6.25], 100),
        ([0.123], 1000),
        (np.linspace(0, 1485, 256), 10000),
        ([1e6 + 1 / 3], 1000),
    ],
)
def test_positions_become_whole_numbers(positions, scalar):
    found = scalar_of(np.array(positions))
    assert found == scalar
    assert stated(found) == (-scalar if scalar > 1 else 1)
    np.testing.assert_allclose(whole(positions, found) / found, positions, atol=0.51 / found)
