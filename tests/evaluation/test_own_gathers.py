"""Gathers from SEG-Y give what the same gathers in a data set give; what can be mended is said."""

import json

import numpy as np
import pytest
import segyio
from scipy.signal import hilbert
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.config import parse_config
from seistomo.dataset import open_dataset, open_velocity, read_predictions
from seistomo.dataset.exchange import export_dataset, import_velocity
from seistomo.dataset.generate import simulate
from seistomo.errors import InputError
from seistomo.evaluation import plot, predict
from seistomo.progress import quietly
from seistomo.training import train

CONFIG = """
[velocity]
shape = [20, 24]
spacing = 25.0
[survey]
sources = 3
receivers = 9
frequency = 5.0
time_samples = 60
time_step = 0.01
[dataset]
samples = 14
[network]
channels = [4]
kernels = [[1, 3, 3]]
pools = [[1, 2, 2]]
[training]
epochs = 1
batch_size = 10
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a data set, a run of it, and its first two samples as SEG-Y."""
    folder = tmp_path_factory.mktemp("own")
    config = parse_config(CONFIG)
    with quietly():
        simulate(config, folder / "data.h5")
        train(config, folder / "data.h5", folder / "run")
        export_dataset(folder / "data.h5", folder / "segy", "segy", indices=[0, 1])
        predict(folder / "run", folder / "data.h5", folder / "all.h5")
    return folder


def gathers_of(place):
    return place / "segy" / "gathers000000.segy"


def changed(place, path, change, **header):
    """Copy the first gathers with ``change`` done to all traces, and header fields set."""
    path.write_bytes(gathers_of(place).read_bytes())
    with segyio.open(path, "r+", ignore_geometry=True) as file:
        file.trace.raw[:] = np.ascontiguousarray(change(file.trace.raw[:])).astype(np.float32)
        for number in range(file.tracecount):
            file.header[number] = {segyio.tracefield.keys[key]: v for key, v in header.items()}
    return path


def test_an_export_gives_what_its_data_set_gives(place, tmp_path):
    files = sorted((place / "segy").glob("gathers*.segy"))
    assert predict(place / "run", None, tmp_path / "own.h5", segy=files) == 2
    found, rows, attributes = read_predictions(tmp_path / "own.h5")
    expected = read_predictions(place / "all.h5")[0][:2]
    # The gathers are the same; a network rounds by how many samples share a batch.
    np.testing.assert_allclose(found, expected, rtol=2e-6)
    assert list(rows) == [0, 1]
    assert attributes["data_identity"].startswith("segy-")
    assert {path.name for path in tmp_path.iterdir()} == {"own.h5", "own-gathers.png"}
    plot([tmp_path / "own.h5"], tmp_path / "own.png")


def test_a_section_lies_where_the_gathers_lie(place, tmp_path):
    out = tmp_path / "v.segy"
    predict(place / "run", None, out, segy=[gathers_of(place)])
    with segyio.open(out, ignore_geometry=True) as file:
        np.testing.assert_array_equal(file.attributes(81)[:], 25 * np.arange(24))
    import_velocity([out], tmp_path / "v.h5")
    with open_velocity(tmp_path / "v.h5") as models:
        expected = read_predictions(place / "all.h5")[0][:1]
        np.testing.assert_allclose(models.read_velocity([0]), expected, rtol=2e-6)


def test_amplitudes_and_polarity_are_brought_to_the_training_data(place, tmp_path, capsys):
    path = changed(place, tmp_path / "field.segy", lambda traces: -3e4 * traces)
    predict(place / "run", None, tmp_path / "v.h5", segy=[path])
    said = capsys.readouterr().err
    assert "divided by that" in said
    assert "reversed" in said
    ours = read_predictions(tmp_path / "v.h5")[0]
    # One sample is not as strong as the training data's mean.
    expected = read_predictions(place / "all.h5")[0][:1]
    assert np.abs(ours - expected).max() < 0.05 * expected.max()
    path = changed(place, tmp_path / "turned.segy", lambda traces: np.imag(hilbert(traces)))
    predict(place / "run", None, tmp_path / "turned.h5", segy=[path])
    assert "polarity cannot be told" in capsys.readouterr().err


