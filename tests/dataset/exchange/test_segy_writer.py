import csv

import numpy as np
import pytest

from seistomo.dataset.exchange.exporting import export_dataset
from seistomo.dataset.exchange.segy import open_models
from seistomo.dataset.exchange.source import FileOptions
from seistomo.errors import InputError

segyio = pytest.importorskip("segyio")
FIELD = segyio.TraceField


@pytest.fixture(scope="module")
def folder(data_path, tmp_path_factory):
    out = tmp_path_factory.mktemp("segy") / "out"
    export_dataset(data_path, out, "segy", indices=[1, 7])
    return out


def opened(path):
    return segyio.open(path, ignore_geometry=True)


@pytest.mark.parametrize("row", [1, 7])
def test_gathers_are_read_back_equal(folder, samples, row):
    with opened(folder / f"gathers{row:06d}.segy") as file:
        found = file.trace.raw[:].reshape(3, 5, 20)
        np.testing.assert_array_equal(found, samples[row].gathers)
        assert int(file.format) == 5
        assert segyio.tools.dt(file) == 4000
        np.testing.assert_allclose(file.samples, np.arange(20) * 4.0)


@pytest.mark.parametrize("row", [1, 7])
def test_every_trace_knows_its_source_and_receiver(folder, samples, row):
    sample = samples[row]
    source, receiver = (number.ravel() for number in np.indices((3, 5)))
    with opened(folder / f"gathers{row:06d}.segy") as file:

        def header(field):
            return file.attributes(field)[:]

        scalars = header(FIELD.SourceGroupScalar)
        assert (scalars < 0).all()
        for field, expected in (
            (FIELD.SourceX, sample.source_x[source]),
            (FIELD.GroupX, sample.receiver_x[receiver]),
        ):
            np.testing.assert_allclose(header(field) / -scalars, expected, atol=1e-9)
        middle = (sample.source_x[source] + sample.receiver_x[receiver]) / 2
        np.testing.assert_allclose(header(FIELD.CDP_X) / -scalars, middle, atol=1e-3)
        scalars = header(FIELD.ElevationScalar)
        depth = header(FIELD.SourceDepth) / -scalars
        np.testing.assert_allclose(depth, sample.source_depth[source], atol=1e-9)
        elevation = header(FIELD.ReceiverGroupElevation) / -scalars
        np.testing.assert_allclose(elevation, -sample.receiver_depth[receiver], atol=1e-9)
        offset = sample.receiver_x[receiver] - sample.source_x[source]
        np.testing.assert_array_equal(header(FIELD.offset), np.rint(offset))
        np.testing.assert_array_equal(header(FIELD.FieldRecord), source + 1)
        np.testing.assert_array_equal(header(FIELD.TraceNumber), receiver + 1)
        np.testing.assert_array_equal(header(FIELD.TRACE_SEQUENCE_FILE), np.arange(1, 16))
        live = np.where(sample.dead_trace.ravel(), 2, 1)
        np.testing.assert_array_equal(header(FIELD.TraceIdentificationCode), live)
        assert set(header(FIELD.CoordinateUnits)) == {1}
        assert set(header(FIELD.TRACE_SAMPLE_INTERVAL)) == {4000}
        assert set(header(FIELD.TRACE_SAMPLE_COUNT)) == {20}
        binary = file.bin
        assert binary[segyio.BinField.Traces] == 5
        assert binary[segyio.BinField.SortingCode] == 5
        assert binary[segyio.BinField.MeasurementSystem] == 1


def test_the_model_is_read_back_equal(folder, samples):
    file = open_models(folder / "velocity000007.segy", FileOptions())
    assert file.spacing == (12.5, 12.5)
    np.testing.assert_array_equal(file.read(0).velocity, samples[7].velocity)


def test_the_text_says_what_the_file_holds(folder):
    for name, words in (
        ("gathers000007", ["SHOT GATHERS, SAMPLE 7", "SEED 3, INDEX 7", "SALT", "4000 US", "IEEE"]),
        ("velocity000007", ["P-WAVE VELOCITY IN M/S", "12 NODES IN DEPTH X 15 IN X, 12.5 M"]),
    ):
        with opened(folder / f"{name}.segy") as file:
            text = bytes(file.text[0]).decode("ascii")
        for word in words:
            assert word in text
        lines = [text[start : start + 80] for start in range(0, 3200, 80)]
        # Nothing was cut off: a full line would end in a letter.
        assert all(line[79] == " " for line in lines[2:]), lines


def test_a_list_says_which_sample_is_where(folder):
    with (folder / "samples.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["1", "7"]
    assert lines[1] == {
        "gathers": "gathers000007.segy",
        "velocity": "velocity000007.segy",
        "place": "0",
        "row": "7",
        "split": "validation",
        "seed": "3",
        "index": "7",
        "family": "salt",
    }


def test_ibm_numbers_keep_21_bits(data_path, samples, tmp_path):
    export_dataset(data_path, tmp_path / "out", "segy", indices=[2], numbers="ibm")
    with opened(tmp_path / "out" / "gathers000002.segy") as file:
        assert int(file.format) == 1
        found = file.trace.raw[:].reshape(3, 5, 20)
    np.testing.assert_allclose(found, samples[2].gathers, rtol=2**-21)
    file = open_models(tmp_path / "out" / "velocity000002.segy", FileOptions())
    np.testing.assert_allclose(file.read(0).velocity, samples[2].velocity, rtol=2**-21)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["survey.time_step=0.0033333"], r"survey.time_step = 0.0033333 s: .* whole microseconds"),
        (["survey.time_step=0.04", "survey.frequency=2.0"], "whole microseconds from 1 to 32767"),
        (["velocity.spacing=12.3456"], r"velocity.spacing = 12.3456 m: .* whole millimetres"),
        (["velocity.spacing=50.0"], "whole millimetres from 1 to 32767"),
    ],
)
def test_a_sampling_that_segy_cannot_hold_is_refused(write, tmp_path, settings, words):
    path = write(tmp_path / "data.h5", *settings)
    with pytest.raises(InputError, match=words):
        export_dataset(path, tmp_path / "out", "segy")
    assert not (tmp_path / "out").exists()


def test_other_numbers_are_refused(data_path, tmp_path):
    with pytest.raises(InputError, match="--numbers int8: must be one of ibm, ieee"):
        export_dataset(data_path, tmp_path / "out", "segy", numbers="int8")
