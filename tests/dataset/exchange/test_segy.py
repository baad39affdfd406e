import sys

import numpy as np
import pytest

from seistomo.dataset.exchange.segy import open_models
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

segyio = pytest.importorskip("segyio")
VELOCITY = np.random.default_rng(0).uniform(1500, 4500, (7, 9)).astype(np.float32)


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


COLUMN = np.arange(9)


@pytest.mark.parametrize(
    ("headers", "spacing"),
    [
        ({"CDP_X": 25 * COLUMN}, (5, 25)),
        ({"CDP_X": 1250 * COLUMN + 70000, "SourceGroupScalar": -100}, (5, 12.5)),
        ({"GroupX": 2 * COLUMN, "SourceGroupScalar": 10}, (5, 20)),
        # A constant CDP_X says nothing.
        ({"CDP_X": 7, "SourceX": 6 * COLUMN}, (5, 6)),
        # A line that runs north-east: what counts is the distance along it.
        ({"CDP_X": 30 * COLUMN, "CDP_Y": 40 * COLUMN}, (5, 50)),
        # Rounded to whole metres: 12.5 m becomes 12 and 13.
        ({"CDP_X": (12.5 * COLUMN).astype(int)}, (5, 12.5)),
        # Thousandths without a scalar, as Marmousi2 has them.
        ({"CDP_Y": COLUMN + 1, "GroupX": 6250 * COLUMN, "SourceX": 6250 * COLUMN}, (5, 6.25)),
    ],
)
def test_spacing_stands_in_the_headers(tmp_path, headers, spacing):
    file = open_models(written(tmp_path / "a.segy", **headers), FileOptions())
    assert (file.models, file.shape) == (1, (7, 9))
    np.testing.assert_allclose(file.spacing, spacing)
    np.testing.assert_array_equal(file.read(0).velocity, VELOCITY)


def test_columns_are_put_in_order_of_x(tmp_path):
    file = open_models(written(tmp_path / "a.segy", CDP_X=10 * COLUMN[::-1]), FileOptions())
    np.testing.assert_allclose(file.spacing, (5, 10))
    np.testing.assert_array_equal(file.read(0).velocity, VELOCITY[:, ::-1])


@pytest.mark.parametrize("endian", ["big", "little"])
@pytest.mark.parametrize(("code", "precision"), [(1, 2**-20), (5, 0), (2, 2e-3), (3, 2e-3)])
def test_number_formats_and_byte_orders(tmp_path, endian, code, precision):
    path = written(tmp_path / "a.segy", endian=endian, code=code, CDP_X=10 * COLUMN)
    file = open_models(path, FileOptions())
    np.testing.assert_allclose(file.spacing, (5, 10))
    np.testing.assert_allclose(file.read(0).velocity, VELOCITY, rtol=precision)


def test_feet_become_metres(tmp_path):
    path = written(tmp_path / "a.segy", interval=10000, feet=True, CDP_X=20 * COLUMN)
    file = open_models(path, FileOptions())
    np.testing.assert_allclose(file.spacing, (3.048, 6.096))
    assert "feet" in file.known_from


def test_a_large_depth_interval_is_read_unsigned(tmp_path):
    path = written(tmp_path / "a.segy", interval=50000, CDP_X=50 * COLUMN)
    np.testing.assert_allclose(open_models(path, FileOptions()).spacing, (50, 50))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "5 m in depth and no even spacing in x"),
        ({"interval": 0, "CDP_X": 10 * COLUMN}, "nothing in depth"),
        ({"CDP_X": [0, 10, 20, 35, 40, 50, 60, 70, 80]}, "no even spacing"),
        ({"CDP_X": 10 * np.array([0, 1, 2, 3, 2, 1, 0, 1, 2])}, "no even spacing"),
        ({"interval": 5, "CDP_X": 10 * COLUMN, "SourceGroupScalar": 1}, "0.005 m in depth"),
    ],
)
def test_headers_that_cannot_be_believed_leave_the_spacing_open(tmp_path, settings, words):
    path = written(tmp_path / "a.segy", **settings)
    file = open_models(path, FileOptions())
    assert file.spacing is None
    assert words in file.known_from
    assert open_models(path, FileOptions(spacing=(5.0, 6.0))).spacing == (5, 6)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"no SEG-Y"), "not a SEG-Y file"),
        (lambda path: path.write_bytes(bytes(5000)), "not a SEG-Y file"),
        (lambda path: path.write_bytes(path.read_bytes()[:3600]), "not a whole SEG-Y file"),
        (cut, "not a whole SEG-Y file"),
    ],
)
def test_other_and_broken_files_are_refused(tmp_path, spoil, words):
    path = written(tmp_path / "a.segy", CDP_X=10 * COLUMN)
    spoil(path)
    with pytest.raises(InputError, match=words) as raised:
        open_models(path, FileOptions())
    assert "\n" not in str(raised.value)


def test_a_missing_segyio_says_how_to_install_it(tmp_path, monkeypatch):
    path = written(tmp_path / "a.segy", CDP_X=10 * COLUMN)
    monkeypatch.setitem(sys.modules, "segyio", None)
    with pytest.raises(InputError, match=r"pip install 'seistomo\[segy\]'"):
        open_models(path, FileOptions())


def test_marmousi2(marmousi, tmp_path):
    import tarfile

    with tarfile.open(marmousi / "marmousi2_vp_5m.segy.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    file = open_models(next(tmp_path.glob("*.segy")), FileOptions())
    assert (file.shape, file.spacing) == ((701, 2721), (5, 6.25))
    velocity = file.read(0).velocity
    # 450 m of water, and 3,500 m of depth over 17 km.
    assert set(np.unique(velocity[:90])) == {1500}
    assert (velocity[91:93] > 1500).all()
    assert (velocity.min(), velocity.max()) == (1028, 4700)