def test_another_band_is_refused_and_leaves_nothing(place, tmp_path):
    rough = np.random.default_rng(0)
    path = changed(place, tmp_path / "noise.segy", lambda t: rough.normal(size=t.shape))
    with pytest.raises(InputError, match=r"are 2\d\.\d Hz.* data's \d\.\d+ Hz"):
        predict(place / "run", None, tmp_path / "v.h5", segy=[path])
    assert [file.name for file in tmp_path.iterdir()] == ["noise.segy"]


def test_refinement_of_an_export_is_that_of_its_data_set(place, tmp_path):
    few = "--set refinement.iterations=1 --set refinement.frequencies=[5.0] --quiet"
    for gathers, out in (
        (f"--data {place / 'data.h5'} --split all --indices 0", "data"),
        (f"--segy {gathers_of(place)}", "own"),
    ):
        line = f"refine {place / 'run'} {gathers} --out {tmp_path / out} {few}"
        done = CliRunner().invoke(app, line.split())
        assert done.exit_code == 0, done.output
    ours, theirs = (read_predictions(tmp_path / name / "refined.h5")[0] for name in ("own", "data"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    metrics = json.loads((tmp_path / "own" / "metrics.json").read_text())
    assert metrics["data_misfit_far"] < metrics["start"]["data_misfit_far"]
    figures = {path.name for path in (tmp_path / "own" / "figures").iterdir()}
    assert figures == {"gathers.png", "models.png", "misfit_gathers.png", "inversion.png"}
    assert CliRunner().invoke(app, [*line.split(), "--resume"]).output == done.output
    told = CliRunner().invoke(app, ["info", str(tmp_path / "own")]).output
    assert f"misfit of far traces {metrics['data_misfit_far']:.3g}" in told
    import_velocity([tmp_path / "own" / "refined.segy"], tmp_path / "refined.h5")
    with open_velocity(tmp_path / "refined.h5") as models:
        np.testing.assert_array_equal(models.read_velocity([0]), ours)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run --out v.h5", "--data or --segy"),
        ("run --data data.h5 --segy segy/gathers000000.segy --out v.h5", "--data or --segy"),
        ("run more.segy --data data.h5 --out v.h5", "more.segy: gathers"),
        ("run --segy segy --out v.segy --split test", "--split test"),
        ("run --segy segy/gathers000000.segy --out segy/gathers000000.segy --overwrite", "belongs"),
        ("run --segy one.segy --out segy/gathers000000.segy --overwrite", "not a predictions"),
        ("run --segy segy/gathers000000.segy segy/gathers000001.segy --out v.segy", "are 2"),
        ("run --data data.h5 --out v.segy", "are 14"),
        ("run --segy segy/velocity000000.segy --out v.h5", "velocity000000.segy"),
        ("refine run --segy segy/gathers000000.segy --out r --split test", "--split test"),
        (
            "refine run --segy segy/gathers000000.segy --out r --start smooth",
            "refinement.start = smooth",
        ),
    ],
)
def test_what_cannot_be_is_refused(place, monkeypatch, line, words):
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    words_of_line = line.split() if line.startswith("refine") else ["predict", *line.split()]
    done = CliRunner().invoke(app, words_of_line)
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert sorted(place.rglob("*")) == before


def test_a_network_that_takes_gathers_as_they_are_has_a_picture_too(place, tmp_path):
    config = parse_config(CONFIG.replace("epochs = 1", 'epochs = 1\ngather_scaling = "none"'))
    train(config, place / "data.h5", tmp_path / "run")
    assert predict(tmp_path / "run", None, tmp_path / "v.h5", segy=[gathers_of(place)]) == 1
    with open_dataset(place / "data.h5") as data:
        assert data.samples == 14
    assert (tmp_path / "v-gathers.png").exists()
