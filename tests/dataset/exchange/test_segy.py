"""SEG-Y: sections of others are understood or refused; what is exported an outsider reads."""

import tarfile

import numpy as np
import pytest
import segyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seistomo.dataset.exchange import FileOptions, export_dataset
from seistomo.dataset.exchange.formats import open_files
from seistomo.dataset.exchange.segy import write_segy
from seistomo.errors import InputError

FIELD = segyio.TraceField
VELOCITY = np.random.default_rng(0).uniform(1500, 4500, (7, 9)).astype(np.float32)
COLUMN = np.arange(9)


def written(path, velocity=VELOCITY, interval=5000, endian="big", code=5, feet=False, **headers):
    """Write a section with segyio; ``headers`` are arrays [trace] or numbers by field."""
    spec = segyio.spec()
    spec.samples, spec.tracecount = np.arange(velocity.shape[0]), velocity.shape[1]
    spec.format, spec.endian = code, endian
    with segyio.create(path, spec) as file:
        file.bin[segyio.BinField.Interval] = interval
        file.bin[segyio.BinField.MeasurementSystem] = 2 if feet else 1
        for trace in range(velocity.shape[1]):
            file.header[trace] = {
                segyio.tracefield.keys[name]: int(np.broadcast_to(values, velocity.shape[1])[trace])
                for name, values in headers.items()
            }
        file.trace.raw[:] = np.ascontiguousarray(velocity.T).astype(file.dtype)
    return path


def opened(path, **options):
    (file,) = open_files([path], FileOptions(**options))
    return file


@pytest.mark.parametrize(
    ("headers", "spacing"),
    [
        ({"CDP_X": 25 * COLUMN}, (5, 25)),
        ({"CDP_X": 1250 * COLUMN + 70000, "SourceGroupScalar": -100}, (5, 12.5)),
        ({"GroupX": 2 * COLUMN, "SourceGroupScalar": 10}, (5, 20)),
        # A constant CDP_X says nothing.
        ({"CDP_X": 7, "SourceX": 6 * COLUMN}, (5, 6)),
        # What counts is the distance along the line, whichever way it runs.
        ({"CDP_X": 30 * COLUMN, "CDP_Y": 40 * COLUMN}, (5, 50)),
        # Each trace has a scalar of its own.
        (
            {
                "CDP_X": np.where(COLUMN % 2, 250, 25) * COLUMN,
                "SourceGroupScalar": np.where(COLUMN % 2, -10, 0),
            },
            (5, 25),
        ),
        # Rounded to whole metres: 12.5 m becomes 12 and 13.
        ({"CDP_X": (12.5 * COLUMN).astype(int)}, (5, 12.5)),
        # Thousandths without a scalar, as Marmousi2 has them.
        ({"CDP_Y": COLUMN + 1, "GroupX": 6250 * COLUMN, "SourceX": 6250 * COLUMN}, (5, 6.25)),
        # A crossline of a cube: each trace is of another inline.
        ({"CDP_X": 25 * COLUMN, "INLINE_3D": COLUMN, "CROSSLINE_3D": 7}, (5, 25)),
    ],
)
def test_spacing_stands_in_the_headers(tmp_path, headers, spacing):
    file = opened(written(tmp_path / "a.segy", **headers))
    assert (file.models, file.shape) == (1, (7, 9))
    np.testing.assert_allclose(file.spacing, spacing)
    np.testing.assert_array_equal(file.read(0).velocity, VELOCITY)


@pytest.mark.parametrize(("scalar", "top"), [(0, -20), (-10, -2)])
def test_a_depth_axis_may_begin_elsewhere(tmp_path, scalar, top):
    headers = {"DelayRecordingTime": -20, "ScalarTraceHeader": scalar, "CDP_X": 5 * COLUMN}
    assert opened(written(tmp_path / "a.segy", **headers)).top == top


def test_columns_are_put_in_order_of_position(tmp_path):
    file = opened(written(tmp_path / "a.segy", CDP_X=10 * COLUMN[::-1]))
    np.testing.assert_allclose(file.spacing, (5, 10))
    np.testing.assert_array_equal(file.read(0).velocity, VELOCITY[:, ::-1])


@pytest.mark.parametrize(
    ("code", "precision", "endian"),
    [(1, 2**-20, "big"), (5, 0, "little"), (2, 2e-3, "big"), (3, 2e-3, "little")],
)
def test_number_formats_and_byte_orders(tmp_path, endian, code, precision):
    file = opened(written(tmp_path / "a.segy", endian=endian, code=code, CDP_X=10 * COLUMN))
    np.testing.assert_allclose(file.spacing, (5, 10))
    np.testing.assert_allclose(file.read(0).velocity, VELOCITY, rtol=precision)


def test_feet_become_metres_and_speeds_are_asked_for(tmp_path):
    path = written(tmp_path / "a.segy", interval=10000, feet=True, CDP_X=20 * COLUMN)
    np.testing.assert_allclose(opened(path, units="ft/s").spacing, (3.048, 6.096))
    with pytest.raises(InputError, match="headers are in feet; give --units ft/s, or m/s"):
        opened(path)


@pytest.mark.parametrize(
    ("headers", "found", "filled", "words"),
    [
        ({}, (5, None), (5, 8), "all positions alike"),
        ({"interval": 0, "CDP_X": 10 * COLUMN}, (None, 10), (8, 10), ""),
        # Offsets alone are no places.
        ({"offset": 25 * COLUMN}, (5, None), (5, 8), "alike"),
        (
            {"CDP_X": [0, 10, 20, 34, 40, 50, 60, 70, 80]},
            (5, None),
            (5, 8),
            "columns 6 m to 14 m apart",
        ),
        ({"CDP_X": 10 * COLUMN, "CoordinateUnits": 2}, (5, None), (5, 8), "arc seconds"),
        (
            {"CDP_X": 10 * COLUMN, "TRACE_SAMPLE_INTERVAL": 4000},
            (None, 10),
            (8, 10),
            "depth intervals of 4 m to 5 m",
        ),
    ],
)
def test_what_the_headers_say_is_kept_and_only_the_rest_asked_for(
    tmp_path, headers, found, filled, words
):
    path = written(tmp_path / "a.segy", **headers)
    file = opened(path)
    assert file.spacing == found
    assert words in file.known_from
    assert opened(path, spacing=8.0).spacing == filled
    assert opened(path, spacing=(5.5, 6.0)).spacing == (5.5, 6)


CUBE = np.repeat([1, 2, 3], 3)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"INLINE_3D": CUBE}, r"a cube of 3 inlines \(1 to 3\) of 3 traces, .* --inline N"),
        ({"CDP_X": 10 * (COLUMN % 3)}, "turn back from trace 3 to 4: 20 m, then 0 m"),
        ({"CDP_X": 10 * COLUMN + 90 * (COLUMN > 4)}, "jump from trace 5 to 6: 40 m, then 140 m"),
    ],
)
def test_what_is_no_single_line_is_refused_with_the_numbers(tmp_path, headers, words):
    path = written(tmp_path / "a.segy", **headers)
    with pytest.raises(InputError, match=words):
        opened(path)


def test_one_inline_of_a_cube(tmp_path):
    headers = {"INLINE_3D": np.tile([1, 2, 3], 3), "CDP_X": 10 * (COLUMN // 3)}
    path = written(tmp_path / "a.segy", CDP_Y=10 * (COLUMN % 3), **headers)
    file = opened(path, inline=2)
    assert (file.shape, file.spacing) == ((7, 3), (5, 10))
    np.testing.assert_array_equal(file.read(0).velocity, VELOCITY[:, 1::3])
    with pytest.raises(InputError, match=r"--inline 4: .* has inlines 1 to 3"):
        opened(path, inline=4)


def zero_samples(content):
    return content[:3220] + bytes(2) + content[3222:]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda content: b"no SEG-Y", "not a SEG-Y file"),
        (lambda content: content[:-100], "a.segy: damaged"),
        (zero_samples, "a.segy: "),
    ],
)
def test_other_and_broken_files_are_one_line_with_their_name(tmp_path, spoil, words):
    path = written(tmp_path / "a.segy", CDP_X=10 * COLUMN)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InputError, match=words) as raised:
        opened(path)
    assert "\n" not in str(raised.value)


def test_marmousi2(marmousi, tmp_path):
    with tarfile.open(marmousi / "marmousi2_vp_5m.segy.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    file = opened(next(tmp_path.glob("*.segy")))
    assert (file.shape, file.spacing, file.top) == ((701, 2721), (5, 6.25), 0)
    velocity = file.read(0).velocity
    # 450 m of water, and 3,500 m of depth over 17 km.
    assert set(np.unique(velocity[:90])) == {1500}
    assert (velocity[91:93] > 1500).all()
    assert (velocity.min(), velocity.max()) == (1028, 4700)


@pytest.fixture(scope="module")
def folder(data_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("segy") / "out"
    export_dataset(data_path, out, "segy", indices=[1, 7])
    return out


def test_gathers_and_their_headers_are_read_back(folder, samples):
    sample = samples[7]
    source, receiver = (number.ravel() for number in np.indices((3, 5)))
    with segyio.open(folder / "gathers000007.segy", ignore_geometry=True) as file:
        np.testing.assert_array_equal(file.trace.raw[:].reshape(3, 5, 20), sample.gathers)
        assert int(file.format) == 5
        assert segyio.tools.dt(file) == 4000
        np.testing.assert_allclose(file.samples, np.arange(20) * 4.0)

        def header(field):
            return file.attributes(field)[:]

        along, down = -header(FIELD.SourceGroupScalar), -header(FIELD.ElevationScalar)
        offset = sample.receiver_x[receiver] - sample.source_x[source]
        middle = (sample.source_x[source] + sample.receiver_x[receiver]) / 2
        for field, scalar, expected in (
            (FIELD.SourceX, along, sample.source_x[source]),
            (FIELD.GroupX, along, sample.receiver_x[receiver]),
            (FIELD.CDP_X, along, middle),
            (FIELD.SourceDepth, down, sample.source_depth[source]),
            (FIELD.ReceiverGroupElevation, down, -sample.receiver_depth[receiver]),
        ):
            atol = 1e-3 if field == FIELD.CDP_X else 1e-9
            np.testing.assert_allclose(header(field) / scalar, expected, atol=atol)
        for field, expected in (
            (FIELD.offset, np.rint(offset)),
            (FIELD.FieldRecord, source + 1),
            (FIELD.EnergySourcePoint, source + 1),
            (FIELD.TraceNumber, receiver + 1),
            (FIELD.TRACE_SEQUENCE_LINE, np.arange(1, 16)),
            (FIELD.TRACE_SEQUENCE_FILE, np.arange(1, 16)),
            (FIELD.TraceIdentificationCode, np.where(sample.dead_trace.ravel(), 2, 1)),
            (FIELD.CoordinateUnits, 1),
            (FIELD.TRACE_SAMPLE_INTERVAL, 4000),
            (FIELD.TRACE_SAMPLE_COUNT, 20),
        ):
            np.testing.assert_array_equal(header(field), expected)
        found = {int(field): value for field, value in file.bin.items()}
    expected = {3213: 5, 3215: 0, 3217: 4000, 3219: 4000, 3221: 20, 3223: 20, 3225: 5, 3227: 5}
    expected |= {3205: 1, 3209: 1, 3229: 5, 3255: 1, 3501: 1, 3502: 0, 3503: 1}
    assert expected.items() <= found.items()
    size = (folder / "gathers000007.segy").stat().st_size
    assert size == 3600 + 15 * (240 + 4 * 20)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=9))
def test_ibm_numbers_keep_21_bits(tmp_path, values):
    traces = np.array([values], np.float32)
    write_segy(tmp_path / "a.segy", [], 1000, traces, {}, (1, 1), "ibm")
    with segyio.open(tmp_path / "a.segy", ignore_geometry=True) as file:
        assert int(file.format) == 1
        np.testing.assert_allclose(file.trace.raw[:], traces, rtol=2.0**-21, atol=1e-37)


def test_more_traces_than_a_short_counts(tmp_path):
    traces = np.ones((40_000, 2), np.float32)
    write_segy(tmp_path / "a.segy", ["é" * 99], 1000, traces, {}, (256, 5), "ieee")
    with segyio.open(tmp_path / "a.segy", ignore_geometry=True) as file:
        assert (file.tracecount, file.bin[3213]) == (40_000, 256)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["survey.time_step=0.0033333"], r"survey.time_step = 0.0033333 s: .* whole microseconds"),
        (["velocity.spacing=12.3456"], r"velocity.spacing = 12.3456 m: .* whole millimetres"),
    ],
)
def test_a_sampling_that_segy_cannot_hold_is_refused(write, tmp_path, settings, words):
    path = write(tmp_path / "data.h5", *settings)
    with pytest.raises(InputError, match=words):
        export_dataset(path, tmp_path / "out", "segy")
    assert not (tmp_path / "out").exists()
